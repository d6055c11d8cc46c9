"""The benchmark: the study's images and split for anybody's model, and the study's tests for anybody's predictions.

`splits` writes which image trains, validates and tests; `predict` applies a trained network to images; `score` judges
predictions beside the recorded networks; `submissions` scores what was handed in, the study's own baselines among it.
"""
