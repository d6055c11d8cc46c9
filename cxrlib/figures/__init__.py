"""Figures and tables of the book: one module a chapter, each `plot_…` paired with the data it shows."""
