"""A results table as printed: every figure keeps its text, so that its decimals say how far it was rounded."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxrlib.analysis.audit.lattice import QUANTITIES, Figure, Row
from cxrlib.errors import DataError, ParameterError
from cxrlib.paper import tables as paper

EXAMPLE = Path(__file__).parent / "example.csv"  # a small invented table with one wrong digit, to try the audit on
Cells = Sequence[Mapping[str, str]]
GAIN, POSITIVES, NEGATIVES, UNCHECKED, LABEL = "gain", "positives", "negatives", "unchecked", "label"
"""Columns that are no quantity of one matrix: a gain over another row, the row's test sizes, and all else."""

_MISSING = {"", "-", "–", "—", "n/a", "na", "nan", "none"}
_NUMBER = re.compile(r"([+\-−]?)(\d*)\.?(\d*)\s*(%?)")
_ADDED = re.compile(r"\s*(±.*|\(.*\)|\[.*\])$")


@dataclass(frozen=True)
class Table:
    """A table ready to be audited.

    columns: what each checked column is stated to hold (a name of `QUANTITIES`), by header; gain: header of the gain
    column; notes: what is not checked, or read otherwise than printed.
    """

    name: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str]
    gain: str | None = None
    notes: tuple[str, ...] = ()


def parse_figure(text: str, unit: str = "rate", where: str = "") -> Figure | None:
    """A printed figure, or None for a dash or an empty cell; raises DataError, saying `where`, for what is no number.

    unit: "rate", "percent" (whether or not the cell says so) or "count" (whole; thousands may be parted by commas or
    blanks). What follows in brackets or after ± is left aside.
    """
    plain = text.strip()
    if plain.lower() in _MISSING:
        return None
    if unit == "count":
        whole = re.sub(r"(?<=\d)[,\s](?=\d{3}(?!\d))", "", plain)
        if not whole.isdecimal():
            raise DataError(f"{where}'{text}' is no count: print whole numbers and dashes only.")
        return Figure(plain, int(whole), 1)
    match = _NUMBER.fullmatch(_ADDED.sub("", plain))
    if match is None or not (match[2] or match[3]):
        what = "is not a figure: print it as 0.975, 97.5 or 97.5 %, and a missing one as a dash."
        raise DataError(f"{where}'{text}' {what}")
    units = int(match[2] + match[3]) * (-1 if match[1] in ("-", "−") else 1)
    return Figure(plain, units, 10 ** len(match[3]) * (100 if unit == "percent" or match[4] else 1))


def read_cells(path: Path) -> list[dict[str, str]]:
    """The cells of a CSV file as text, a dict a row; lines that start with # are comments.

    Columns may be parted by commas, semicolons or tabs; with the latter two a comma in a figure is a decimal comma and
    read as a point. Raises DataError if the file is missing, has no rows, repeats a header or has uneven rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error}): give a CSV file in UTF-8, or 'paper'.") from error
    lines = [line for line in text.splitlines() if line.strip(" ,;\t") and not line.startswith("#")]
    if len(lines) < 2:
        raise DataError(f"{path} holds no table: it needs a line of headers and at least one row.")
    separator = max(",;\t", key=lines[0].count)
    headers, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator))
    if len(set(headers)) < len(headers):
        raise DataError(f"{path} repeats a column header: give every column a name of its own.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(headers):
            raise DataError(f"row {number} of {path} has {len(row)} cells for {len(headers)} headers: mend the file.")
    if separator != ",":
        rows = [[re.sub(r"^([+\-−]?\d*),(\d)", r"\1.\2", cell) for cell in row] for row in rows]
    return [dict(zip(headers, row, strict=True)) for row in rows]


def read_table(
    source: str | Path, positives: int | None = None, negatives: int | None = None, columns: Mapping[str, str] = {}
) -> Table:  # fmt: skip
    """Read a results table from a CSV file, or the paper's own for "paper".

    positives, negatives: size of the test set where the table has no such columns; columns: what a header holds, where
    its own words do not say it (a name of `QUANTITIES`, "gain", "unchecked", "label"). Raises DataError, ParameterError.
    """
    if str(source) != "paper":
        return table_from_cells(read_cells(Path(source)), Path(source).name, positives, negatives, columns)
    positives = paper.TEST_COVID if positives is None else positives
    negatives = paper.TEST_NON_COVID if negatives is None else negatives
    cells = paper.printed("table_2").to_dict("records")
    return table_from_cells(cells, "Table II of the paper", positives, negatives, columns)


def table_from_cells(
    cells: Cells, name: str, positives: int | None, negatives: int | None, columns: Mapping[str, str] = {}
) -> Table:  # fmt: skip
    """A table from cells of text (see `read_table`, which reads them from a file)."""
    given = {POSITIVES: positives, NEGATIVES: negatives}
    for what, size in given.items():
        if size is not None and size < 1:
            raise ParameterError(f"{what} = {size} is not allowed: give a whole number of at least 1.")
    holds = _holds(cells, columns)
    checked = {header: what for header, what in holds.items() if what in QUANTITIES}
    if not checked:
        raise DataError(f"no column of {name} is known: name one with --column HEADER=QUANTITY.")
    role: dict[str, str] = {}
    for header, what in holds.items():
        if role.setdefault(what, header) != header and what not in (LABEL, UNCHECKED):
            raise DataError(f"two columns of {name} hold {what}: declare one as --column HEADER=unchecked.")
    units = {header: _unit(header, what, cells) for header, what in holds.items() if what not in (LABEL, UNCHECKED)}
    rows = []
    for number, cell in enumerate(cells, 1):
        where, sizes = f"row {number} of {name}", list[int]()
        figures = {h: parse_figure(cell[h], unit, f"{where}, column {h}: ") for h, unit in units.items()}
        for what, size in given.items():
            stated = figures.pop(role.get(what, ""), None)
            size = size if stated is None else stated.units
            if not size:
                raise DataError(f"{where} states no number of {what}: add a column '{what}' or give --{what}.")
            sizes.append(size)
        label = " / ".join(text.strip() or "-" for h, text in cell.items() if holds[h] == LABEL) or f"row {number}"
        rows.append(Row(number, label, {header: f for header, f in figures.items() if f}, *sizes))
    if not any(checked.keys() & row.figures.keys() for row in rows):
        raise DataError(f"{name} prints no figure to check: every cell of {', '.join(checked)} is empty.")
    return Table(name, tuple(rows), checked, role.get(GAIN), tuple(_notes(cells, holds, units)))


def recognise(header: str) -> str | None:
    """The quantity or role that a column header names (case, signs and what stands in brackets aside), or None."""
    bare = re.sub(r"\([^)]*\)|\[[^\]]*\]|['’]", lambda found: "" if len(found[0]) == 1 else " ", header)
    return _NAMES.get(" ".join(re.findall(r"[^\W_]+", bare.lower())))


_NAMES = {name: name for name in (*QUANTITIES, GAIN, POSITIVES, NEGATIVES)} | {"improvement": GAIN}
_NAMES |= {alias.replace("'", "").lower(): name for name, q in QUANTITIES.items() for alias in (q.title, *q.aliases)}


def _holds(cells: Cells, declared: Mapping[str, str]) -> dict[str, str]:
    """What each column holds: as declared, as its header says, or else a label or unchecked figures.

    An unknown header is a label if it stands before the first known column or holds words.
    """
    headers, roles = list(cells[0]), (GAIN, POSITIVES, NEGATIVES, UNCHECKED, LABEL)
    for header, what in declared.items():
        for given, known, noun in ((header, headers, "column"), (what, (*QUANTITIES, *roles), "quantity")):
            if given not in known:
                raise ParameterError(f"there is no {noun} '{given}': choose one of {', '.join(known)}.")
    holds = {header: declared.get(header) or recognise(header) or LABEL for header in headers}
    first = next((i for i, what in enumerate(holds.values()) if what in QUANTITIES), len(headers))
    for header in headers[first:]:
        texts = [cell[header] for cell in cells if cell[header].strip().lower() not in _MISSING]
        if holds[header] == LABEL != declared.get(header) and texts and len(_values(texts)) == len(texts):
            holds[header] = UNCHECKED
    return holds


def _unit(header: str, what: str, cells: Cells) -> str:
    """The unit of a column's figures: percent if its header says so, or most of its rates exceed 1."""
    if what in (POSITIVES, NEGATIVES) or (what in QUANTITIES and QUANTITIES[what].kind == "count"):
        return "count"
    values = _values([cell[header] for cell in cells])
    return "percent" if what == GAIN or "%" in header or sum(v > 1 for v in values) * 2 > len(values) else "rate"


def _values(texts: Sequence[str]) -> list[float]:
    """The size of every text that is a figure."""
    matches = [_NUMBER.fullmatch(_ADDED.sub("", text.strip())) for text in texts]
    return [float(f"{m[2]}.{m[3]}") / (100 if m[4] else 1) for m in matches if m and m[2] + m[3]]


def _notes(cells: Cells, holds: Mapping[str, str], units: Mapping[str, str]) -> Iterator[str]:
    for header, what in holds.items():
        texts = [cell[header] for cell in cells]
        if what == UNCHECKED:
            yield f"Column {header} is not checked: it is no quantity of a confusion matrix that the audit knows."
        if units.get(header) == "percent" and "%" not in header + "".join(texts):
            yield f"Column {header} is read as percentages, since most of its figures exceed 1."
        if what in QUANTITIES and any(_ADDED.search(text.strip()) for text in texts):
            yield f"Column {header}: what stands in brackets or after ± is not checked."
