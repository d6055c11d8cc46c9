"""Rates and areas of many weighted samples at once, for the bootstrap.

Every function takes labels bool [N], scores float [N] (or predicted classes bool [N]) and weights [D, N], how often each
image is drawn, and returns float64 [D]; NaN where a draw lacks a class. With weights of one they equal scikit-learn's.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32] | Floats
Statistic = Callable[[Bools, Floats, Weights], Floats]


def weighted_auroc(labels: Bools, scores: Floats, weights: Weights) -> Floats:
    """Area under the ROC curve: the chance that a positive outranks a negative, a tie counting one half."""
    positive, negative = _by_score(labels, scores, weights)
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def weighted_auprc(labels: Bools, scores: Floats, weights: Weights) -> Floats:
    """Average precision: precision at each score cut, weighted by the sensitivity that the cut adds."""
    positive, negative = (part[:, ::-1] for part in _by_score(labels, scores, weights))
    caught, called = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.divide(caught, called, out=np.zeros_like(caught), where=called > 0)
    average = _ratio((positive * precision).sum(axis=1), caught[:, -1])
    return np.where(negative.sum(axis=1) > 0, average, np.nan)


def weighted_rates(labels: Bools, predicted: Bools, weights: Weights) -> tuple[Floats, Floats]:
    """Sensitivity and specificity of predicted classes."""
    wide = weights.astype(np.float64)
    return _ratio(wide @ (labels & predicted), wide @ labels), _ratio(wide @ ~(labels | predicted), wide @ ~labels)


def weighted_bacc(labels: Bools, predicted: Bools, weights: Weights) -> Floats:
    """Balanced accuracy of predicted classes."""
    sensitivity, specificity = weighted_rates(labels, predicted, weights)
    return (sensitivity + specificity) / 2


def _by_score(labels: Bools, scores: Floats, weights: Weights) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at each distinct score, ascending: [D, K] each."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) != 0)
    ordered, truth = weights[:, order].astype(np.float64), labels[order]
    return np.add.reduceat(ordered * truth, starts, axis=1), np.add.reduceat(ordered * ~truth, starts, axis=1)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
