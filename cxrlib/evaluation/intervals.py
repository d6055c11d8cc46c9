"""Intervals: exact for a rate, by a bootstrap over patients for everything else."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse
from statsmodels.stats.proportion import proportion_confint

from cxrlib.errors import DataError, ParameterError

Floats = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[np.bool_], Floats, npt.NDArray[np.float32]], Floats]
"""(labels [N], scores [N], weights [D, N]) -> [D]: a statistic of D weighted samples; see `cxrlib.evaluation.ranking`."""

_BLOCK = 1 << 22  # weights held at once (16 MiB)


def clopper_pearson(successes: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Exact two-sided interval of a binomial rate (Clopper and Pearson, 1934): (low, high).

    successes, trials: whole numbers, broadcast together; level: coverage in (0, 1). Each end cuts off at most
    (1 - level) / 2. No trials say nothing: (0, 1). Raises ParameterError for counts that cannot be.
    """
    _check_level(level)
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if not (
        np.isfinite(n).all()
        and (k >= 0).all()
        and (k <= n).all()
        and (k == np.rint(k)).all()
        and (n == np.rint(n)).all()
    ):
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

    labels: [N], 0 or 1; scores: float [N]; groups: [N], the patient (or connected component) of each image, so that
    images of one patient stay together; statistics: see `Statistic`. Patients with a positive image and patients
    without are drawn separately, each as many as there are, since the test set fixes how many there are of each;
    without that a draw of a rare class can be empty. Both ends are NaN where a class is missing from the data or, since
    a patient can have images of both, from a draw.

    A statistic at its bound in the sample (a sensitivity of 1) is at it in every draw: the percentile interval
    then shows no uncertainty, where `clopper_pearson` does.
    """
    _check_level(level)
    if draws < 1:
        raise ParameterError(f"draws = {draws} is not allowed: draws must be a whole number of at least 1.")
    y, x = np.asarray(labels) == 1, np.asarray(scores, np.float64)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if not len(y) == len(x) == len(group):
        raise DataError(f"labels ({len(y)}), scores ({len(x)}) and groups ({len(group)}) must be of one length.")
    if y.all() or not y.any():
        return dict.fromkeys(statistics, (float("nan"), float("nan")))
    member = sparse.csr_array(
        (np.ones(len(group), np.float32), (np.arange(len(group)), group)), shape=(len(group), len(names))
    )
    has_positive = np.bincount(group, weights=y, minlength=len(names)) > 0
    generator = np.random.default_rng(seed)
    values: dict[str, list[Floats]] = {name: [] for name in statistics}
    block = max(_BLOCK // len(y), 1)
    for start in range(0, draws, block):
        counts = _draw(has_positive, min(block, draws - start), generator)
        weights = (member @ counts.T).T
        for name, statistic in statistics.items():
            values[name].append(statistic(y, x, weights))
    ends = ((1 - level) / 2, (1 + level) / 2)
    return {name: tuple(map(float, np.quantile(np.concatenate(parts), ends))) for name, parts in values.items()}  # type: ignore[misc]


def over_runs(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float, float]]:
    """Mean over several runs on the same images, with one bootstrap over components and runs together: (mean, low, high).

    scores: float [N, S], a column a run (a training seed); the rest as in `bootstrap_intervals`. Each draw of components
    comes with a draw of runs, so that the interval holds the noise of the test set and of training again.
    """
    y, x = np.asarray(labels) == 1, np.asarray(scores, np.float64).reshape(len(np.asarray(labels)), -1)
    runs = x.shape[1]
    generator = np.random.default_rng([seed, runs])
    one = np.ones((1, len(y)), np.float32)

    def mean(statistic: Statistic) -> Statistic:
        def drawn(truth: npt.NDArray[np.bool_], score: Floats, weights: npt.NDArray[np.float32]) -> Floats:
            share = generator.multinomial(runs, np.full(runs, 1 / runs), size=len(weights)).T / runs
            return np.asarray((share * [statistic(truth, column, weights) for column in score.T]).sum(axis=0))

        return drawn

    ends = bootstrap_intervals(y, x, groups, {name: mean(s) for name, s in statistics.items()}, draws, seed, level)
    means = {name: np.mean([s(y, column, one)[0] for column in x.T]) for name, s in statistics.items()}
    return {name: (float(means[name]), *ends[name]) for name in statistics}


def _draw(stratum: npt.NDArray[np.bool_], draws: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """How often each patient is drawn, [draws, patients]: resampling within each of the two strata."""
    counts = np.zeros((draws, len(stratum)), np.float32)
    for part in (stratum, ~stratum):
        size = int(part.sum())
        if size:
            counts[:, part] = generator.multinomial(size, np.full(size, 1 / size), size=draws)
    return counts


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ParameterError(f"level = {level} is not allowed: level must lie between 0 and 1, as 0.95.")
