"""Does a column hold what its header says? Every definition is tried on every column, over all rows at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import pandas as pd

from cxrlib.analysis.audit.lattice import Range, meet, strips
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Table

FEWEST_ROWS = 3
"""With fewer rows a column may fit another definition by chance, so none is renamed."""


@dataclass(frozen=True)
class Renamed:
    """A column that does not hold what its header says, and what it holds instead.

    fits_stated, fits_found: rows (of `rows`) that are possible under either reading, digits rounded or cut off;
    alternatives: other renamings that make as many rows possible.
    """

    column: str
    stated: str
    found: str
    rows: int
    fits_stated: int
    fits_found: int
    alternatives: tuple[str, ...]

    def __str__(self) -> str:
        (stated, one), (found, other) = (
            (QUANTITIES[q].title, QUANTITIES[q].formula) for q in (self.stated, self.found)
        )
        return (
            f"Column {self.column} does not hold {stated}, {one}: read so, {self.fits_stated or 'none'} of {self.rows} "
            f"rows can be true. Read as {found}, {other}, {self.fits_found} can"
            f"{''.join(f', as many as with {way}' for way in self.alternatives)}."
        )


def definition_fits(table: Table, columns: Mapping[str, str], column: str) -> pd.DataFrame:
    """How many rows each definition of one column fits: quantity, formula, fits, rows, stated; the best first.

    A row counts if some confusion matrix agrees with the figure under that definition and with the row's sensitivity
    and specificity (without them: with all its other figures), digits rounded or cut off.
    """
    others = {header: what for header, what in columns.items() if header != column}
    rates = {header: what for header, what in others.items() if what in ("sensitivity", "specificity")}
    fits, rows = _fits(table, column), sum(column in row.figures for row in table.rows)
    found = []
    for name in _candidates(columns[column]):
        fitting = fits((rates if len(rates) == 2 else others) | {column: name})
        found.append((QUANTITIES[name].title, QUANTITIES[name].formula, fitting, rows, name == columns[column]))
    frame = pd.DataFrame(found, columns=["quantity", "formula", "fits", "rows", "stated"])
    return frame.sort_values(["fits", "stated"], ascending=False, kind="stable", ignore_index=True)


def rename_columns(table: Table) -> tuple[dict[str, str], list[Renamed]]:
    """What each column holds, and the columns that hold something else than their headers say.

    Where fewer than half of the rows are possible under the headers' definitions, every change of one column is tried,
    then every change of two (columns that changed places among them). The change that makes the most rows possible is
    taken if these are at least half; of equally good ones, that of the last column, since tables state the elementary
    rates first. A table that is right has only possible rows, so nothing in it is renamed.
    """
    stated, fits = dict(table.columns), _fits(table)
    before, rows = fits(stated), len(table.rows)
    if rows < FEWEST_ROWS or 2 * before >= rows:
        return stated, []
    for changed in (1, 2):
        tried = []
        for chosen in combinations(stated, changed):
            rest = {header: what for header, what in stated.items() if header not in chosen}
            if 2 * fits(rest) >= rows:  # else no reading of these columns can help
                tried += [(fits(rest | new), new) for new in _changes(stated, chosen)]
        most = max((n for n, _ in tried), default=0)
        if 2 * most >= rows:
            best, *others = [change for n, change in reversed(tried) if n == most]
            also = tuple(" and ".join(f"{c} as {QUANTITIES[q].title}" for c, q in change.items()) for change in others)
            return stated | best, [Renamed(c, stated[c], q, rows, before, most, also) for c, q in best.items()]
    return stated, []


def _fits(table: Table, column: str = "") -> Callable[[Mapping[str, str]], int]:
    """A function from a quantity by header to the number of possible rows (of those that print `column`)."""

    @cache
    def allowed(place: int, header: str, quantity: str) -> Range:
        return strips(table.rows[place], {header: quantity}, "either")[header]

    def fits(columns: Mapping[str, str]) -> int:
        return sum(
            len(meet(row, [allowed(i, header, columns[header]) for header in row.figures if header in columns])) > 0
            for i, row in enumerate(table.rows)
            if not column or column in row.figures
        )

    return fits


def _changes(columns: Mapping[str, str], chosen: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every new reading of the chosen columns; no two columns may then hold one quantity."""
    rest = {what for header, what in columns.items() if header not in chosen}
    for found in product(*(_candidates(columns[column]) for column in chosen)):
        changed = all(new != columns[column] for column, new in zip(chosen, found, strict=True))
        if changed and len(set(found) | rest) == len(columns):
            yield dict(zip(chosen, found, strict=True))


def _candidates(stated: str) -> list[str]:
    counts = QUANTITIES[stated].kind == "count"
    return [name for name, quantity in QUANTITIES.items() if (quantity.kind == "count") == counts]
