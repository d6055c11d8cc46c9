"""The rules for one row: is each figure reachable, do all of them belong to one matrix, and if not, which one is off?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from cxrlib.analysis.audit.lattice import Ints, count, implied, meet, strips
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Row
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


def judge(row: Row, columns: Mapping[str, str], rounding: str = "nearest") -> Verdict:
    """The verdict on one row whose columns hold `columns` (a quantity by header), exact for its stated sizes.

    rounding: how the table is taken to round, "nearest" (ties either way), "truncated" or "either".
    """
    near, loose = strips(row, columns, rounding), strips(row, columns, "either")
    found = meet(row, near.values())
    if not near or len(found):
        return Verdict(row, POSSIBLE if near else EMPTY, found)

    cut = lambda chosen: meet(row, [(loose if header in chosen else near)[header] for header in near])  # noqa: E731
    without = lambda chosen: meet(row, [near[header] for header in near if header not in chosen])  # noqa: E731
    truncated = _smallest(near, cut) if len(meet(row, loose.values())) else {}
    from_printed = tuple(h for h in near if _from_printed(row, columns, h) and len(without((h,))))
    if truncated or from_printed:
        looser = next(iter(truncated.values())) if truncated else without(from_printed[:1])
        return Verdict(row, LAST_DIGIT, looser, (), truncated, from_printed)
    unreachable = tuple(header for header in near if not len(meet(row, [near[header]])))
    return Verdict(row, IMPOSSIBLE, found, unreachable, repairs=_smallest(near, without))


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


def _smallest(headers: Iterable[str], left: Callable[[tuple[str, ...]], Ints]) -> Choices:
    names = list(headers)
    for size in range(1, max(2, len(names))):
        if found := {chosen: left(chosen) for chosen in combinations(names, size) if len(left(chosen))}:
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
    n = int(QUANTITIES[quantity].denominator(row.positives, row.negatives)[2])
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
