"""The disease or the source? What a score tells within one source, and what it tells of the source where nobody is ill.

Where COVID-19 comes from few sources (places of publication), a network that reads the source alone ranks well over all
images. Two figures take that apart: the AUROC over pairs of one source, which the source cannot help, and the AUROC
with which the same score tells COVID-19's sources from the others among negatives, which the disease cannot help.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.evaluation.intervals import Bools, Floats, Statistic, Weights, bootstrap, ratio, weighted_auroc

KEYS = ("value", "low", "high", "positives", "negatives", "sources")


def within_source(rows: pd.DataFrame, logits: npt.ArrayLike | None = None, draws: int = 1000) -> dict[str, Any]:
    """AUROC over the pairs of a positive and a negative of the same source, a tie counting one half.

    rows: [N], with label (1 = COVID), source, component and, unless `logits` are given, logit; logits: [N, S] of S
    training seeds, whose AUROCs are averaged. Only sources with both classes take part. Returns `KEYS` as plain
    numbers: value with its interval by `intervals.bootstrap` (None where no source has both), images, their sources.
    """
    y, source = (rows["label"] == 1).to_numpy(), rows["source"].to_numpy()
    mixed = [name for name in np.unique(source) if 0 < y[source == name].sum() < (source == name).sum()]
    chosen = np.isin(source, mixed)
    return _judged(rows, logits, chosen, y, same_source(rows["source"][chosen]), len(mixed), draws)


def same_source(sources: pd.Series) -> Statistic:
    """The AUROC over the pairs of one source as a statistic of images from these sources [N]."""
    members = [(sources == name).to_numpy() for name in sources.unique()]

    def pooled(truth: Bools, score: Floats, weights: Weights) -> Floats:
        won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for member in members:
            part, positive = weights[:, member].astype(np.float64), truth[member]
            compared = part[:, positive].sum(axis=1) * part[:, ~positive].sum(axis=1)
            won += np.where(compared > 0, weighted_auroc(positive, score[member], part), 0) * compared
            pairs += compared
        return ratio(won, pairs)

    return pooled


def source_among_negatives(
    rows: pd.DataFrame, logits: npt.ArrayLike | None = None, draws: int = 1000
) -> dict[str, Any]:
    """AUROC with which the score tells, among negatives alone, those of a source of COVID-19 from those of the others.

    Arguments and result as in `within_source`; a source of COVID-19 is one with a positive image. `positives` are the
    negatives of such sources, `negatives` those of the other sources, `sources` how many sources of COVID-19 there are.
    """
    positive = rows["label"] == 1
    of_covid = rows.loc[positive, "source"].unique()
    target, chosen = rows["source"].isin(of_covid).to_numpy(), ~positive.to_numpy()
    return _judged(rows, logits, chosen, target, weighted_auroc, len(of_covid), draws)


def _judged(
    rows: pd.DataFrame, logits: Any, chosen: Bools, target: Bools, statistic: Statistic, sources: int, draws: int
) -> dict[str, Any]:
    y, scores = target[chosen], np.asarray(rows["logit"] if logits is None else logits)[chosen]
    ends = bootstrap(y, scores, rows["component"].to_numpy()[chosen], {"value": statistic}, draws)["value"]
    numbers = (value if np.isfinite(value) else None for value in ends)
    return dict(zip(KEYS, (*numbers, int(y.sum()), int((~y).sum()), sources), strict=True))
