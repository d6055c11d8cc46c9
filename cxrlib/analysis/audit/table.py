"""A results table as printed: every figure keeps its text, so that its decimals say how far it was rounded."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from cxrlib.analysis.audit.quantities import LABEL, QUANTITIES, UNCHECKED, check_quantity, recognise
from cxrlib.errors import DataError, ParameterError
from cxrlib.paper.tables import TEST_COVID, TEST_NON_COVID

_MISSING = {"", "-", "–", "—", "n/a", "na", "nan", "none"}
_NUMBER = re.compile(r"([+\-−]?)(\d*)\.?(\d*)\s*(%?)")
_DATA = Path(__file__).parent / "data"
_ADDED = re.compile(r"\s*(±.*|\(.*\)|\[.*\])$")


@dataclass(frozen=True)
class Figure:
    """One printed figure: `units` of its last digit, of which `scale` make 1 (percentages count as such)."""

    text: str
    units: int
    scale: int

    @property
    def value(self) -> float:
        """The printed number as a float (a percentage as a fraction)."""
        return self.units / self.scale

    @property
    def exact(self) -> Fraction:
        """The printed number, exactly."""
        return Fraction(self.units, self.scale)

    @property
    def half_unit(self) -> Fraction:
        """Half a unit of the last digit: how far rounding to nearest may have moved it."""
        return Fraction(1, 2 * self.scale)

    def interval(self, rounding: str = "nearest") -> tuple[int, int, bool, bool]:
        """The values that print as this figure, in 1 / (2 scale): (low, high, low is open, high is open).

        nearest: ties may go either way, so both ends belong to it; truncated: digits were cut off; either: the union
        of both. Where 0 is printed the open end is closed, so that a rate whose denominator is 0 may print as 0.
        """
        sign = -1 if self.text.lstrip()[:1] in "-−" else 1
        size = abs(self.units)
        if rounding == "nearest":
            low, high, is_open = 2 * size - 1, 2 * size + 1, False
        elif rounding in ("truncated", "either"):
            low, high, is_open = 2 * size - (rounding == "either"), 2 * size + 2, size > 0
        else:
            raise ParameterError(f"rounding = '{rounding}' is not allowed: choose nearest, truncated or either.")
        return (low, high, False, is_open) if sign > 0 else (-high, -low, is_open, False)


@dataclass(frozen=True)
class Row:
    """One row: its label, its printed figures by column, and the stated sizes of its test set."""

    number: int  # from 1, in the table's order
    label: str
    figures: Mapping[str, Figure]
    positives: int
    negatives: int

    def drop(self, *columns: str) -> "Row":
        """The row without the figures of these columns."""
        return replace(self, figures={name: f for name, f in self.figures.items() if name not in columns})


@dataclass(frozen=True)
class Table:
    """A table ready to be audited.

    columns: what each checked column is stated to hold (a name of `QUANTITIES`), by header; gain: header of the gain
    column; unchecked: columns with figures that the audit cannot check; notes: what was read otherwise than printed.
    """

    name: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str]
    gain: str | None = None
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse_figure(text: str, percent: bool = False) -> Figure | None:
    """A printed figure, or None for a dash or an empty cell.

    percent: the column holds percentages whether or not a cell says so. What follows in brackets or after ± is left
    aside (`read_table` notes it). Raises DataError for a text that is no number.
    """
    plain = text.strip()
    if plain.lower() in _MISSING:
        return None
    match = _NUMBER.fullmatch(_ADDED.sub("", plain))
    if match is None or not (match[2] or match[3]):
        raise DataError(f"'{text}' is not a figure: print it as 0.975, 97.5 or 97.5 %, and a missing one as a dash.")
    units = int(match[2] + match[3]) * (-1 if match[1] in ("-", "−") else 1)
    return Figure(plain, units, 10 ** len(match[3]) * (100 if percent or match[4] else 1))


def read_cells(source: str | Path) -> list[dict[str, str]]:
    """The cells of a CSV file as text, a dict a row; lines that start with # are comments.

    Raises DataError if the file is missing, has no rows, repeats a header or has a row of another length.
    """
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error}): give a CSV file in UTF-8, or 'paper'.") from error
    lines = [line for line in io.StringIO(text, newline="") if not line.startswith("#")]
    found = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    if len(found) < 2:
        raise DataError(f"{path} holds no table: it needs a line of headers and at least one row.")
    headers = [header.strip() for header in found[0]]
    if len(set(headers)) < len(headers):
        raise DataError(f"{path} repeats a column header: give every column a name of its own.")
    for number, row in enumerate(found[1:], 1):
        if len(row) != len(headers):
            raise DataError(f"row {number} of {path} has {len(row)} cells for {len(headers)} headers: mend the file.")
    return [dict(zip(headers, row, strict=True)) for row in found[1:]]


def read_table(
    source: str | Path,
    positives: int | None = None,
    negatives: int | None = None,
    columns: Mapping[str, str] | None = None,
) -> Table:
    """Read a results table from a CSV file, or the paper's own for "paper".

    positives, negatives: size of the test set where the table has no such columns; columns: what a header holds, where
    its own words do not say it (a name of `QUANTITIES`, "gain", "unchecked" or "label"). Raises DataError for an
    unreadable table, ParameterError for a column that is not there.
    """
    if str(source) == "paper":
        positives, negatives = positives or TEST_COVID, negatives or TEST_NON_COVID
        return table_from_cells(
            read_cells(_DATA / "table_2.csv"), "Table II of the paper", positives, negatives, columns
        )
    return table_from_cells(read_cells(source), Path(source).name, positives, negatives, columns)


def table_from_cells(
    cells: list[dict[str, str]],
    name: str,
    positives: int | None = None,
    negatives: int | None = None,
    columns: Mapping[str, str] | None = None,
) -> Table:
    """A table from cells of text (see `read_table`, which reads them from a file)."""
    stated = {header: check_quantity(what) for header, what in (columns or {}).items()}
    headers = list(cells[0])
    for header in stated:
        if header not in headers:
            raise ParameterError(f"there is no column '{header}': the table has {', '.join(headers)}.")
    known = {header: stated.get(header) or recognise(header) for header in headers}
    first = next((i for i, header in enumerate(headers) if known[header] in QUANTITIES), len(headers))
    holds = {header: known[header] or _other(header, i < first, cells) for i, header in enumerate(headers)}
    checked = {header: what for header, what in holds.items() if what in QUANTITIES}
    if not checked:
        raise DataError(f"no column of {name} is known: name one with --column HEADER=QUANTITY.")
    twice = next((what for what in holds.values() if what not in (LABEL, UNCHECKED) and list(holds.values()).count(what) > 1), None)  # fmt: skip
    if twice:
        raise DataError(f"two columns of {name} hold {twice}: declare one as --column HEADER=unchecked.")
    role = {what: header for header, what in holds.items()}
    gain = role.get("gain")
    percent = {header: _in_percent(header, what, cells) for header, what in holds.items()}
    rows = []
    for number, cell in enumerate(cells, 1):
        where = f"row {number} of {name}"
        label = (
            " / ".join(text.strip() or "-" for header, text in cell.items() if holds[header] == LABEL)
            or f"row {number}"
        )
        figures = {
            header: _figure(cell[header], percent[header], where, header)
            for header in [*checked, *([gain] if gain else [])]
        }
        sizes = (_size(cell, role.get("positives"), positives, "positives", where), _size(cell, role.get("negatives"), negatives, "negatives", where))  # fmt: skip
        rows.append(Row(number, label, {header: f for header, f in figures.items() if f is not None}, *sizes))
    unchecked = tuple(header for header, what in holds.items() if what == UNCHECKED)
    return Table(name, tuple(rows), checked, gain, unchecked, _notes(cells, checked, percent))


def example_path() -> Path:
    """A small invented table with one wrong digit, to try the audit on."""
    return _DATA / "example.csv"


def _other(header: str, before: bool, cells: list[dict[str, str]]) -> str:
    """An unknown header: a label if it stands before the first known column or holds words, else unchecked."""
    texts = [cell[header] for cell in cells if cell[header].strip().lower() not in _MISSING]
    return UNCHECKED if not before and texts and all(_lenient(text) is not None for text in texts) else LABEL


def _in_percent(header: str, what: str, cells: list[dict[str, str]]) -> bool:
    """Whether a column holds percentages: its header says so, or most of its rates exceed 1."""
    if what == "gain":
        return True
    if what not in QUANTITIES or QUANTITIES[what].kind == "count":
        return False
    if "%" in header:
        return True
    found = [f for cell in cells if (f := _lenient(cell[header])) is not None]
    return sum(abs(f.value) > 1 for f in found) * 2 > len(found)


def _lenient(text: str) -> Figure | None:
    try:
        return parse_figure(text)
    except DataError:
        return None


def _figure(text: str, percent: bool, where: str, header: str) -> Figure | None:
    try:
        return parse_figure(text, percent)
    except DataError as error:
        raise DataError(f"{where}, column {header}: {error}") from error


def _size(cell: dict[str, str], header: str | None, default: int | None, what: str, where: str) -> int:
    text = cell[header].strip() if header else ""
    if text.lower() not in _MISSING:
        if not text.isdecimal() or int(text) < 1:
            raise DataError(f"{where} states '{text}' {what}: give a whole number of at least 1.")
        return int(text)
    if default is None or default < 1:
        raise DataError(f"{where} states no number of {what}: add a column '{what}' or give --{what}.")
    return default


def _notes(cells: list[dict[str, str]], checked: Mapping[str, str], percent: Mapping[str, bool]) -> tuple[str, ...]:
    notes = []
    for header in checked:
        if percent[header] and "%" not in header and not any("%" in cell[header] for cell in cells):
            notes.append(f"Column {header} is read as percentages, since most of its figures exceed 1.")
        if any(_ADDED.search(cell[header].strip()) for cell in cells):
            notes.append(f"Column {header}: what stands in brackets or after ± is not checked.")
    return tuple(notes)
