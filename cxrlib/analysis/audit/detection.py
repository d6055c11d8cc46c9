"""How often the audit notices a single wrong digit: a seeded simulation over random confusion matrices."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.audit.lattice import tn_ranges
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.errors import ParameterError

COLUMN_SETS: dict[str, tuple[str, ...]] = {
    "two rates": ("sensitivity", "specificity"),
    "and bACC": ("sensitivity", "specificity", "bacc"),
    "and accuracy": ("sensitivity", "specificity", "bacc", "accuracy"),
}
"""Columns that a table prints; the last are those of the paper's Table II."""


def random_rows(
    rows: int, positives: int, negatives: int, columns: Sequence[str], seed: int, decimals: int = 4
) -> dict[str, np.ndarray]:
    """Printed figures of random confusion matrices, in units of the last digit: int64 [rows] by column.

    TP and TN are drawn uniformly from the upper half of 0..P and 0..N, as of classifiers better than chance.
    """
    rng = np.random.default_rng(seed)
    tp = rng.integers(positives // 2, positives + 1, rows)
    tn = rng.integers(negatives // 2, negatives + 1, rows)
    return {
        name: np.rint(QUANTITIES[name].value(tp, tn, positives, negatives) * 10**decimals).astype(np.int64)
        for name in columns
    }


def possible(
    printed: Mapping[str, np.ndarray], positives: int, negatives: int, decimals: int = 4, truncated: bool = False
) -> np.ndarray:
    """Whether any confusion matrix prints these figures, row by row: bool [rows].

    printed: as `random_rows` gives them, sensitivity among them, which leaves few TP to try; truncated: digits may
    also have been cut off.
    """
    scale = 10**decimals
    reach = positives // scale + 1
    near = printed["sensitivity"][:, None] * positives // scale + np.arange(-reach, reach + 2)
    tp = np.clip(near, 0, positives)
    limits = []
    for name, units in printed.items():
        at = np.abs(units)[:, None]
        high, open_high = (2 * at + 2, (at > 0).astype(np.int64)) if truncated else (2 * at + 1, 0)
        limits.append((name, (2 * at - 1, high, 0, open_high, 2 * scale)))
    first, last = tn_ranges(limits, positives, negatives, tp)
    return np.asarray((first <= last).any(axis=1))


def detection_table(
    seed: int,
    tables: int = 2000,
    sizes: Sequence[tuple[int, int]] = ((40, 3000), (200, 200), (1000, 1000)),
    decimals: Sequence[int] = (4, 3, 2),
    column_sets: Mapping[str, Sequence[str]] = COLUMN_SETS,
) -> pd.DataFrame:
    """Share of single-digit errors that the audit notices, by test set, decimals, columns printed, figure and digit.

    For each figure and each of its decimals, one row of each of `tables` tables gets that digit replaced by another,
    each of the nine equally likely. noticed: no matrix prints the row rounded to nearest; impossible: none does even
    with digits cut off. Columns: positives, negatives, decimals, printed, figure, digit (1 is tenths), tables, noticed,
    impossible. Raises ParameterError for fewer than one table.
    """
    if tables < 1:
        raise ParameterError(f"tables = {tables} is not allowed: simulate at least one table.")
    rows: list[tuple[Any, ...]] = []
    rng = np.random.default_rng([seed, 1])
    for (p, n), places, (printed, columns) in product(sizes, decimals, column_sets.items()):
        right = random_rows(tables, p, n, columns, seed, places)
        for figure, digit in product(columns, range(1, places + 1)):
            place = 10 ** (places - digit)
            was = right[figure] // place % 10
            now = (was + rng.integers(1, 10, tables)) % 10
            wrong = {**right, figure: right[figure] + (now - was) * place}
            noticed = 1 - possible(wrong, p, n, places).mean()
            impossible = 1 - possible(wrong, p, n, places, truncated=True).mean()
            rows.append((p, n, places, printed, figure, digit, tables, noticed, impossible))
    columns = ["positives", "negatives", "decimals", "printed", "figure", "digit", "tables", "noticed", "impossible"]
    return pd.DataFrame(rows, columns=columns)


def detection_share(table: pd.DataFrame) -> pd.DataFrame:
    """`detection_table` averaged over figures and digits: positives, negatives, decimals, printed, noticed, impossible."""
    keys = ["positives", "negatives", "decimals", "printed"]
    return table.groupby(keys, sort=False, as_index=False)[["noticed", "impossible"]].mean()
