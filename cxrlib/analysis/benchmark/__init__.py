"""The benchmark: the study's images and split for anybody's model, and the study's tests for anybody's predictions.

`score` writes which image trains, validates and tests, and judges predictions beside the recorded networks; `predict` applies
a trained network to images; `submissions` scores what was handed in, the study's own baselines among it.
"""
