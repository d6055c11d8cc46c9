"""Rules over all rows: what the columns hold, the formula and reference row behind a gain, and rows that are sums of others."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from pathlib import Path

import pandas as pd

from cxrlib.analysis.audit.lattice import Range, meet, strips
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Row, Table, parse_figure, read_cells
from cxrlib.paper.tables import printed

_TOTAL = re.compile(r"\b(total|sum|all|overall)\b", re.IGNORECASE)


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
        return (
            f"Column {self.column} does not hold {old.title}, {old.formula}: read so, {self.fits_stated or 'none'} of "
            f"{self.rows} rows can be true. Read as {new.title}, {new.formula}, {self.fits_found} can{also}."
        )


def rename_columns(table: Table) -> tuple[dict[str, str], list[Renamed]]:
    """What each column holds, and the columns that hold something else than their headers say.

    Where fewer than half of the rows are possible under the headers' definitions, every change of one column is tried, then
    of two. The change that makes the most rows possible is taken if these are at least half; of equally good ones that of the
    last column, since tables state the elementary rates first. A table that is right has only possible rows: none is renamed.
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
        shown = [[header for header in row.figures if header in columns] for row in table.rows]
        ranges = [[allowed(i, header, columns[header]) for header in headers] for i, headers in enumerate(shown)]
        return sum(len(meet(row, of_row)) > 0 for row, of_row in zip(table.rows, ranges, strict=True))

    return fits


def _changes(columns: Mapping[str, str], chosen: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every new reading of the chosen columns; no two columns may then hold one quantity."""
    rest = {what for header, what in columns.items() if header not in chosen}
    counts = [name for name, quantity in QUANTITIES.items() if quantity.kind == "count"]
    rates = [name for name in QUANTITIES if name not in counts]
    for found in product(*(counts if columns[column] in counts else rates for column in chosen)):
        new = dict(zip(chosen, found, strict=True))
        if all(what != columns[column] for column, what in new.items()) and len({*found, *rest}) == len(columns):
            yield new


@dataclass(frozen=True)
class GainAudit:
    """The formula that reproduces most of a gain column, and how each row fits it.

    rows: row, label, printed (NaN without), computed (from the printed figures), low, high (what their rounding
    allows), fits; gains as fractions. formulas: all tried, the best first: formula, kind, fits, of (printed gains).
    """

    column: str
    rows: pd.DataFrame
    formulas: pd.DataFrame

    def __str__(self) -> str:
        best = self.formulas.iloc[0]
        return f"{self.column} is the {best['formula']}, which reproduces {best['fits']} of {best['of']} printed values"


def audit_gain(table: Table) -> GainAudit | None:
    """Find the formula behind the gain column; None without such a column, or if no formula fits half of its rows.

    Tried are the relative change and the difference of every column with figures in all rows, and of the mean of every two,
    over every row without a printed gain (over every row, where each has one). A row fits if its printed gain, rounded to
    nearest or cut off, is within reach of figures that round to those printed.
    """
    rows, column = table.rows, table.gain or ""
    printed = sum(column in row.figures for row in rows)
    full = [header for header in table.columns if all(header in row.figures for row in rows)]
    chosen = [(header,) for header in full] + list(combinations(full, 2))
    references = [row for row in rows if column not in row.figures] or rows
    tried, lines = [], {}
    for reference, headers, kind in product(references if printed else (), chosen, ("relative change", "difference")):
        if kind == "difference" or all(reference.figures[header].units > 0 for header in headers):
            text = f"{kind} of {'the mean of ' * (len(headers) > 1)}{' and '.join(headers)} over row {reference.number}"
            lines[text] = [_line(row, reference, headers, kind, column) for row in rows if row is not reference]
            tried.append((text, kind, sum(bool(line["fits"]) for line in lines[text]), printed))
    formulas = pd.DataFrame(tried, columns=["formula", "kind", "fits", "of"])
    formulas = formulas.sort_values("fits", ascending=False, kind="stable", ignore_index=True)
    if formulas.empty or 2 * formulas["fits"][0] < printed:
        return None
    return GainAudit(column, pd.DataFrame(lines[formulas["formula"][0]]), formulas)


def _line(row: Row, reference: Row, headers: tuple[str, ...], kind: str, column: str) -> dict[str, object]:
    mine, base = (float(sum(r.figures[h].value for h in headers)) / len(headers) for r in (row, reference))
    reach, slack = (float(sum(r.figures[h].half_unit for h in headers)) / len(headers) for r in (row, reference))
    ends = ((mine, base), (mine - reach, base + slack), (mine + reach, base - slack))
    computed, low, high = (ours / theirs - 1 if kind == "relative change" else ours - theirs for ours, theirs in ends)
    printed, fits = float("nan"), False
    if column in row.figures:
        first, last, _, _, unit = row.figures[column].bounds("either")
        printed, fits = float(row.figures[column].value), first / unit <= high + 1e-12 and low - 1e-12 <= last / unit
    found = {"row": row.number, "label": row.label, "printed": printed, "computed": computed}
    return found | {"low": low, "high": high, "fits": fits}


def read_counts(source: str | Path) -> pd.DataFrame:
    """A table of counts from a CSV file ("paper": the paper's Table I): labels as index, nullable integers.

    The first column holds the labels. Raises DataError for a cell that is neither a whole number nor a dash.
    """
    cells = pd.DataFrame(printed("table_1") if str(source) == "paper" else read_cells(source))
    figures = cells.set_index(cells.columns[0]).map(lambda text: parse_figure(text, "count"))
    return figures.map(lambda figure: figure.units if figure else None).astype("Int64")


def check_sums(counts: pd.DataFrame) -> pd.DataFrame:
    """Every row whose label says that it is a sum: label, parts, column, printed, sum, adds_up; a line a column.

    "A + B" is the sum of rows A and B, "Total" of all other rows. A part matches a row whose label starts with it
    (brackets and asterisks aside); where several do, the combination that makes most columns add up is taken. Columns
    in which fewer than two parts have a count are left out.
    """
    found = []
    for label in counts.index:
        others = [other for other in counts.index if other != label and "+" not in other and not _TOTAL.search(other)]
        named = [[other for other in others if _bare(other).startswith(_bare(part))] for part in label.split("+")]
        ways = [list(way) for way in product(*named) if len(set(way)) == len(way) > 1]
        ways += [others] * bool(_TOTAL.search(label))
        checked = []
        for parts in ways:
            known = counts.columns[(counts.loc[parts].count() > 1) & counts.loc[label].notna()]
            sums = [(c, int(counts.loc[label, c]), int(counts.loc[parts, c].sum())) for c in known]
            checked.append([(label, " + ".join(parts), *one, one[1] == one[2]) for one in sums])
        found += max(checked, key=lambda lines: sum(line[-1] for line in lines), default=[])
    return pd.DataFrame(found, columns=["label", "parts", "column", "printed", "sum", "adds_up"])


def _bare(label: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)|\*", " ", label).lower().split())
