"""Does the weight of Eq. (4) train a better classifier, or does it choose a threshold?

`theory`: checked where the probability is known; `experiment`: scores of small models and of recorded networks in one form;
`rules`: a weight or a threshold chosen on validation data, and calibration; `powered`: the powered study of recorded networks,
with the noise of training again known.
"""
