"""How is it trained, one run or the whole grid? A `RunConfig` in, a `Record` out.

`train` is the one training loop; `runs` makes a record of it, `pretraining` a trunk. `configure` fills in what parameters
leave open; `loaders`, `callbacks` and `precision` serve the loop; `grid` declares the study, `study` and `workflow` run it.
"""
