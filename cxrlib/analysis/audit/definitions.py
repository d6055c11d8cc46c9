"""Does a column hold what its header says? Every definition is tried on every column, over all rows at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

from cxrlib.analysis.audit.lattice import Range, meet, strips
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Table


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
        old, new = QUANTITIES[self.stated], QUANTITIES[self.found]
        also = "".join(f", as many as with {way}" for way in self.alternatives)
        before = (
            f"Column {self.column} does not hold {old.title}, {old.formula}: read so, {self.fits_stated or 'none'} of"
        )
        return (
            f"{before} {self.rows} rows can be true. Read as {new.title}, {new.formula}, {self.fits_found} can{also}."
        )


def rename_columns(table: Table) -> tuple[dict[str, str], list[Renamed]]:
    """What each column holds, and the columns that hold something else than their headers say.

    Where fewer than half of the rows are possible under the headers' definitions, every change of one column is tried,
    then every change of two (columns that changed places among them). The change that makes the most rows possible is
    taken if these are at least half; of equally good ones, that of the last column, since tables state the elementary
    rates first. A table that is right has only possible rows, so nothing in it is renamed.
    """
    stated, fits = dict(table.columns), _fits(table)
    before, rows = fits(stated), len(table.rows)
    if rows < 3 or 2 * before >= rows:  # with fewer rows a column may fit another definition by chance
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


def _fits(table: Table) -> Callable[[Mapping[str, str]], int]:
    """A function from a quantity by header to the number of possible rows."""

    @cache
    def allowed(place: int, header: str, quantity: str) -> Range:
        return strips(table.rows[place], {header: quantity}, "either")[header]

    def fits(columns: Mapping[str, str]) -> int:
        return sum(
            len(meet(row, [allowed(i, header, columns[header]) for header in row.figures if header in columns])) > 0
            for i, row in enumerate(table.rows)
        )

    return fits


def _changes(columns: Mapping[str, str], chosen: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every new reading of the chosen columns; no two columns may then hold one quantity."""
    rest = {what for header, what in columns.items() if header not in chosen}
    counts = [name for name, quantity in QUANTITIES.items() if quantity.kind == "count"]
    rates = [name for name in QUANTITIES if name not in counts]
    for found in product(*(counts if columns[column] in counts else rates for column in chosen)):
        changed = all(new != columns[column] for column, new in zip(chosen, found, strict=True))
        if changed and len(set(found) | rest) == len(columns):
            yield dict(zip(chosen, found, strict=True))
