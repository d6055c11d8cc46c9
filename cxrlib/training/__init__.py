"""How is it trained, one run or the whole grid? A `RunConfig` in, a `Record` out.

`train` is the one training loop; `runs` makes a record of it, or a pretrained trunk. `configure` fills in what parameters
leave open; `loaders`, `callbacks`, `precision` and `segmentation` serve the loop; `grid` declares the study, `study` runs it.
"""
