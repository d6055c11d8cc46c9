"""Tables of counts: which rows are sums or multiples of others, and whether rows that say so are."""

import re
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import pandas as pd

from cxrlib.analysis.audit.table import read_cells
from cxrlib.errors import DataError

_MISSING = {"", "-", "–", "—", "n/a", "na", "nan"}
_TOTAL = re.compile(r"\b(total|sum|all|overall)\b", re.IGNORECASE)


@dataclass(frozen=True)
class StatedSum:
    """A row whose label names its parts ("A + B", "Total"), column by column."""

    label: str
    parts: tuple[str, ...]
    checks: pd.DataFrame  # column, printed, sum, adds_up

    @property
    def adds_up(self) -> bool:
        """Whether every column that the parts fill adds up."""
        return bool(self.checks["adds_up"].all())


def read_counts(source: str | Path) -> pd.DataFrame:
    """A table of counts from a CSV file ("paper": the paper's Table I): text labels as index, nullable integers.

    The first column holds the labels. Thousands may be parted by commas or blanks. Raises DataError for a cell that is
    neither a whole number nor a dash.
    """
    cells = read_cells(Path(__file__).parent / "data" / "table_1.csv" if str(source) == "paper" else source)
    headers = list(cells[0])
    numbers = {
        header: pd.array([_count(cell[header], header, i) for i, cell in enumerate(cells, 1)], dtype="Int64")
        for header in headers[1:]
    }
    if not numbers:
        raise DataError(f"{source} has one column: a table of counts needs a column of labels and one of counts.")
    return pd.DataFrame(numbers, index=pd.Index([cell[headers[0]].strip() for cell in cells], name=headers[0]))


def stated_sums(counts: pd.DataFrame) -> list[StatedSum]:
    """Check every row whose label says that it is a sum: "A + B" of rows A and B, or "Total" of all other rows.

    A part matches a row whose label starts with it (brackets and asterisks aside); where several do, the combination
    that makes most columns add up is taken. Columns in which fewer than two parts have a count are left out.
    """
    found = []
    for label in counts.index:
        others = [other for other in counts.index if other != label and "+" not in other and not _TOTAL.search(other)]
        if "+" in label:
            named = [[other for other in others if _bare(other).startswith(_bare(part))] for part in label.split("+")]
            ways = [way for way in product(*named) if len(set(way)) == len(way)]
        else:
            ways = [tuple(others)] if _TOTAL.search(label) and len(others) > 1 else []
        if ways:
            found.append(
                max((_stated(counts, label, way) for way in ways), key=lambda s: int(s.checks["adds_up"].sum()))
            )
    return found


def found_sums(counts: pd.DataFrame, most_parts: int = 3) -> pd.DataFrame:
    """Every row that equals a sum of others wherever it and all of them have counts: label, parts, columns.

    Only sums that hold in at least two columns are listed, since one may be chance.
    """
    rows = []
    for label in counts.index:
        others = [other for other in counts.index if other != label]
        for size in range(2, most_parts + 1):
            for parts in combinations(others, size):
                block = counts.loc[[label, *parts]]
                full = block.columns[block.notna().all()]
                if len(full) > 1 and (block.loc[list(parts), full].sum() == block.loc[label, full]).all():
                    rows.append((label, " + ".join(parts), ", ".join(full)))
    return pd.DataFrame(rows, columns=["label", "parts", "columns"])


def found_multiples(counts: pd.DataFrame) -> pd.DataFrame:
    """Counts that are a whole multiple (2 or more) of another row's in the same column: column, label, of, factor.

    Only rows that share the first word of their label are compared: an augmented set with what it was made from.
    """
    rows = []
    for column in counts.columns:
        for label, other in product(counts.index, counts.index):
            one, two = counts.loc[label, column], counts.loc[other, column]
            related = label != other and _bare(label).split(" ")[0] == _bare(other).split(" ")[0]
            if related and pd.notna(one) and pd.notna(two) and two > 0 and one >= 2 * two and one % two == 0:
                rows.append((column, label, other, int(one // two)))
    return pd.DataFrame(rows, columns=["column", "label", "of", "factor"])


def sums_text(counts: pd.DataFrame) -> tuple[str, bool]:
    """The audit of a table of counts for a terminal, and whether every stated sum adds up."""
    lines, right = [], True
    for stated in stated_sums(counts):
        right &= stated.adds_up
        for check in stated.checks.itertuples():
            word = "adds up" if check.adds_up else "DOES NOT ADD UP"
            lines.append(f"{stated.label}, {check.column}: {' + '.join(stated.parts)} = {check.sum:,}; printed {check.printed:,}: {word}.")  # fmt: skip
    for line in found_multiples(counts).itertuples():
        lines.append(f"{line.label}, {line.column}: {line.factor} times {line.of}.")
    return "\n".join(lines) or "No row says that it is a sum, and none is a multiple of another.", right


def _stated(counts: pd.DataFrame, label: str, parts: tuple[str, ...]) -> StatedSum:
    rows = []
    for column in counts.columns:
        filled = counts.loc[list(parts), column].dropna()
        printed = counts.loc[label, column]
        if pd.notna(printed) and len(filled) > 1:
            rows.append((column, int(printed), int(filled.sum()), int(printed) == int(filled.sum())))
    return StatedSum(label, parts, pd.DataFrame(rows, columns=["column", "printed", "sum", "adds_up"]))


def _bare(label: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)|\*", " ", label).lower().split())


def _count(text: str, header: str, number: int) -> int | None:
    plain = re.sub(r"(?<=\d)[, \u2009\u00a0](?=\d{3})", "", text.strip())
    if plain.lower() in _MISSING:
        return None
    if not plain.isdecimal():
        raise DataError(f"row {number}, column {header}: '{text}' is no count; print whole numbers and dashes only.")
    return int(plain)
