"""Intervals: exact for a rate, by one bootstrap over patients, and over training runs with them, for everything else.

A `Statistic` takes labels bool [N], scores float [N] (or predicted classes bool [N]) and weights [D, N], how often each
image is drawn, and returns float64 [D]; NaN where a draw lacks a class. With weights of one it equals scikit-learn's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32] | Floats
Statistic = Callable[[Bools, Floats, Weights], Floats]
Run = tuple[int, int]  # draw of the images, seed of the training

LEVEL = 0.95  # coverage of every interval
_ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_BLOCK = 1 << 22  # weights held at once (16 MiB)


def clopper_pearson(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Exact two-sided 95 % interval of a binomial rate (Clopper and Pearson, 1934): (low, high).

    Whole numbers, broadcast together. Each end cuts off at most 2.5 %. No trials say nothing: (0, 1).
    """
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    low, high = proportion_confint(k, np.maximum(n, 1), alpha=1 - LEVEL, method="beta")
    return np.asarray(low), np.where(k < n, high, 1.0)


def weighted_auroc(labels: Bools, scores: Floats, weights: Weights) -> Floats:
    """Area under the ROC curve: the chance that a positive outranks a negative, a tie counting one half."""
    positive, negative = _by_score(labels, scores, weights)
    below = np.cumsum(negative, axis=1) - negative / 2
    return ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def weighted_auprc(labels: Bools, scores: Floats, weights: Weights) -> Floats:
    """Average precision: precision at each score cut, weighted by the sensitivity that the cut adds."""
    positive, negative = (part[:, ::-1] for part in _by_score(labels, scores, weights))
    caught, called = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.divide(caught, called, out=np.zeros_like(caught), where=called > 0)
    average = ratio((positive * precision).sum(axis=1), caught[:, -1])
    return np.where(negative.sum(axis=1) > 0, average, np.nan)


def weighted_rates(labels: Bools, predicted: Bools, weights: Weights) -> tuple[Floats, Floats]:
    """Sensitivity and specificity of predicted classes."""
    wide = weights.astype(np.float64)
    return ratio(wide @ (labels & predicted), wide @ labels), ratio(wide @ ~(labels | predicted), wide @ ~labels)


def weighted_bacc(labels: Bools, predicted: Bools, weights: Weights) -> Floats:
    """Balanced accuracy of predicted classes."""
    sensitivity, specificity = weighted_rates(labels, predicted, weights)
    return (sensitivity + specificity) / 2


AREAS: dict[str, Statistic] = {"auroc": weighted_auroc, "auprc": weighted_auprc}


def _by_score(labels: Bools, scores: Floats, weights: Weights) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at each distinct score, ascending: [D, K] each."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) != 0)
    ordered, truth = weights[:, order].astype(np.float64), labels[order]
    return np.add.reduceat(ordered * truth, starts, axis=1), np.add.reduceat(ordered * ~truth, starts, axis=1)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotients [D]; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def bootstrap(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Statistics with percentile intervals, by resampling whole patients with replacement: name -> (value, low, high).

    labels: [N], 0 or 1; groups: [N], the patient (or component) of each image; scores: float [N], or [N, S] of S runs
    of training on the same images: a statistic is then their mean, and each draw of patients comes with a draw of runs.
    Patients with a positive image and patients without are drawn separately. NaN where a class is missing from the data
    or, since a patient can have images of both, from a draw. A statistic at its bound (a sensitivity of 1) is at it in
    every draw: its percentile interval shows no uncertainty, where `clopper_pearson` does.
    """
    y = np.asarray(labels) == 1
    if y.all() or not y.any():
        return dict.fromkeys(statistics, (np.nan, np.nan, np.nan))
    columns = np.asarray(scores, np.float64).reshape(len(y), -1).T
    _, group, stratum = _strata(np.asarray(groups), y)
    runs, block = len(columns), max(_BLOCK // len(y), 1)
    of_patients, of_runs = np.random.default_rng(seed), np.random.default_rng([seed, runs])
    values: dict[str, list[Floats]] = {name: [] for name in statistics}
    for start in range(0, draws, block):
        weights = _draw(stratum, min(block, draws - start), of_patients).T[group].T
        for name, statistic in statistics.items():
            share = of_runs.multinomial(runs, np.full(runs, 1 / runs), size=len(weights)).T / runs
            values[name].append((share * [statistic(y, x, weights) for x in columns]).sum(axis=0))
    one, found = np.ones((1, len(y)), np.float32), {}
    for name, statistic in statistics.items():
        low, high = np.quantile(np.concatenate(values[name]), _ENDS)
        found[name] = float(np.mean([statistic(y, x, one)[0] for x in columns])), float(low), float(high)
    return found


class Bootstrap:
    """The same for means over runs that share a part of their test images: the data as they are, then `draws`.

    groups, positive: [N], over all test images of all runs. Each draw takes the same patients for all runs, which are
    never pooled as if independent, and seeds anew within each draw of the images.
    """

    def __init__(self, groups: npt.ArrayLike, positive: Bools, runs: Iterable[Run], draws: int = 300):
        names, _, stratum = _strata(np.asarray(groups), positive)
        generator = np.random.default_rng(0)
        self._place = pd.Series(np.arange(len(names)), names)
        self._counts = np.concatenate([np.ones((1, len(names)), np.float32), _draw(stratum, draws, generator)])
        self._runs: dict[Run, Floats] = {}
        for draw, group in pd.DataFrame(sorted(set(runs)), columns=["draw", "seed"]).groupby("draw"):
            drawn = generator.multinomial(len(group), np.full(len(group), 1 / len(group)), size=draws)
            for k, training in enumerate(group["seed"]):
                self._runs[int(str(draw)), training] = np.concatenate([[1.0], drawn[:, k]])

    def images(self, groups: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """How often each image is drawn, [1 + draws, N], from its patient."""
        return self._counts[:, self._place.loc[np.asarray(groups)].to_numpy()]

    def mean(self, values: Mapping[Any, Floats]) -> Floats:
        """Mean of values [1 + draws] by run over the runs drawn; a pair (draw, seed, seed) counts as often as both."""
        weights = {run: np.prod([self._runs[run[0], s] for s in run[1:]], axis=0) for run in values}
        summed = np.sum([weights[run] * values[run] for run in values], axis=0)
        return ratio(summed, np.sum([*weights.values()], axis=0))


def interval_of(values: Floats) -> tuple[float, float, float]:
    """The value of the data, which comes first, and the middle 95 % of the draws; NaN where none is defined."""
    known = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(known, _ENDS) if len(known) else (np.nan, np.nan)
    return float(values[0]), float(low), float(high)


def _strata(groups: npt.NDArray[Any], positive: Bools) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], Bools]:
    """The patients, each image's patient as a number, and whether a patient has a positive image."""
    names, code = np.unique(groups, return_inverse=True)
    return names, code, np.bincount(code, weights=positive, minlength=len(names)) > 0


def _draw(stratum: Bools, draws: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """How often each patient is drawn, [draws, patients]: resampling within each of the two strata."""
    counts = np.zeros((draws, len(stratum)), np.float32)
    for part in filter(np.any, (stratum, ~stratum)):
        counts[:, part] = generator.multinomial(part.sum(), np.full(part.sum(), 1 / part.sum()), size=draws)
    return counts
