"""The rules for one row: is each figure reachable, do all of them belong to one matrix, and if not, which one is off?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from cxrlib.analysis.audit.lattice import Ints, count, implied, meet, strips
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.table import Figure, Row

POSSIBLE, LAST_DIGIT, IMPOSSIBLE = "possible", "last digit", "impossible"


@dataclass(frozen=True)
class Repair:
    """A smallest set of figures without which the rest of a row is possible, and what the rest says they would be."""

    columns: tuple[str, ...]
    implied: Mapping[str, tuple[float, float]]  # lowest and highest value by column; equal where the rest decides
    matrices: int  # confusion matrices that the rest leaves
    counts: tuple[int, int]  # TP and TN of the first of them


@dataclass(frozen=True)
class Verdict:
    """What one row's figures allow.

    status: POSSIBLE as printed; LAST_DIGIT if only with digits cut off, or with a mean taken of rounded figures;
    IMPOSSIBLE otherwise. unreachable: figures that no matrix of the stated size prints, each by itself.
    """

    row: Row
    status: str
    found: Ints  # the matrices: TP, first TN, last TN; for LAST_DIGIT under the looser reading
    unreachable: tuple[str, ...] = ()
    truncated: tuple[tuple[str, ...], ...] = ()  # smallest sets of figures to be read as cut off
    from_printed: tuple[str, ...] = ()  # figures that fit if computed from the row's printed rates
    repairs: tuple[Repair, ...] = ()

    @property
    def matrices(self) -> int:
        """How many confusion matrices fit."""
        return count(self.found)

    @property
    def counts(self) -> tuple[int, int] | None:
        """TP and TN where exactly one matrix fits, else None."""
        return (int(self.found[0, 0]), int(self.found[0, 1])) if self.matrices == 1 else None

    @property
    def at_odds(self) -> tuple[str, ...]:
        """The columns to blame first: those a smallest repair leaves out, or those whose last digit is off."""
        if self.repairs:
            return self.repairs[0].columns
        return self.truncated[0] if self.truncated else self.from_printed or self.unreachable


def judge(row: Row, columns: Mapping[str, str], rounding: str = "nearest") -> Verdict:
    """The verdict on one row whose columns hold `columns` (a quantity by header), exact for its stated sizes.

    rounding: how the table is taken to round, "nearest" (ties either way), "truncated" or "either".
    """
    near = strips(row, columns, rounding)
    found = meet(row, near.values())
    if len(found):
        return Verdict(row, POSSIBLE, found)
    loose = strips(row, columns, "either")

    def cut(chosen: tuple[str, ...]) -> Ints:
        return meet(row, [loose[header] if header in chosen else near[header] for header in near])

    def without(chosen: tuple[str, ...]) -> Ints:
        return meet(row, [near[header] for header in near if header not in chosen])

    truncated = _first_sets(near, cut) if len(meet(row, loose.values())) else ()
    from_printed = tuple(h for h in near if _from_printed(row, columns, h) and len(without((h,))))
    if truncated or from_printed:
        looser = cut(truncated[0]) if truncated else without(from_printed[:1])
        return Verdict(row, LAST_DIGIT, looser, (), truncated, from_printed)
    repairs = []
    for chosen in _first_sets(near, without):
        rest = without(chosen)
        values = {header: implied(rest, columns[header], row.positives, row.negatives) for header in chosen}
        repairs.append(Repair(chosen, values, count(rest), (int(rest[0, 0]), int(rest[0, 1]))))
    unreachable = tuple(header for header in near if not len(meet(row, [near[header]])))
    return Verdict(row, IMPOSSIBLE, found, unreachable, repairs=tuple(repairs))


def _first_sets(headers: Iterable[str], left: Callable[[tuple[str, ...]], Ints]) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of headers whose choice leaves a matrix, all of one size; empty if only all of them do."""
    names = list(headers)
    for size in range(1, max(2, len(names))):
        found = tuple(chosen for chosen in combinations(names, size) if len(left(chosen)))
        if found:
            return found
    return ()


def _from_printed(row: Row, columns: Mapping[str, str], header: str) -> bool:
    """Whether a balanced accuracy or Youden index follows from the printed, rounded rates of its row."""
    by_quantity = {columns[h]: figure for h, figure in row.figures.items() if h in columns}
    rates = [by_quantity.get(name) for name in ("sensitivity", "specificity")]
    if columns[header] not in ("bacc", "youden") or rates[0] is None or rates[1] is None:
        return False
    total = rates[0].exact + rates[1].exact
    value = total / 2 if columns[header] == "bacc" else total - 1
    return abs(value - row.figures[header].exact) <= row.figures[header].half_unit


def granularity(figure: Figure, quantity: str, positives: int, negatives: int) -> tuple[Fraction, int]:
    """What a proportion would need, as a count and out of how many: (k, n); k is not whole where none rounds to it."""
    n = QUANTITIES[quantity].denominator(positives, negatives)[2]
    return figure.exact * n, int(n)
