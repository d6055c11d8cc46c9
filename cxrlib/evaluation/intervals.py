"""Intervals: exact for a rate, by one bootstrap over patients, and over training runs with them, for everything else."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.ranking import Bools, Floats, Statistic, Weights

Run = tuple[int, int]  # draw of the images, seed of the training
_BLOCK = 1 << 22  # weights held at once (16 MiB)


def clopper_pearson(successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Exact two-sided interval of a binomial rate (Clopper and Pearson, 1934): (low, high).

    successes, trials: whole numbers, broadcast together; level: coverage in (0, 1). Each end cuts off at most
    (1 - level) / 2. No trials say nothing: (0, 1). Raises ParameterError for counts that cannot be.
    """
    _check_level(level)
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if not ((k >= 0) & (k <= n) & (n < np.inf) & (k == np.rint(k)) & (n == np.rint(n))).all():
        raise ParameterError("successes and trials must be whole numbers with 0 <= successes <= trials.")
    low, high = proportion_confint(k, np.maximum(n, 1), alpha=1 - level, method="beta")
    return np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0)


def bootstrap_intervals(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of statistics by resampling whole patients with replacement: name -> (low, high).

    labels: [N], 0 or 1; scores: float [N]; groups: [N], the patient (or connected component) of each image. Patients with a
    positive image and patients without are drawn separately, each as many as there are, since the test set fixes how many
    there are of each. Both ends are NaN where a class is missing from the data or, since a patient can have images of both,
    from a draw. A statistic at its bound in the sample (a sensitivity of 1) is at it in every draw: the percentile interval
    then shows no uncertainty, where `clopper_pearson` does.
    """
    _check_level(level)
    if draws < 1:
        raise ParameterError(f"draws = {draws} is not allowed: draws must be a whole number of at least 1.")
    y, x, patients = np.asarray(labels) == 1, np.asarray(scores, np.float64), np.asarray(groups)
    if not len(y) == len(x) == len(patients):
        raise DataError(f"labels ({len(y)}), scores ({len(x)}) and groups ({len(patients)}) must be of one length.")
    if y.all() or not y.any():
        return dict.fromkeys(statistics, (float("nan"), float("nan")))
    _, group, stratum = _strata(patients, y)
    generator, block = np.random.default_rng(seed), max(_BLOCK // len(y), 1)
    values: dict[str, list[Floats]] = {name: [] for name in statistics}
    for start in range(0, draws, block):
        weights = _draw(stratum, min(block, draws - start), generator).T[group].T
        for name, statistic in statistics.items():
            values[name].append(statistic(y, x, weights))
    ends = {name: np.quantile(np.concatenate(v), ((1 - level) / 2, (1 + level) / 2)) for name, v in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def over_runs(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Mean over several runs on the same images, with one bootstrap over patients and runs together: (mean, low, high).

    scores: float [N, S], a column a run (a training seed); the rest as in `bootstrap_intervals`. Each draw of patients
    comes with a draw of runs, so that the interval holds the noise of the test set and of training again.
    """
    y, x = np.asarray(labels) == 1, np.asarray(scores, np.float64).reshape(len(np.asarray(labels)), -1)
    runs, one = x.shape[1], np.ones((1, len(y)), np.float32)
    generator = np.random.default_rng([seed, runs])

    def mean(statistic: Statistic) -> Statistic:
        def drawn(truth: Bools, score: Floats, weights: Weights) -> Floats:
            share = generator.multinomial(runs, np.full(runs, 1 / runs), size=len(weights)).T / runs
            return np.asarray((share * [statistic(truth, column, weights) for column in score.T]).sum(axis=0))

        return drawn

    ends = bootstrap_intervals(y, x, groups, {name: mean(s) for name, s in statistics.items()}, draws, seed)
    return {n: (float(np.mean([s(y, column, one)[0] for column in x.T])), *ends[n]) for n, s in statistics.items()}


class Bootstrap:
    """The same bootstrap for means over runs that share a part of their test images: the data as they are, then `draws`.

    groups, positive: [N], over all test images of all runs. runs: draw of the images and seed of every run. Each draw takes
    the same patients for all runs, which are never pooled as if independent, and seeds anew within each draw of the images.
    """

    def __init__(self, groups: npt.ArrayLike, positive: Bools, runs: Iterable[Run], draws: int = 300, seed: int = 0):
        names, _, stratum = _strata(np.asarray(groups), positive)
        generator = np.random.default_rng(seed)
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
        """Mean of values [1 + draws] by run, over the runs drawn; a pair of runs (draw, a, b) counts as often as both."""
        weights = {run: np.prod([self._runs[run[0], s] for s in run[1:]], axis=0) for run in values}
        total, summed = sum(weights.values()), sum(weights[run] * values[run] for run in values)
        return np.divide(summed, total, out=np.full(len(self._counts), np.nan), where=total > 0)


def interval_of(values: Floats) -> tuple[float, float, float]:
    """The value of the data, which comes first, and the middle 95 % of the draws; NaN where none is defined."""
    known = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
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


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ParameterError(f"level = {level} is not allowed: level must lie between 0 and 1, as 0.95.")
