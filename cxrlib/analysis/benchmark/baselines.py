"""Baselines that anybody's network should beat: logistic regressions on thumbnails and on a frozen network's features."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cxrlib.analysis.shortcuts.probes import histograms, linear_model
from cxrlib.data.samples import Samples
from cxrlib.evaluation.metrics import summary
from cxrlib.images.decoding import thumbnails

THUMBNAIL, BINS = 8, 16


def coarse_features(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Thumbnails of 8 x 8 pixels and a grey-level histogram of 16 bins, [N, 80], of uint8 images [N, S, S].

    No lesion can be seen in them: whatever they tell comes from framing, exposure or build.
    """
    return np.hstack([thumbnails(pixels, THUMBNAIL).reshape(len(pixels), -1), histograms(pixels, BINS)])


def probabilities(train: npt.ArrayLike, labels: npt.ArrayLike, part: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Probability of COVID-19 [M] of features `part` [M, F], by a logistic regression on `train` [N, F] and `labels` [N]."""
    return np.asarray(linear_model().fit(train, labels).predict_proba(part)[:, 1])


def thumbnail_baseline(train: Samples, test: Samples) -> dict[str, Any]:
    """What a logistic regression on `coarse_features` reaches on the test part; keys as `metrics.summary`."""
    found = probabilities(coarse_features(train.pixels), train.labels, coarse_features(test.pixels))
    return summary(test.labels, found, groups=test.table["component"].to_numpy())
