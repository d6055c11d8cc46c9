"""The rules of the audit.

For one row: is each figure reachable, do all of them belong to one matrix, and if not, which one is off? Over all rows:
what does a column hold, and what is a gain measured against?
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product

import pandas as pd

from cxrlib.analysis.audit.lattice import QUANTITIES, Ints, Range, Row, count, implied, meet, strips
from cxrlib.analysis.audit.table import Table
from cxrlib.analysis.sentences import listed

POSSIBLE, LAST_DIGIT, IMPOSSIBLE, EMPTY, NOTE = "possible", "last digit", "impossible", "no figures", "note"
Choices = Mapping[tuple[str, ...], Ints]
"""Smallest sets of columns whose choice makes a row possible, all of one size, and the matrices that each leaves."""


@dataclass(frozen=True)
class Verdict:
    """What one row's figures allow.

    status: POSSIBLE as printed; LAST_DIGIT if only with digits cut off, or with a mean taken of rounded figures;
    IMPOSSIBLE otherwise; EMPTY without a figure to check.
    """

    row: Row
    status: str
    found: Ints  # the matrices: TP, first TN, last TN; for LAST_DIGIT under the looser reading
    unreachable: tuple[str, ...] = ()  # figures that no matrix of the stated size prints, each by itself
    truncated: Choices = field(default_factory=dict)  # figures to be read as cut off
    from_printed: tuple[str, ...] = ()  # figures that fit if computed from the row's printed rates
    repairs: Choices = field(default_factory=dict)  # figures without which the rest is possible

    @property
    def counts(self) -> tuple[int, int] | None:
        """TP and TN where exactly one matrix fits, else None."""
        return (int(self.found[0, 0]), int(self.found[0, 1])) if count(self.found) == 1 else None

    @property
    def at_odds(self) -> tuple[str, ...]:
        """The columns to blame first: those a smallest repair leaves out, or those whose last digit is off."""
        return next(iter([*self.repairs, *self.truncated]), self.from_printed or self.unreachable)


def judge(row: Row, columns: Mapping[str, str]) -> Verdict:
    """The verdict on one row whose columns hold `columns` (a quantity by header), exact for its stated sizes."""
    near, loose = strips(row, columns), strips(row, columns, loose=True)
    found = meet(row, near.values())
    if not near or len(found):
        return Verdict(row, POSSIBLE if near else EMPTY, found)
    truncated = _smallest(row, near, loose) if len(meet(row, loose.values())) else {}
    without = {header: meet(row, [near[other] for other in near if other != header]) for header in near}
    from_printed = tuple(h for h in near if _from_printed(row, columns, h) and len(without[h]))
    if truncated or from_printed:
        looser = next(iter(truncated.values())) if truncated else without[from_printed[0]]
        return Verdict(row, LAST_DIGIT, looser, (), truncated, from_printed)
    unreachable = tuple(header for header in near if not len(meet(row, [near[header]])))
    return Verdict(row, IMPOSSIBLE, found, unreachable, repairs=_smallest(row, near, {}))


def explain(verdict: Verdict, columns: Mapping[str, str]) -> str:
    """What is wrong with a row, and what its other figures imply, in plain sentences."""
    row = verdict.row
    head = f"Row {row.number} ({row.label})"
    if verdict.status == EMPTY:
        return f"{head} prints no figure that the audit could check."
    if verdict.status == LAST_DIGIT:
        sets = [listed([f"{h} {row.figures[h].text}" for h in chosen]) for chosen in verdict.truncated]
        ways = [f"{' or '.join(sets)} had digits cut off instead of rounded"] if sets else []
        ways += [f"{h} {row.figures[h].text} follows from the printed, rounded rates" for h in verdict.from_printed]
        return f"{head}: possible only if {' or '.join(ways)}.{_counts(row, verdict.found, ' The counts are then {}.')}"
    parts = [f"{head}: no confusion matrix of {row.positives:,} + {row.negatives:,} images prints these figures."]
    parts += [_unreachable(row, header, columns[header]) for header in verdict.unreachable]
    for chosen, rest in list(verdict.repairs.items())[:3]:
        values = listed([_as_printed(row, header, *implied(rest, columns[header], row)) for header in chosen])
        values += f" instead{_counts(row, rest, ' ({})')}"
        parts.append(f"Without {listed(chosen)} the rest agrees and implies {values}.")
    if len(verdict.repairs) > 3:
        parts.append(f"There are {len(verdict.repairs) - 3} more such ways to leave out as few figures.")
    return " ".join(parts)


def explain_sizes(rounded: pd.DataFrame, loose: pd.DataFrame) -> str:
    """What two searches for one row say, with digits rounded as stated and with digits rounded or cut off."""
    tried, said = loose.attrs["bounds"], [f"{len(found):,} would explain the row" for found in (rounded, loose)]
    if loose.empty:
        return f"No test set of {tried} explains the row."
    for i, found in enumerate((rounded, loose)):
        for p, n, _, tp, tn, _ in found.head(1).itertuples(index=False):
            said[i] += f", the nearest {p:,} + {n:,} ({tp:,} of {p:,} and {tn:,} of {n:,} right)"
    more = f"; were digits cut off, {said[1]}" if len(loose) > len(rounded) else ""
    return f"Of the test sets of {tried}, {said[0]}{more}."


def _smallest(row: Row, near: Mapping[str, Range], instead: Mapping[str, Range]) -> Choices:
    """The smallest sets of figures, all of one size, that make a row possible if read as in `instead`, or left out."""
    for size in range(1, max(2, len(near))):
        found = {}
        for chosen in combinations(near, size):
            kept = {header: strip for header, strip in near.items() if header not in chosen}
            found[chosen] = meet(row, [*kept.values(), *(instead[header] for header in chosen if header in instead)])
        if found := {chosen: matrices for chosen, matrices in found.items() if len(matrices)}:
            return found
    return {}


def _from_printed(row: Row, columns: Mapping[str, str], header: str) -> bool:
    """Whether a balanced accuracy or Youden index follows from the printed, rounded rates of its row."""
    rates = [row.figures[h].value for h in row.figures if columns.get(h) in ("sensitivity", "specificity")]
    if columns[header] not in ("bacc", "youden") or len(rates) < 2:
        return False
    value = (rates[0] + rates[1]) / 2 if columns[header] == "bacc" else rates[0] + rates[1] - 1
    return abs(value - row.figures[header].value) <= row.figures[header].half_unit


def _unreachable(row: Row, header: str, quantity: str) -> str:
    figure, kind = row.figures[header], QUANTITIES[quantity].kind
    if kind != "count" and quantity != "youden" and not 0 <= figure.value <= 1:
        return f"{header} {figure.text} lies outside 0 to 1."
    if kind != "proportion":
        return f"No counts at all give {header} {figure.text}."
    n = QUANTITIES[quantity].whole(row.positives, row.negatives)
    below = int(figure.value * n)
    near = " or ".join(f"{k:,} give {_as_printed(row, header, k / n, k / n)}" for k in (below, below + 1) if k <= n)
    return f"{header} {figure.text} would be {float(figure.value * n):,.2f} of {n:,}; {near}."


def _as_printed(row: Row, header: str, low: float, high: float) -> str:
    """A value, or a range of them, in the unit and with the decimals of a printed figure."""
    figure = row.figures[header]
    digits = len(figure.text.rstrip("% ").partition(".")[2])
    one, other = (f"{end * figure.scale / 10**digits:.{digits}f}" for end in (low, high))
    return one if one == other else f"{one} to {other}"


def _counts(row: Row, found: Ints, text: str) -> str:
    """`text` with the counts of the one matrix that fits filled in; empty where several do."""
    tp, tn = found[0, :2]
    return text.format(f"{tp:,} of {row.positives:,} and {tn:,} of {row.negatives:,}") if count(found) == 1 else ""


@dataclass(frozen=True)
class Renamed:
    """A column that does not hold what its header says, and what it holds instead.

    fits_stated, fits_found: rows (of `rows`) that are possible under either reading, digits rounded or cut off.
    """

    column: str
    stated: str
    found: str
    rows: int
    fits_stated: int
    fits_found: int

    def __str__(self) -> str:
        old, new = QUANTITIES[self.stated], QUANTITIES[self.found]
        return (
            f"Column {self.column} does not hold {old.title}, {old.formula}: read so, {self.fits_stated or 'none'} of "
            f"{self.rows} rows can be true. Read as {new.title}, {new.formula}, {self.fits_found} can."
        )

    @property
    def short(self) -> str:
        """The same for the answer."""
        fits = f"fits {self.fits_found} of {self.rows} rows where its own definition fits {self.fits_stated or 'none'}"
        return f"the column {self.column} holds {QUANTITIES[self.found].title}, which {fits}"


def find_renamed(table: Table) -> Renamed | None:
    """The column that holds another quantity than its header says, or None.

    Sought where fewer than half of the rows are possible: the reading of one column, as a quantity that no other holds, that
    makes the most rows possible, if at least half; of equal ones the last column's, since elementary rates stand first.
    """
    stated, rows = table.columns, len(table.rows)
    allowed = [(row, strips(row, stated, loose=True)) for row in table.rows]

    def fits(change: Mapping[str, str]) -> int:
        found = [meet(row, (as_stated | strips(row, change, loose=True)).values()) for row, as_stated in allowed]
        return sum(len(matrices) > 0 for matrices in found)

    before = fits({})
    if rows < 3 or 2 * before >= rows:  # with fewer rows a column may fit another definition by chance
        return None
    tried = [
        Renamed(header, what, found, rows, before, fits({header: found}))
        for header, what in stated.items()
        for found in [name for name in QUANTITIES if name not in stated.values()]
        if (QUANTITIES[what].kind == "count") == (QUANTITIES[found].kind == "count")
    ]
    best = max(reversed(tried), key=lambda renamed: renamed.fits_found, default=None)
    return best if best is not None and 2 * best.fits_found >= rows else None


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
    two, over every row without a printed gain, or over all. A row fits if figures that round to its own reach its gain.
    """
    rows, column = table.rows, table.gain or ""
    printed = sum(column in row.figures for row in rows)
    if not printed:
        return None
    full = [header for header in table.columns if all(header in row.figures for row in rows)]
    chosen = [(header,) for header in full] + list(combinations(full, 2))
    references = [row for row in rows if column not in row.figures] or rows
    tried, lines = [], {}
    for reference, headers, kind in product(references, chosen, ("relative change", "difference")):
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
    """How one row fits a formula: a line of `GainAudit.rows`, in exact fractions until the end."""
    (mine, base), (reach, slack) = (
        [sum((getattr(r.figures[h], what) for h in headers), Fraction()) / len(headers) for r in (row, reference)]
        for what in ("value", "half_unit")
    )
    ends = ((mine, base), (mine - reach, base + slack), (mine + reach, base - slack))
    computed, low, high = (ours / theirs - 1 if kind == "relative change" else ours - theirs for ours, theirs in ends)
    line = {"row": row.number, "label": row.label, "printed": float("nan"), "fits": False}
    if column in row.figures:
        first, last, _, _, unit = row.figures[column].bounds(loose=True)
        line |= {"printed": float(row.figures[column].value), "fits": first <= high * unit and low * unit <= last}
    return line | {"computed": float(computed), "low": float(low), "high": float(high)}
