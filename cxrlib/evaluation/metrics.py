"""Section VI.C: what a classifier got right, from counts, each rate with its exact interval.

COVID is the positive class. An image is predicted positive when its probability is strictly above the threshold,
so at 0.5 a tie is non-COVID, as argmax over the two softmax outputs has it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.intervals import bootstrap_intervals, clopper_pearson
from cxrlib.evaluation.ranking import weighted_auprc, weighted_auroc, weighted_bacc
from cxrlib.paper.tables import REFERENCE

Counts = npt.NDArray[np.int64]
Rate = Any  # a float64 scalar where the counts are scalars, else a float64 array of their shape


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of true positives, false negatives, true negatives and false positives.

    Each is a whole number or an array; arrays are broadcast to one shape and stand for that many matrices.
    Raises DataError for counts that are negative or not whole.
    """

    tp: Counts
    fn: Counts
    tn: Counts
    fp: Counts

    def __post_init__(self) -> None:
        given = np.broadcast_arrays(*(np.asarray(getattr(self, name), np.float64) for name in ("tp", "fn", "tn", "fp")))
        for name, counts in zip(("tp", "fn", "tn", "fp"), given, strict=True):
            if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.rint(counts)).all()):
                raise DataError(f"{name} = {counts.tolist()} is not a count: give whole numbers of at least 0.")
            object.__setattr__(self, name, counts.astype(np.int64))

    @classmethod
    def from_probabilities(
        cls, labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: npt.ArrayLike = 0.5
    ) -> "ConfusionMatrix":
        """The matrix of labels [N] and probabilities [..., N] at a threshold (scalar, or one a matrix [...]).

        Raises DataError for labels other than 0 and 1 and for probabilities outside [0, 1].
        """
        truth, p = _checked(labels, probabilities)
        positive = p > np.asarray(threshold, np.float64)[..., None]
        tp, fp = (positive & truth).sum(axis=-1), (positive & ~truth).sum(axis=-1)
        return cls(tp, truth.sum() - tp, (~truth).sum() - fp, fp)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """The pooled counts of both, for instance over seeds."""
        return ConfusionMatrix(self.tp + other.tp, self.fn + other.fn, self.tn + other.tn, self.fp + other.fp)

    @property
    def positives(self) -> Counts:
        """COVID images."""
        return self.tp + self.fn

    @property
    def negatives(self) -> Counts:
        """Non-COVID images."""
        return self.tn + self.fp

    @property
    def total(self) -> Counts:
        """All images."""
        return self.positives + self.negatives


def sensitivity(matrix: ConfusionMatrix) -> Rate:
    """TP / (TP + FN); NaN without positives."""
    return _rate("sensitivity", matrix)


def specificity(matrix: ConfusionMatrix) -> Rate:
    """TN / (TN + FP); NaN without negatives."""
    return _rate("specificity", matrix)


def balanced_accuracy(matrix: ConfusionMatrix) -> Rate:
    """Mean of sensitivity and specificity (bACC); NaN where either is."""
    return (sensitivity(matrix) + specificity(matrix)) / 2


def ppcr(matrix: ConfusionMatrix) -> Rate:
    """Predicted positive condition rate as section VI.C defines it, (TP + FP) / N.

    The paper's PPCR column holds `accuracy` instead: on its test set this rate could not exceed 0.25 for any of
    its rows.
    """
    return _rate("ppcr", matrix)


def accuracy(matrix: ConfusionMatrix) -> Rate:
    """(TP + TN) / N, which is what the column headed PPCR in Table II holds."""
    return _rate("accuracy", matrix)


def precision(matrix: ConfusionMatrix) -> Rate:
    """Positive predictive value, TP / (TP + FP), at the test set's prevalence; NaN if nothing is predicted positive."""
    return _rate("precision", matrix)


def npv(matrix: ConfusionMatrix) -> Rate:
    """Negative predictive value, TN / (TN + FN), at the test set's prevalence; NaN if nothing is predicted negative."""
    return _rate("npv", matrix)


def gain(
    bacc: npt.ArrayLike,
    ppcr_printed: npt.ArrayLike,
    reference_bacc: npt.ArrayLike = REFERENCE.bacc,
    reference_ppcr: npt.ArrayLike = REFERENCE.ppcr,
) -> Rate:
    """Table II's Gain as a fraction: ((bACC + PPCR) / 2) over the reference's, minus 1.

    `ppcr_printed` is what the paper's PPCR column holds, so pass the accuracy of a run to set it beside the paper.
    The reference is Table II's SqueezeNet row. It is a relative change, not a difference in points.
    """
    ours = np.asarray(bacc, np.float64) + np.asarray(ppcr_printed, np.float64)
    return (ours / (np.asarray(reference_bacc, np.float64) + np.asarray(reference_ppcr, np.float64)) - 1)[()]


_PARTS: dict[str, tuple[Callable[[ConfusionMatrix], Counts], Callable[[ConfusionMatrix], Counts], str]] = {
    "sensitivity": (lambda m: m.tp, lambda m: m.positives, "there are no positive images"),
    "specificity": (lambda m: m.tn, lambda m: m.negatives, "there are no negative images"),
    "ppcr": (lambda m: m.tp + m.fp, lambda m: m.total, "there are no images"),
    "accuracy": (lambda m: m.tp + m.tn, lambda m: m.total, "there are no images"),
    "precision": (lambda m: m.tp, lambda m: m.tp + m.fp, "no image is predicted positive"),
    "npv": (lambda m: m.tn, lambda m: m.tn + m.fn, "no image is predicted negative"),
}
"""Each binomial rate: its numerator, its denominator, and why it can be undefined."""

RATES = tuple(_PARTS)
RANKED = ("bacc", "auroc", "auprc")  # not binomial: their intervals are bootstrapped by patient


def undefined_reason(name: str, matrix: ConfusionMatrix) -> str | None:
    """Why a rate (or "bacc") is NaN for `matrix`, or for some of its matrices; None where it is defined."""
    if name == "bacc":
        return undefined_reason("sensitivity", matrix) or undefined_reason("specificity", matrix)
    _, denominator, reason = _part(name)
    return reason if (denominator(matrix) == 0).any() else None


def rate_interval(name: str, matrix: ConfusionMatrix, level: float = 0.95) -> tuple[Rate, Rate]:
    """Clopper-Pearson interval of a rate in `RATES`; it takes the images to be independent."""
    numerator, denominator, _ = _part(name)
    return clopper_pearson(numerator(matrix), denominator(matrix), level)


def summary(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    threshold: float = 0.5,
    *,
    scores: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Counts, rates and areas of one set of predictions as plain numbers, ready for JSON.

    labels: [N], 0 or 1; probabilities: [N] in [0, 1]; scores: what AUROC and AUPRC rank by, logits for instance,
    which do not saturate (default: the probabilities); groups: the patient or component of each image.
    Keys: n, positives, negatives, tp, fn, tn, fp, threshold, level; each rate of `RATES` and bacc, auroc, auprc; with
    `_low` and `_high` their intervals, exact for the rates, bootstrapped by patient for the others (None without
    `groups`); `undefined`, why a value is None. Raises DataError for labels or probabilities that cannot be.
    """
    truth, p = _checked(labels, probabilities)
    rank = _ranked_by(scores, p)
    matrix = ConfusionMatrix.from_probabilities(truth, p, threshold)
    values = point_values(truth, p, rank, threshold)
    intervals = {name: tuple(map(float, rate_interval(name, matrix, level))) for name in RATES}
    intervals |= dict.fromkeys(RANKED, (float("nan"), float("nan")))
    if groups is not None and matrix.positives and matrix.negatives:
        positive = p > threshold
        statistics = {
            "bacc": lambda y, _, weights: weighted_bacc(y, positive, weights),
            "auroc": weighted_auroc,
            "auprc": weighted_auprc,
        }
        intervals |= bootstrap_intervals(truth, rank, groups, statistics, draws, seed, level)
    reasons = {name: undefined_reason("bacc" if name in RANKED else name, matrix) for name in (*RATES, *RANKED)}
    counts = {name: int(getattr(matrix, name)) for name in ("positives", "negatives")}
    result: dict[str, Any] = {"n": len(truth), **counts, **values, "threshold": float(threshold), "level": float(level)}
    for name, reason in reasons.items():
        low, high = (None, None) if reason else (_plain(end) for end in intervals[name])
        result |= {f"{name}_low": low, f"{name}_high": high}
    return result | {"undefined": {name: reason for name, reason in reasons.items() if reason}}


def point_values(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, scores: npt.ArrayLike | None = None, threshold: float = 0.5
) -> dict[str, int | float | None]:
    """Counts, rates and areas without intervals; arguments as in `summary`, None where a value is undefined."""
    truth, p = _checked(labels, probabilities)
    rank = _ranked_by(scores, p)
    matrix = ConfusionMatrix.from_probabilities(truth, p, threshold)
    one = np.ones((1, len(truth)))
    return {
        **{name: int(getattr(matrix, name)) for name in ("tp", "fn", "tn", "fp")},
        **{name: _plain(_rate(name, matrix)) for name in RATES},
        "bacc": _plain(balanced_accuracy(matrix)),
        "auroc": _plain(weighted_auroc(truth, rank, one)[0]) if len(truth) else None,
        "auprc": _plain(weighted_auprc(truth, rank, one)[0]) if len(truth) else None,
    }


def tune_threshold(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """The threshold with the highest balanced accuracy on validation data.

    All thresholds between two neighbouring probabilities decide alike, so the best ones form plateaus: the middle
    of the widest is taken, of equally wide ones the lowest. labels: [N], 0 or 1; probabilities: [N] in [0, 1]. Raises
    DataError if a class is missing.
    """
    truth, p = _checked(labels, probabilities)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not (positives and negatives):
        raise DataError("a threshold can only be tuned where both classes occur: give validation data with both.")
    distinct, at = np.unique(p, return_inverse=True)
    # Interval j holds the thresholds from edges[j] up to edges[j + 1]: the j lowest probabilities are predicted negative.
    edges = np.concatenate([[0.0], distinct, [1.0]])
    missed = np.concatenate([[0], np.cumsum(np.bincount(at, weights=truth)).astype(np.int64)])
    spared = np.concatenate([[0], np.cumsum(np.bincount(at, weights=~truth)).astype(np.int64)])
    score = (positives - missed) * negatives + spared * positives  # bACC, exactly, up to a factor
    score[0] = score[0] if distinct[0] > 0 else -1  # no threshold lies below a probability of 0
    best = np.flatnonzero(np.diff(np.concatenate([[False], score == score.max(), [False]]).astype(np.int8)))
    starts, ends = edges[best[::2]], edges[best[1::2]]
    widest = int(np.argmax(ends - starts))
    low, high = float(starts[widest]), float(ends[widest])
    return max(low, min((low + high) / 2, float(np.nextafter(high, -np.inf))))


def _part(name: str) -> tuple[Callable[[ConfusionMatrix], Counts], Callable[[ConfusionMatrix], Counts], str]:
    if name not in _PARTS:
        raise ParameterError(f"unknown rate '{name}': choose one of {', '.join(_PARTS)}.")
    return _PARTS[name]


def _rate(name: str, matrix: ConfusionMatrix) -> Rate:
    numerator, denominator, _ = _PARTS[name]
    below = denominator(matrix)
    return np.divide(numerator(matrix), below, out=np.full(np.shape(below), np.nan), where=below > 0)[()]


def _ranked_by(scores: npt.ArrayLike | None, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rank = probabilities if scores is None else np.asarray(scores, np.float64)
    if rank.shape != probabilities.shape or not np.isfinite(rank).all():
        raise DataError("scores must be finite numbers, one a probability.")
    return rank


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _checked(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    if y.ndim != 1 or p.shape[-1:] != y.shape:
        raise DataError(
            f"labels {y.shape} and probabilities {p.shape} do not fit: give labels [N] and probabilities [..., N]."
        )
    if not np.isin(y, (0, 1)).all():
        raise DataError("labels must be 0 (non-COVID) or 1 (COVID).")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("probabilities must be numbers from 0 to 1: some are outside, or not a number.")
    return y.astype(bool), p
