"""A gain column: which formula over which reference row reproduces it, and which of its figures do not follow."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from cxrlib.analysis.audit.table import Figure, Row, Table

RELATIVE, DIFFERENCE = "relative change", "difference"


@dataclass(frozen=True)
class GainFormula:
    """Gain of the mean of some columns over the same mean in a reference row."""

    columns: tuple[str, ...]
    kind: str  # RELATIVE or DIFFERENCE
    reference: int  # number of the reference row

    def value(self, row: Row, reference: Row) -> float:
        """The gain as a fraction, from the printed figures."""
        ours, theirs = (sum(r.figures[c].value for c in self.columns) / len(self.columns) for r in (row, reference))
        return ours / theirs - 1 if self.kind == RELATIVE else ours - theirs

    def range(self, row: Row, reference: Row) -> tuple[float, float]:
        """Lowest and highest gain that the figures' rounding allows."""
        (low, high), (ref_low, ref_high) = (_mean_range([r.figures[c] for c in self.columns]) for r in (row, reference))
        if self.kind == DIFFERENCE:
            return low - ref_high, high - ref_low
        return low / ref_high - 1, high / ref_low - 1

    def text(self) -> str:
        """The formula in words."""
        mean = self.columns[0] if len(self.columns) == 1 else f"the mean of {' and '.join(self.columns)}"
        return f"{self.kind} of {mean} over row {self.reference}"


@dataclass(frozen=True)
class GainAudit:
    """The formula that reproduces most of a gain column, and how each row fits it.

    rows: row, label, printed, computed (from the printed figures), low, high (what their rounding allows), fits; all
    gains as fractions. formulas: every formula with the rows it fits (formula, kind, columns, reference, fits, rows).
    """

    column: str
    formula: GainFormula
    rows: pd.DataFrame
    formulas: pd.DataFrame
    missing: pd.DataFrame  # rows without a printed gain: row, label, computed

    @property
    def misfits(self) -> pd.DataFrame:
        """Rows whose printed gain does not follow from their own figures."""
        return self.rows[~self.rows["fits"]]


def audit_gain(table: Table) -> GainAudit | None:
    """Find the formula behind the gain column; None without such a column, or if no formula fits half of its rows.

    Tried are the relative change and the difference of every column with figures in all rows, and of the mean of every
    two, over every row without a printed gain (over every row, where each has one). A row fits if its printed gain,
    rounded to nearest or cut off, is within reach of figures that round to those printed.
    """
    column = table.gain
    printed = [] if column is None else [row for row in table.rows if column in row.figures]
    if column is None or not printed:
        return None
    rows = {row.number: row for row in table.rows}
    fits = [
        (formula, sum(_fits(formula, row, rows[formula.reference], column) for row in printed))
        for formula in _formulas(table, column)
    ]
    if not fits:
        return None
    fits.sort(key=lambda pair: (-pair[1], len(pair[0].columns)))
    best, most = fits[0]
    if 2 * most < len(printed):
        return None
    reference = rows[best.reference]
    listed = [_line(best, row, reference, column) for row in printed]
    missing = [(r.number, r.label, best.value(r, reference)) for r in table.rows if column not in r.figures and r is not reference]  # fmt: skip
    formulas = [(f.text(), f.kind, " + ".join(f.columns), f.reference, n, len(printed)) for f, n in fits]
    return GainAudit(
        column,
        best,
        pd.DataFrame(listed, columns=["row", "label", "printed", "computed", "low", "high", "fits"]),
        pd.DataFrame(formulas, columns=["formula", "kind", "columns", "reference", "fits", "rows"]),
        pd.DataFrame(missing, columns=["row", "label", "computed"]),
    )


def _formulas(table: Table, column: str) -> Iterator[GainFormula]:
    full = [header for header in table.columns if all(header in row.figures for row in table.rows)]
    without = [row for row in table.rows if column not in row.figures]
    for row in without or table.rows:
        for chosen in [(header,) for header in full] + list(combinations(full, 2)):
            for kind in (RELATIVE, DIFFERENCE):
                if kind == DIFFERENCE or all(row.figures[header].units > 0 for header in chosen):
                    yield GainFormula(chosen, kind, row.number)


def _fits(formula: GainFormula, row: Row, reference: Row, column: str) -> bool:
    low, high = formula.range(row, reference)
    at_low, at_high, _, _ = row.figures[column].interval("either")
    unit = 2 * row.figures[column].scale
    return at_low / unit <= high + 1e-12 and low - 1e-12 <= at_high / unit


def _line(formula: GainFormula, row: Row, reference: Row, column: str) -> tuple[object, ...]:
    low, high = formula.range(row, reference)
    value = formula.value(row, reference)
    fits = _fits(formula, row, reference, column)
    return row.number, row.label, row.figures[column].value, value, low, high, fits


def _mean_range(figures: list[Figure]) -> tuple[float, float]:
    middle = sum(figure.value for figure in figures) / len(figures)
    reach = float(sum(figure.half_unit for figure in figures)) / len(figures)
    return middle - reach, middle + reach
