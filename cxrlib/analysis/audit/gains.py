"""A gain column: which formula over which reference row reproduces it, and which of its figures do not follow."""

from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from cxrlib.analysis.audit.table import Row, Table


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

    Tried are the relative change and the difference of every column with figures in all rows, and of the mean of every
    two, over every row without a printed gain (over every row, where each has one). A row fits if its printed gain,
    rounded to nearest or cut off, is within reach of figures that round to those printed.
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
    names: dict[str, object] = {"row": row.number, "label": row.label, "printed": float("nan")}
    fits = False
    if column in row.figures:
        first, last, _, _, unit = row.figures[column].bounds("either")
        fits = first / unit <= high + 1e-12 and low - 1e-12 <= last / unit
        names["printed"] = float(row.figures[column].value)
    return {**names, "computed": computed, "low": low, "high": high, "fits": fits}
