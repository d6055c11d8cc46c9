"""The disease or the source? What a score tells within one source, and what it tells of the source where nobody is ill.

A source is where an image was published. Where COVID-19 comes from few sources, a network that reads the source alone ranks
well over all images. Two figures take that apart: the AUROC over pairs of one source, which the source cannot help, and the
AUROC with which the same score tells COVID-19's sources from the others among negatives, which the disease cannot help.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cxrlib.errors import DataError
from cxrlib.evaluation.intervals import over_runs
from cxrlib.evaluation.ranking import Bools, Floats, Statistic, Weights, weighted_auroc

KEYS = ("value", "low", "high", "positives", "negatives", "sources")


def within_source(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    sources: npt.ArrayLike,
    groups: npt.ArrayLike,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """AUROC over the pairs of a positive and a negative of the same source, a tie counting one half.

    labels: [N], 0 or 1; scores: float [N], or [N, S] of S training seeds, whose AUROCs are averaged; sources: [N], names;
    groups: [N], the patient or component of each image. Only sources with both classes take part. Returns `KEYS` as plain
    numbers: value with its 95 % interval by a bootstrap over components and seeds (None where no source has both classes),
    the images compared and the number of sources.
    """
    y, x, source, group = _checked(labels, scores, sources, groups)
    mixed = [name for name in np.unique(source) if 0 < y[source == name].sum() < (source == name).sum()]
    rows = np.isin(source, mixed)
    members = [source[rows] == name for name in mixed]

    def pooled(truth: Bools, score: Floats, weights: Weights) -> Floats:
        won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for member in members:
            part, positive = weights[:, member].astype(np.float64), truth[member]
            compared = part[:, positive].sum(axis=1) * part[:, ~positive].sum(axis=1)
            won += np.where(compared > 0, weighted_auroc(positive, score[member], part), 0) * compared
            pairs += compared
        return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)

    return _found(y[rows], x[rows], group[rows], pooled, len(mixed), draws, seed)


def source_among_negatives(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    sources: npt.ArrayLike,
    groups: npt.ArrayLike,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """AUROC with which the score tells, among negatives alone, those of a source of COVID-19 from those of the others.

    Arguments and result as in `within_source`; a source of COVID-19 is one with a positive image. `positives` are the
    negatives of such sources, `negatives` those of the other sources, `sources` how many sources of COVID-19 there are.
    """
    y, x, source, group = _checked(labels, scores, sources, groups)
    of_covid = np.isin(source, np.unique(source[y]))
    return _found(of_covid[~y], x[~y], group[~y], weighted_auroc, len(np.unique(source[y])), draws, seed)


def _found(
    y: Bools, x: Floats, group: npt.NDArray[Any], statistic: Statistic, sources: int, draws: int, seed: int
) -> dict[str, Any]:
    values = (np.nan,) * 3
    if y.any() and not y.all():
        values = over_runs(y, x, group, {"value": statistic}, draws, seed)["value"]
    numbers = (float(value) if np.isfinite(value) else None for value in values)
    return dict(zip(KEYS, (*numbers, int(y.sum()), int((~y).sum()), sources), strict=True))


def _checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, sources: npt.ArrayLike, groups: npt.ArrayLike
) -> tuple[Bools, Floats, npt.NDArray[Any], npt.NDArray[Any]]:
    y, x, source, group = np.asarray(labels), np.asarray(scores, np.float64), np.asarray(sources), np.asarray(groups)
    if not len(y) == len(x) == len(source) == len(group):
        raise DataError(
            f"labels ({len(y)}), scores ({len(x)}), sources ({len(source)}) and groups ({len(group)}) must be of one length."
        )
    if not np.isin(y, (0, 1)).all() or not np.isfinite(x).all():
        raise DataError("labels must be 0 (non-COVID) or 1 (COVID), and scores finite numbers.")
    return y == 1, x.reshape(len(y), -1), source.astype(str), group
