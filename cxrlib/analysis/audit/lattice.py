"""Which confusion matrices can have printed a row: lattice points (TP, TN) inside every figure's strip, exactly.

A figure printed as x says low <= (a TP + b TN + c) / (d TP + e TN + f) <= high. Multiplied out, that is two linear
inequalities in whole numbers; for a given TP they leave an interval of TN. So a row is settled by an intersection of
intervals over TP = 0..P, in integer arithmetic, without a tolerance. For proportions this is the granularity test of
Brown and Heathers (2017) for means; several figures of one row sharpen it to a joint test.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cxrlib.analysis.audit.quantities import QUANTITIES, Quantity
from cxrlib.analysis.audit.table import Figure, Row
from cxrlib.errors import DataError

Ints = npt.NDArray[np.int64]
Bounds = tuple[Any, Any, Any, Any, Any]
"""A figure's low and high end in 1 / unit, whether each is open (0 or 1), and the unit; numbers or integer arrays."""

Range = tuple[Ints, Ints]
"""First and last TN, for each TP."""

_FAR = np.int64(2**62)


def bounds(figure: Figure, rounding: str = "nearest") -> Bounds:
    """The values that print as `figure`, as `strip` takes them."""
    low, high, low_open, high_open = figure.interval(rounding)
    return low, high, int(low_open), int(high_open), 2 * figure.scale


def strip(quantity: Quantity, limits: Bounds, positives: Any, negatives: Any, tp: Any) -> tuple[Ints, Ints]:
    """First and last TN with which `quantity` falls within `limits`, for each TP; empty where first > last.

    All arguments broadcast; TN is not yet confined to 0..N. A rate whose denominator is 0 counts as printed 0.
    """
    low, high, low_open, high_open, unit = limits
    a, b, c = quantity.numerator(positives, negatives)
    d, e, f = quantity.denominator(positives, negatives)
    above, below = a * tp + c, d * tp + f
    first, last = _at_least(unit * b - low * e, low_open - unit * above + low * below)
    other_first, other_last = _at_least(high * e - unit * b, high_open - high * below + unit * above)
    first, last = np.maximum(first, other_first), np.minimum(last, other_last)
    defined_first, defined_last = _at_least(np.where(low > 0, e, 0), np.where(low > 0, 1 - below, 0))
    return np.maximum(first, defined_first), np.minimum(last, defined_last)


def tn_ranges(figures: Iterable[tuple[str, Bounds]], positives: Any, negatives: Any, tp: Any) -> tuple[Ints, Ints]:
    """First and last TN in 0..N that agree with every (quantity, limits), for each TP; empty where first > last."""
    first, last = np.zeros(1, np.int64), np.asarray(negatives, np.int64)
    for name, limits in figures:
        one_first, one_last = strip(QUANTITIES[name], limits, positives, negatives, tp)
        first, last = np.maximum(first, one_first), np.minimum(last, one_last)
    first, last, _ = np.broadcast_arrays(first, last, np.asarray(tp))
    return first, last


def strips(row: Row, columns: Mapping[str, str], rounding: str = "nearest") -> dict[str, Range]:
    """The TN that each of the row's figures in `columns` allows at TP = 0..P, by header (see `strip`).

    columns: the quantity a column holds, by header. Raises DataError for sizes too large for 64-bit arithmetic.
    """
    shown = {header: bounds(figure, rounding) for header, figure in row.figures.items() if header in columns}
    check_sizes([(columns[header], limits) for header, limits in shown.items()], row.positives, row.negatives)
    tp = np.arange(row.positives + 1, dtype=np.int64)
    p, n = row.positives, row.negatives
    return {header: strip(QUANTITIES[columns[header]], limits, p, n, tp) for header, limits in shown.items()}


def meet(row: Row, ranges: Iterable[Range]) -> Ints:
    """The confusion matrices where strips meet: every (TP, first TN, last TN), int64 [K, 3]."""
    first, last = np.zeros(row.positives + 1, np.int64), np.full(row.positives + 1, row.negatives, np.int64)
    for one_first, one_last in ranges:
        first, last = np.maximum(first, one_first), np.minimum(last, one_last)
    found = np.flatnonzero(first <= last)
    return np.stack([found, first[found], last[found]], axis=1)


def matrices(row: Row, columns: Mapping[str, str], rounding: str = "nearest") -> Ints:
    """Every (TP, first TN, last TN) that agrees with all of the row's figures in `columns`: int64 [K, 3]."""
    return meet(row, strips(row, columns, rounding).values())


def count(found: Ints) -> int:
    """How many confusion matrices the ranges of `matrices` hold."""
    return int((found[:, 2] - found[:, 1] + 1).sum())


def implied(found: Ints, quantity: str, positives: int, negatives: int) -> tuple[float, float]:
    """Lowest and highest value of a quantity over the matrices found; NaN if it is undefined for all.

    Each quantity is monotone in TN for a given TP, so the ends of the ranges suffice.
    """
    ends = QUANTITIES[quantity].value(found[:, :1], found[:, 1:], positives, negatives)
    defined = ends[np.isfinite(ends)]
    return (float(defined.min()), float(defined.max())) if defined.size else (float("nan"), float("nan"))


def check_sizes(figures: Iterable[tuple[str, Bounds]], positives: int, negatives: int) -> None:
    """Raise DataError if a figure's inequalities could exceed 64-bit integers for test sets of these sizes."""
    largest = max(positives, negatives, 1)
    for name, (low, high, _, _, unit) in figures:
        parts = (*QUANTITIES[name].numerator(positives, negatives), *QUANTITIES[name].denominator(positives, negatives))
        factor = max(abs(int(part)) for part in parts)
        if 4 * factor * largest * max(abs(int(low)), abs(int(high)), int(unit)) >= 2**62:
            raise DataError(
                f"a test set of {positives} + {negatives} with so many printed digits is beyond exact 64-bit "
                "arithmetic: give fewer decimals or audit a part of the table."
            )


def _at_least(slope: Any, rest: Any) -> tuple[Ints, Ints]:
    """First and last whole TN with slope * TN >= rest (either end may be far away)."""
    slope, rest = np.broadcast_arrays(np.asarray(slope, np.int64), np.asarray(rest, np.int64))
    size = np.where(slope == 0, 1, np.abs(slope))
    first = np.where(slope > 0, -(-rest // size), -_FAR)
    last = np.where(slope < 0, (-rest) // size, _FAR)
    nothing = (slope == 0) & (rest > 0)
    return np.where(nothing, _FAR, first), np.where(nothing, -_FAR, last)
