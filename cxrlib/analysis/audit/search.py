"""Which test set would explain a row that its stated one cannot: a bounded search over the numbers of images."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxrlib.analysis.audit.lattice import strip
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Row
from cxrlib.errors import ParameterError

LARGEST_SEARCH = 20_000_000  # sizes times numbers of true positives tried in one search, at most (some seconds)
Span = tuple[int, int]


def search_sizes(
    row: Row, columns: Mapping[str, str], rounding: str, positives: Span | None = None, negatives: Span | None = None
) -> pd.DataFrame:  # fmt: skip
    """Every test set within bounds whose size allows the row's figures in `columns`, nearest to the stated one first.

    positives, negatives: bounds, both included; by default from 1 to four times, and from half to twice, the stated
    numbers, or less where that is too much to try. Columns: positives, negatives, matrices (how many fit), tp, tn (of
    one of them), distance (images added or removed, both classes summed); `attrs["bounds"]` says in words what was
    tried. Raises ParameterError for empty bounds or a search beyond `LARGEST_SEARCH`.
    """
    p, n = row.positives, row.negatives
    wide, narrow, around = (1, 4 * p), (max(1, p // 2), 2 * p), (max(1, n // 2), 2 * n)
    figures = [(columns[h], figure.bounds(rounding)) for h, figure in row.figures.items() if h in columns]
    for (p_low, p_high), (n_low, n_high) in ((positives or a, negatives or b) for a, b in ((wide, around), (narrow, around), (narrow, (n, n)))):  # fmt: skip
        if not (1 <= p_low <= p_high and 1 <= n_low <= n_high):
            raise ParameterError("bounds of a search over sizes must be whole numbers with 1 <= lowest <= highest.")
        sizes, others = (np.arange(low, high + 1, dtype=np.int64) for low, high in ((p_low, p_high), (n_low, n_high)))
        first, last = np.zeros_like(sizes), sizes
        for name, (low, high, _, _, unit) in figures:
            if name == "sensitivity":  # leaves few TP to try
                first, last = np.maximum(first, -(-low * sizes // unit)), np.minimum(last, high * sizes // unit)
        width = np.maximum(last - first + 1, 0)
        if int(width.sum()) * others.size <= LARGEST_SEARCH:
            break
    else:
        raise ParameterError("this search over sizes is too large: narrow the bounds of positives or negatives.")
    tp = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width - first, width)
    pairs = np.stack([np.repeat(sizes, width), tp], axis=1)
    found = [np.empty((0, 5), np.int64)]
    for block in np.array_split(pairs, len(pairs) * others.size // (1 << 18) + 1):
        start, end = np.zeros((len(block), others.size), np.int64), np.broadcast_to(others, (len(block), others.size))
        for name, bounds in figures if len(block) else ():
            one_start, one_end = strip(QUANTITIES[name], bounds, block[:, :1], others, block[:, 1:])
            start, end = np.maximum(start, one_start), np.minimum(end, one_end)
        at, place = np.nonzero(start <= end)
        found.append(np.column_stack([block[at], others[place], start[at, place], end[at, place]]))
    frame = pd.DataFrame(np.concatenate(found), columns=["positives", "tp", "negatives", "tn", "last"])
    frame["matrices"] = frame["last"] - frame["tn"] + 1
    frame = frame.groupby(["positives", "negatives"], as_index=False).agg({"matrices": "sum", "tp": "first", "tn": "first"})  # fmt: skip
    frame["distance"] = (frame["positives"] - p).abs() + (frame["negatives"] - n).abs()
    frame = frame.sort_values(["distance", "positives", "negatives"], ignore_index=True)
    frame.attrs["bounds"] = f"{p_low:,} to {p_high:,} positives and {n_low:,} to {n_high:,} negatives"
    return frame


def explain_sizes(rounded: pd.DataFrame, loose: pd.DataFrame) -> str:
    """What two searches for one row say, with digits rounded as stated and with digits rounded or cut off."""
    said = [f"{len(found):,} would explain the row" for found in (rounded, loose)]
    for i, found in enumerate((rounded, loose)):
        for p, n, _, tp, tn, _ in found.head(1).itertuples(index=False):
            said[i] += f", the nearest {p:,} + {n:,} ({tp:,} of {p:,} and {tn:,} of {n:,} right)"
    more = f"; were digits cut off, {said[1]}" if len(loose) > len(rounded) else ""
    tried = loose.attrs["bounds"]
    return (
        f"No test set of {tried} explains the row." if loose.empty else f"Of the test sets of {tried}, {said[0]}{more}."
    )
