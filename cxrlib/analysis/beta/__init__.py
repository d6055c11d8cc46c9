"""Does the weight of Eq. (4) train a better classifier, or does it choose a threshold?

`theory`: checked where the probability is known; `rules`: a weight or a threshold chosen on validation data, on scores of
small models and of recorded networks, and calibration; `powered`: the powered study, with the noise of training again known.
"""
