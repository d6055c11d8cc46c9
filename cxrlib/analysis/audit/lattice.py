"""What a printed row says of its confusion matrix, exactly: lattice points (TP, TN) inside the strip of every figure.

With P positives and N negatives fixed, each quantity is (a TP + b TN + c) / (d TP + e TN + f), and its figure bounds it. That
is two linear inequalities in whole numbers, which leave an interval of TN for each TP = 0..P; a row is possible where those of
all figures meet. For one proportion this is the granularity test of Brown and Heathers (2017). AUROC, MCC and kappa are not of
this kind.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.errors import DataError, ParameterError

Ints = npt.NDArray[np.int64]
Range = tuple[Ints, Ints]
"""First and last TN, for each TP; empty where first > last."""
Bounds = tuple[int, int, int, int, int]
"""The values that print as a figure: low and high end in 1 / unit, whether each is open (0 or 1), and the unit."""
LARGEST_SEARCH = 20_000_000  # sizes times numbers of true positives tried in one search, at most (some seconds)
_FAR = np.int64(2**62)
Linear = tuple[Any, Any, Any]
"""Factors of TP, of TN and of 1: whole numbers, or integer arrays shaped as the sizes are."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of a confusion matrix, and under which headers beside its name and title it is found.

    fraction: numerator and denominator for P and N. kind: "proportion" (of a count that is given), "rate" or "count".
    """

    title: str
    formula: str
    fraction: Callable[[Any, Any], tuple[Linear, Linear]]
    aliases: tuple[str, ...]
    kind: str

    def value(self, tp: npt.ArrayLike, tn: npt.ArrayLike, positives: int, negatives: int) -> Any:
        """The quantity at broadcastable TP and TN, float64; NaN where its denominator is 0."""
        t, u = np.asarray(tp, np.float64), np.asarray(tn, np.float64)
        (a, b, c), (d, e, f) = self.fraction(positives, negatives)
        below = d * t + e * u + f
        return (a * t + b * u + c) / np.where(below == 0, np.nan, below)

    def whole(self, positives: int, negatives: int) -> int:
        """The number of images that a proportion is a share of."""
        return int(self.fraction(positives, negatives)[1][2])


def _kind(kind: str) -> Callable[..., Quantity]:
    return lambda title, formula, fraction, *aliases: Quantity(title, formula, fraction, aliases, kind)


_share, _rate, _count = map(_kind, ("proportion", "rate", "count"))

QUANTITIES: dict[str, Quantity] = {
    "sensitivity": _share(
        "sensitivity", "TP / P", lambda p, n: ((1, 0, 0), (0, 0, p)), "recall", "tpr", "true positive rate"
    ),
    "specificity": _share("specificity", "TN / N", lambda p, n: ((0, 1, 0), (0, 0, n)), "tnr", "true negative rate"),
    "bacc": _rate("balanced accuracy", "(TP / P + TN / N) / 2", lambda p, n: ((n, p, 0), (0, 0, 2 * p * n))),
    "accuracy": _share("accuracy", "(TP + TN) / (P + N)", lambda p, n: ((1, 1, 0), (0, 0, p + n)), "acc"),
    "ppcr": _share(
        "predicted positive condition rate", "(TP + FP) / (P + N)", lambda p, n: ((1, -1, n), (0, 0, p + n))
    ),
    "precision": _rate(
        "precision", "TP / (TP + FP)", lambda p, n: ((1, 0, 0), (1, -1, n)), "ppv", "positive predictive value"
    ),
    "npv": _rate("negative predictive value", "TN / (TN + FN)", lambda p, n: ((0, 1, 0), (-1, 1, p))),
    "f1": _rate("F1 score", "2 TP / (2 TP + FP + FN)", lambda p, n: ((2, 0, 0), (1, -1, p + n)), "f score"),
    "fpr": _share("false positive rate", "FP / N", lambda p, n: ((0, -1, n), (0, 0, n))),
    "fnr": _share("false negative rate", "FN / P", lambda p, n: ((-1, 0, p), (0, 0, p))),
    "error": _share("error rate", "(FP + FN) / (P + N)", lambda p, n: ((-1, -1, p + n), (0, 0, p + n))),
    "youden": _rate("Youden's J", "TP / P + TN / N - 1", lambda p, n: ((n, p, -p * n), (0, 0, p * n)), "youden index"),
    "tp": _count("true positives", "TP", lambda p, n: ((1, 0, 0), (0, 0, 1))),
    "fn": _count("false negatives", "P - TP", lambda p, n: ((-1, 0, p), (0, 0, 1))),
    "tn": _count("true negatives", "TN", lambda p, n: ((0, 1, 0), (0, 0, 1))),
    "fp": _count("false positives", "N - TN", lambda p, n: ((0, -1, n), (0, 0, 1))),
}
"""Every quantity the audit can check, by name."""


@dataclass(frozen=True)
class Figure:
    """One printed figure: `units` of its last digit, of which `scale` make 1 (percentages count as such)."""

    text: str
    units: int
    scale: int

    @property
    def value(self) -> Fraction:
        """The printed number, exactly (a percentage as a fraction of 1)."""
        return Fraction(self.units, self.scale)

    @property
    def half_unit(self) -> Fraction:
        """Half a unit of the last digit: how far rounding to nearest may have moved it."""
        return Fraction(1, 2 * self.scale)

    def bounds(self, loose: bool = False) -> Bounds:
        """The values that print as this figure: rounded to nearest, a tie either way; `loose`: or with digits cut off.

        Where 0 is printed the open end is closed, so that a rate whose denominator is 0 may print as 0.
        """
        low, high = 2 * abs(self.units) - 1, 2 * abs(self.units) + (2 if loose else 1)
        is_open = int(loose and self.units != 0)
        if self.text.lstrip()[:1] in ("-", "−"):
            return -high, -low, is_open, 0, 2 * self.scale
        return low, high, 0, is_open, 2 * self.scale


@dataclass(frozen=True)
class Row:
    """One row: its number from 1, its label, its printed figures by column, the stated sizes of its test set."""

    number: int
    label: str
    figures: Mapping[str, Figure]
    positives: int
    negatives: int


def strip(quantity: Quantity, bounds: Bounds, positives: Any, negatives: Any, tp: Any) -> Range:
    """First and last TN with which `quantity` falls within `bounds`, for each TP (TN is not yet confined to 0..N).

    Sizes and TP broadcast. A rate whose denominator is 0 counts as printed 0. DataError where 64-bit integers do not suffice.
    """
    low, high, low_open, high_open, unit = bounds
    (a, b, c), (d, e, f) = quantity.fraction(positives, negatives)
    largest = [int(np.max(np.abs(part))) for part in (a, b, c, d, e, f, positives, negatives)]
    if 4 * max(largest[:6]) * max(largest[6:]) * max(map(abs, bounds)) >= 2**62:
        raise DataError(
            f"a test set of {largest[6]} + {largest[7]} with so many printed digits is beyond exact 64-bit arithmetic: "
            "give fewer decimals or audit a part of the table."
        )
    above, below = a * tp + c, d * tp + f
    first, last = np.asarray(-_FAR), np.asarray(_FAR)
    for slope, rest in (  # slope * TN >= rest
        (unit * b - low * e, low_open - unit * above + low * below),
        (high * e - unit * b, high_open - high * below + unit * above),
        (e, 1 - below) if low > 0 else (0, 0),
    ):
        slope, rest = np.broadcast_arrays(np.asarray(slope, np.int64), np.asarray(rest, np.int64))
        size = np.where(slope == 0, 1, np.abs(slope))
        never = (slope == 0) & (rest > 0)
        first = np.maximum(first, np.where(never, _FAR, np.where(slope > 0, -(-rest // size), -_FAR)))
        last = np.minimum(last, np.where(never, -_FAR, np.where(slope < 0, -rest // size, _FAR)))
    return first, last


def strips(row: Row, columns: Mapping[str, str], loose: bool = False) -> dict[str, Range]:
    """The TN that each of the row's figures allows at TP = 0..P, by header; columns: the quantity a column holds."""
    p, n, tp = row.positives, row.negatives, np.arange(row.positives + 1, dtype=np.int64)
    shown = {header: figure.bounds(loose) for header, figure in row.figures.items() if header in columns}
    return {header: strip(QUANTITIES[columns[header]], bounds, p, n, tp) for header, bounds in shown.items()}


def strips_table(row: Row, columns: Mapping[str, str]) -> pd.DataFrame:
    """The TN that each printed figure of a row allows at each TP: column, tp, first, last; empty if first > last."""
    parts = []
    for header, (first, last) in strips(row, columns).items():
        ends = {"tp": np.arange(len(first)), "first": first.clip(0), "last": last.clip(None, row.negatives)}
        parts.append(pd.DataFrame({"column": f"{header} {row.figures[header].text}", **ends}))
    return pd.concat(parts, ignore_index=True)


def meet(row: Row, ranges: Iterable[Range]) -> Ints:
    """The confusion matrices where strips meet: every (TP, first TN, last TN), int64 [K, 3]."""
    first, last = np.zeros(row.positives + 1, np.int64), np.full(row.positives + 1, row.negatives, np.int64)
    for one_first, one_last in ranges:
        first, last = np.maximum(first, one_first), np.minimum(last, one_last)
    found = np.flatnonzero(first <= last)
    return np.stack([found, first[found], last[found]], axis=1)


def count(found: Ints) -> int:
    """How many confusion matrices the ranges of `meet` hold."""
    return int((found[:, 2] - found[:, 1] + 1).sum())


def implied(found: Ints, quantity: str, row: Row) -> tuple[float, float]:
    """Lowest and highest value of a quantity over the matrices found for a row; NaN if it is undefined for all.

    Each quantity is monotone in TN for a given TP, so the ends of the ranges suffice.
    """
    ends = pd.Series(QUANTITIES[quantity].value(found[:, :1], found[:, 1:], row.positives, row.negatives).ravel())
    return float(ends.min()), float(ends.max())


def search_sizes(row: Row, columns: Mapping[str, str], loose: bool = False) -> pd.DataFrame:
    """Every test set within bounds whose size allows the row's figures in `columns`, nearest to the stated one first.

    Tried are 1 to four times the positives and half to twice the negatives, or less, as `attrs["bounds"]` says; ParameterError
    beyond `LARGEST_SEARCH`. Columns: positives, negatives, matrices, tp, tn (of one of them), distance (in images).
    """
    p, n = row.positives, row.negatives
    figures = [(columns[h], figure.bounds(loose)) for h, figure in row.figures.items() if h in columns]
    figures.sort(key=lambda figure: figure[0] != "sensitivity")  # which leaves few TP to try, so it goes first
    name, (low, high, _, _, unit) = figures[0]
    share = min(1.0, (high - low) / unit) if name == "sensitivity" else 1.0
    narrow, around = range(max(1, p // 2), 2 * p + 1), range(max(1, n // 2), 2 * n + 1)
    for sizes, others in ((range(1, 4 * p + 1), around), (narrow, around), (narrow, range(n, n + 1))):
        if sum(share * size + 1 for size in sizes) * len(others) <= LARGEST_SEARCH:
            break
    else:
        raise ParameterError("this search over sizes is too large: there are too many positives and negatives to try.")
    negatives, found = np.array(others), []
    for positives in sizes:
        tp = np.arange(positives + 1)[:, None]
        first, last = np.zeros((len(tp), 1), np.int64), negatives[None]
        for name, bounds in figures:
            one_first, one_last = strip(QUANTITIES[name], bounds, positives, negatives, tp)
            first, last = np.maximum(first, one_first), np.minimum(last, one_last)
            some = (first <= last).any(axis=1)
            tp, first, last = tp[some], first[some], last[some]
        at, place = np.nonzero(first <= last)
        first, last = (np.broadcast_to(end, (len(tp), negatives.size))[at, place] for end in (first, last))
        fitting = (np.full(len(at), positives), negatives[place], last - first + 1, tp[at, 0], first)
        found.append(np.column_stack(fitting))
    frame = pd.DataFrame(np.concatenate(found), columns=["positives", "negatives", "matrices", "tp", "tn"])
    how = {"matrices": "sum", "tp": "first", "tn": "first"}
    frame = frame.groupby(["positives", "negatives"], as_index=False).agg(how)
    frame["distance"] = (frame["positives"] - p).abs() + (frame["negatives"] - n).abs()
    frame = frame.sort_values(["distance", "positives", "negatives"], ignore_index=True)
    frame.attrs["bounds"] = f"{sizes[0]:,} to {sizes[-1]:,} positives and {others[0]:,} to {others[-1]:,} negatives"
    return frame
