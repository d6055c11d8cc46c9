"""Section VI.C: what a classifier got right, from counts, each rate with its exact interval.

COVID is the positive class, predicted where the probability is strictly above the threshold: at 0.5 a tie is non-COVID.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cxrlib.errors import DataError
from cxrlib.evaluation.intervals import AREAS, LEVEL, Bools, Floats, bootstrap, clopper_pearson, weighted_bacc
from cxrlib.paper.tables import REFERENCE

COUNTS = ("tp", "fn", "tn", "fp")
RATES = {
    "sensitivity": (("tp",), ("tp", "fn"), "there are no positive images"),
    "specificity": (("tn",), ("tn", "fp"), "there are no negative images"),
    "ppcr": (("tp", "fp"), COUNTS, "there are no images"),
    "accuracy": (("tp", "tn"), COUNTS, "there are no images"),
    "precision": (("tp",), ("tp", "fp"), "no image is predicted positive"),
    "npv": (("tn",), ("tn", "fn"), "no image is predicted negative"),
}
"""Each binomial rate: the counts of its numerator, of its denominator, and why it can be undefined.

`ppcr` is the predicted positive condition rate as section VI.C defines it, (TP + FP) / N. The paper's PPCR column holds
`accuracy` instead: on its test set this rate could not exceed 0.25 for any of its rows.
"""
RANKED = ("bacc", "auroc", "auprc")  # not binomial: their intervals are bootstrapped by patient


def point_values(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, scores: npt.ArrayLike | None = None, threshold: float = 0.5
) -> dict[str, int | float | None]:
    """Counts (tp, fn, tn, fp), rates and areas without intervals; arguments as in `summary`, None where undefined."""
    truth, p, rank = _checked(labels, probabilities, scores)
    positive, one = p > threshold, np.ones((1, len(truth)))
    pairs = (truth & positive, truth & ~positive, ~truth & ~positive, ~truth & positive)
    counts = {name: int(chosen.sum()) for name, chosen in zip(COUNTS, pairs, strict=True)}
    rates = {name: k / n if n else None for name, (k, n) in _fractions(counts).items()}
    both = (rates["sensitivity"], rates["specificity"])
    bacc = None if None in both else sum(both) / 2  # type: ignore[arg-type]
    ranked = {name: _plain(area(truth, rank, one)[0]) if len(truth) else None for name, area in AREAS.items()}
    return {**counts, **rates, "bacc": bacc, **ranked}


def summary(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    threshold: float = 0.5,
    *,
    scores: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Counts, rates and areas of one set of predictions as plain numbers, ready for JSON.

    labels: [N], 0 or 1; probabilities: [N] in [0, 1]; scores: what AUROC and AUPRC rank by, such as logits, which do
    not saturate (default: the probabilities); groups: the patient or component of each image. Keys: n, positives,
    negatives, `COUNTS`, threshold, level; `RATES` and `RANKED`; with `_low` and `_high` their intervals, exact for the
    rates, bootstrapped by patient for the others (None without `groups`); `undefined`: why. Raises DataError.
    """
    truth, p, rank = _checked(labels, probabilities, scores)
    values = point_values(truth, p, rank, threshold)
    counts = {name: int(values[name] or 0) for name in COUNTS}
    ends = {name: tuple(map(float, clopper_pearson(k, n))) for name, (k, n) in _fractions(counts).items()}
    ends |= dict.fromkeys(RANKED, (np.nan, np.nan))
    if groups is not None:
        statistics = {"bacc": lambda y, _, weights: weighted_bacc(y, p > threshold, weights), **AREAS}
        ends |= {name: found[1:] for name, found in bootstrap(truth, rank, groups, statistics, draws, seed).items()}
    found: dict[str, Any] = {"n": len(truth), "positives": int(truth.sum()), "negatives": int((~truth).sum()), **values}
    found |= {"threshold": float(threshold), "level": LEVEL}
    undefined = {}
    for name in (*RATES, *RANKED):
        low, high = map(_plain, ends[name])
        if values[name] is None:
            parts = (name,) if name in RATES else ("sensitivity", "specificity")
            undefined[name] = next(RATES[part][2] for part in parts if values[part] is None)
            low = high = None
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found | {"undefined": undefined}


def gain(bacc: float, ppcr_printed: float) -> float:
    """Table II's Gain as a fraction, a relative change: ((bACC + PPCR) / 2) over that of its SqueezeNet row, minus 1.

    `ppcr_printed` is what the paper's PPCR column holds: pass the accuracy of a run to set it beside the paper.
    """
    return (bacc + ppcr_printed) / (REFERENCE.bacc + REFERENCE.ppcr) - 1


def tune_threshold(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """The threshold with the highest balanced accuracy on validation data.

    All thresholds between two neighbouring probabilities decide alike, so the best ones form plateaus: the middle of
    the widest is taken, of equally wide ones the lowest. Raises DataError if a class is missing.
    """
    truth, p, _ = _checked(labels, probabilities)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not (positives and negatives):
        raise DataError("a threshold can only be tuned where both classes occur: give validation data with both.")
    distinct, at = np.unique(p, return_inverse=True)
    # Interval j holds the thresholds from edges[j] to edges[j + 1]: the j lowest probabilities are predicted negative.
    edges = np.concatenate([[0.0], distinct, [1.0]])
    missed = np.concatenate([[0], np.cumsum(np.bincount(at, weights=truth)).astype(np.int64)])
    spared = np.concatenate([[0], np.cumsum(np.bincount(at, weights=~truth)).astype(np.int64)])
    score = (positives - missed) * negatives + spared * positives  # bACC, exactly, up to a factor
    score[0] = score[0] if distinct[0] > 0 else -1  # no threshold lies below a probability of 0
    best = np.flatnonzero(np.diff(np.concatenate([[False], score == score.max(), [False]]).astype(np.int8)))
    plateaus = edges[best].reshape(-1, 2)
    low, high = map(float, plateaus[np.argmax(plateaus[:, 1] - plateaus[:, 0])])
    return max(low, min((low + high) / 2, float(np.nextafter(high, -np.inf))))


def _checked(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, scores: npt.ArrayLike | None = None
) -> tuple[Bools, Floats, Floats]:
    """Labels [N] as bool, probabilities and scores [N] as float64; raises DataError for what cannot be."""
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    rank = p if scores is None else np.asarray(scores, np.float64)
    if y.ndim != 1 or p.shape != y.shape or rank.shape != y.shape:
        raise DataError(f"labels {y.shape}, probabilities {p.shape} and scores {rank.shape} do not fit: give [N] each.")
    if not np.isin(y, (0, 1)).all():
        raise DataError("labels must be 0 (non-COVID) or 1 (COVID).")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("probabilities must be numbers from 0 to 1: some are outside, or not a number.")
    if not np.isfinite(rank).all():
        raise DataError("scores must be finite numbers, one a probability.")
    return y.astype(bool), p, rank


def _fractions(counts: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Numerator and denominator of each rate."""
    of = lambda names: sum(counts[name] for name in names)  # noqa: E731
    return {name: (of(above), of(below)) for name, (above, below, _) in RATES.items()}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
