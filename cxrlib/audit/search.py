"""Which test set would explain a row that its stated one cannot: a bounded search over the numbers of images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.audit.lattice import Bounds, bounds, check_sizes, strip, tn_ranges
from cxrlib.audit.quantities import QUANTITIES
from cxrlib.audit.table import Row
from cxrlib.errors import ParameterError

LARGEST_SEARCH = 50_000_000
"""Test-set sizes times numbers of true positives looked at in one search, at most."""


@dataclass(frozen=True)
class SizeSearch:
    """Every test set within the bounds whose size would explain a row.

    solutions: one line a size: positives, negatives, matrices (how many confusion matrices fit), tp, tn (of one of
    them) and distance (images added or removed, both classes summed), the nearest to the stated size first.
    """

    row: int
    rounding: str
    positives: tuple[int, int]  # bounds of the search, both included
    negatives: tuple[int, int]
    solutions: pd.DataFrame

    @property
    def nearest(self) -> pd.Series | None:
        """The solution nearest to the stated size, or None."""
        return None if self.solutions.empty else self.solutions.iloc[0]


def search_sizes(
    row: Row,
    columns: Mapping[str, str],
    rounding: str = "nearest",
    positives: tuple[int, int] | None = None,
    negatives: tuple[int, int] | None = None,
) -> SizeSearch:
    """Search test-set sizes for ones that allow the row's figures in `columns`.

    positives, negatives: bounds, both included; by default from 1 to four times, and from half to twice, the stated
    numbers. Raises ParameterError for empty bounds or a search beyond `LARGEST_SEARCH`.
    """
    p_low, p_high = positives or (1, 4 * row.positives)
    n_low, n_high = negatives or (max(1, row.negatives // 2), 2 * row.negatives)
    if not (1 <= p_low <= p_high and 1 <= n_low <= n_high):
        raise ParameterError("bounds of a search over sizes must be whole numbers with 1 <= lowest <= highest.")
    figures = [(columns[h], bounds(figure, rounding)) for h, figure in row.figures.items() if h in columns]
    check_sizes(figures, p_high, n_high)
    sizes, tp = _true_positives(figures, p_low, p_high)
    if sizes.size * (n_high - n_low + 1) > LARGEST_SEARCH:
        raise ParameterError("this search over sizes is too large: narrow the bounds of positives or negatives.")
    n = np.arange(n_low, n_high + 1, dtype=np.int64)
    found: list[np.ndarray] = []
    for block in _blocks(sizes.size, n.size):
        p, t = sizes[block, None], tp[block, None]
        first, last = tn_ranges(figures, p, n[None], t)
        at, column = np.nonzero(first <= last)
        found.append(
            np.stack([sizes[block][at], n[column], tp[block][at], first[at, column], last[at, column]], axis=1)
        )
    return SizeSearch(row.number, rounding, (p_low, p_high), (n_low, n_high), _solutions(row, np.concatenate(found)))


def _true_positives(figures: list[tuple[str, Bounds]], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of positives and of true positives that go together, each int64 [K]; figures of P alone sift them."""
    p = np.arange(low, high + 1, dtype=np.int64)
    sizes, tp = np.repeat(p, p + 1), np.concatenate([np.arange(count + 1, dtype=np.int64) for count in p])
    keep = np.ones(sizes.size, bool)
    for name, limits in figures:
        if _of_positives_alone(name):
            first, last = strip(QUANTITIES[name], limits, sizes, np.int64(1), tp)
            keep &= first <= last
    return sizes[keep], tp[keep]


def _of_positives_alone(name: str) -> bool:
    """Whether a quantity is a function of TP and P."""
    return name in ("sensitivity", "fnr", "tp", "fn")


def _blocks(sizes: int, width: int) -> Iterable[slice]:
    step = max(1, (1 << 18) // width)
    yield slice(0, 0)
    for start in range(0, sizes, step):
        yield slice(start, start + step)


def _solutions(row: Row, found: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(found, columns=["positives", "negatives", "tp", "tn", "last"])
    frame["matrices"] = frame["last"] - frame["tn"] + 1
    frame = frame.groupby(["positives", "negatives"], as_index=False).agg(
        {"matrices": "sum", "tp": "first", "tn": "first"}
    )
    frame["distance"] = (frame["positives"] - row.positives).abs() + (frame["negatives"] - row.negatives).abs()
    return frame.sort_values(["distance", "positives", "negatives"], ignore_index=True)
