"""How does a chapter begin, show and link? What the notebooks call.

`chapter`: checked parameters, data and records. `show`: figures and tables with their source and their data. `table_2`: the
big table. `interactive`: the widget of chapter 10. What builds the pages lies in `tools/book`.
"""
