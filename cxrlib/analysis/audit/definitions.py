"""Does a column hold what its header says? Every definition is tried on every column, over all rows at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from cxrlib.analysis.audit.lattice import matrices
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Row, Table

FEWEST_ROWS = 3
"""With fewer rows a column may fit another definition by chance, so none is renamed."""


@dataclass(frozen=True)
class Renamed:
    """A column that does not hold what its header says, and what it holds instead."""

    column: str
    stated: str
    found: str
    rows: int  # rows of the table
    fits_stated: int  # rows that are possible with the header's definition, all their figures together
    fits_found: int  # rows that are possible with the definition found, digits rounded or cut off
    fits_nearest: int  # of those, rows that are possible with every digit rounded to nearest
    alternatives: tuple[str, ...]  # other renamings that make as many rows possible


def definition_fits(table: Table, columns: Mapping[str, str], column: str, rounding: str = "either") -> pd.DataFrame:
    """How many rows each definition of one column fits: quantity, title, formula, fits, rows, stated; best first.

    A row counts if some confusion matrix agrees with the figure under that definition and with the row's sensitivity
    and specificity (without them: with all its other figures). By default digits may be rounded or cut off.
    """
    rows = [row for row in table.rows if column in row.figures]
    others = [header for header in columns if header != column]
    anchors = [header for header in others if columns[header] in ("sensitivity", "specificity")]
    anchors = anchors if len(anchors) == 2 else others
    found = []
    for name in _candidates(columns[column]):
        assigned = {header: columns[header] for header in anchors} | {column: name}
        fits = sum(_possible(row, assigned, rounding) for row in rows)
        quantity = QUANTITIES[name]
        found.append((name, quantity.title, quantity.formula, fits, len(rows), name == columns[column]))
    frame = pd.DataFrame(found, columns=["quantity", "title", "formula", "fits", "rows", "stated"])
    return frame.sort_values(["fits", "stated"], ascending=False, kind="stable", ignore_index=True)


def rename_columns(table: Table, rounding: str = "either") -> tuple[dict[str, str], list[Renamed]]:
    """What each column holds, and the columns that hold something else than their headers say.

    Where fewer than half of the rows are possible under the headers' definitions, every change of one column is tried,
    then every change of two (columns that changed places among them). The change that makes the most rows possible is
    taken if these are at least half; of equally good ones, that of the last column, since tables state the elementary
    rates first. A table that is right has only possible rows, so nothing in it is renamed.
    """
    stated = dict(table.columns)
    before = _possible_rows(table, stated, rounding, 0)
    if len(table.rows) < FEWEST_ROWS or 2 * before >= len(table.rows):
        return stated, []
    half = len(table.rows) / 2
    for changed in (1, 2):
        fits = []
        for chosen in combinations(stated, changed):
            rest = {header: what for header, what in stated.items() if header not in chosen}
            if _possible_rows(table, rest, rounding, half) >= half:  # else no reading of these columns can help
                tried = [(_possible_rows(table, rest | new, rounding, half), new) for new in _changes(stated, chosen)]
                fits += [(n, new) for n, new in tried if n >= half]
        if fits:
            most = max(n for n, _ in fits)
            best, *others = [change for n, change in reversed(fits) if n == most]
            nearest = _possible_rows(table, stated | best, "nearest", 0)
            also = tuple(" and ".join(f"{c} as {QUANTITIES[q].title}" for c, q in change.items()) for change in others)
            return stated | best, [
                Renamed(column, stated[column], quantity, len(table.rows), before, most, nearest, also)
                for column, quantity in best.items()
            ]
    return stated, []


def _changes(columns: Mapping[str, str], chosen: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every new reading of the chosen columns; no two columns may then hold one quantity."""
    kept = {what for header, what in columns.items() if header not in chosen}
    for found in product(*(_candidates(columns[column]) for column in chosen)):
        changed = all(new != columns[column] for column, new in zip(chosen, found, strict=True))
        if changed and len(set(found) | kept) == len(columns):
            yield dict(zip(chosen, found, strict=True))


def _possible_rows(table: Table, columns: Mapping[str, str], rounding: str, needed: float) -> int:
    """Rows that some confusion matrix can have printed; stops counting once `needed` is out of reach."""
    possible = 0
    for left, row in zip(range(len(table.rows) - 1, -1, -1), table.rows, strict=True):
        possible += _possible(row, columns, rounding)
        if possible + left < needed:
            return 0
    return possible


def _candidates(stated: str) -> list[str]:
    counts = QUANTITIES[stated].kind == "count"
    return [name for name, quantity in QUANTITIES.items() if (quantity.kind == "count") == counts]


def _possible(row: Row, columns: Mapping[str, str], rounding: str) -> bool:
    return bool(len(matrices(row, columns, rounding)))
