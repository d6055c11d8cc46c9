"""Which test set would explain a row that its stated one cannot: a bounded search over the numbers of images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.analysis.audit.lattice import Bounds, bounds, check_sizes, tn_ranges
from cxrlib.analysis.audit.table import Row
from cxrlib.errors import ParameterError

LARGEST_SEARCH = 20_000_000
"""Test-set sizes times numbers of true positives looked at in one search, at most (some seconds)."""


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
    numbers, or less where that is too much to try. Raises ParameterError for empty bounds or a search beyond
    `LARGEST_SEARCH`.
    """
    figures = [(columns[h], bounds(figure, rounding)) for h, figure in row.figures.items() if h in columns]
    wide, near = (1, 4 * row.positives), (max(1, row.positives // 2), 2 * row.positives)
    around, same = (max(1, row.negatives // 2), 2 * row.negatives), (row.negatives, row.negatives)
    for p_range, n_range in ((wide, around), (near, around), (near, same)):
        p_range, n_range = positives or p_range, negatives or n_range
        if not (1 <= p_range[0] <= p_range[1] and 1 <= n_range[0] <= n_range[1]):
            raise ParameterError("bounds of a search over sizes must be whole numbers with 1 <= lowest <= highest.")
        check_sizes(figures, p_range[1], n_range[1])
        p, first, last = _true_positives(figures, *p_range)
        if int((last - first + 1).sum()) * (n_range[1] - n_range[0] + 1) <= LARGEST_SEARCH:
            break
    else:
        raise ParameterError("this search over sizes is too large: narrow the bounds of positives or negatives.")
    sizes = np.repeat(p, last - first + 1)
    tp = np.arange(sizes.size) - np.repeat(np.cumsum(last - first + 1) - last - 1, last - first + 1)
    n = np.arange(n_range[0], n_range[1] + 1, dtype=np.int64)
    found: list[np.ndarray] = []
    for block in _blocks(sizes.size, n.size):
        start, end = tn_ranges(figures, sizes[block, None], n[None], tp[block, None])
        at, column = np.nonzero(start <= end)
        found.append(np.stack([sizes[block][at], n[column], tp[block][at], start[at, column], end[at, column]], axis=1))
    return SizeSearch(row.number, rounding, p_range, n_range, _solutions(row, np.concatenate(found)))


def _true_positives(
    figures: list[tuple[str, Bounds]], low: int, high: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of positives with the first and last TP that the printed sensitivity leaves: three int64 [K]."""
    p = np.arange(low, high + 1, dtype=np.int64)
    first, last = np.zeros_like(p), p.copy()
    for name, (lowest, highest, _, _, unit) in figures:
        if name == "sensitivity":
            first, last = np.maximum(first, -(-lowest * p // unit)), np.minimum(last, highest * p // unit)
        elif name == "fnr":
            first, last = np.maximum(first, p - highest * p // unit), np.minimum(last, p + -lowest * p // unit)
    some = first <= last
    return p[some], first[some], last[some]


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
