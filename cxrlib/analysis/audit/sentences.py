"""Findings in words: each sentence is put together from the numbers of one finding."""

from typing import TYPE_CHECKING, Any

from cxrlib.analysis.audit.checks import IMPOSSIBLE, LAST_DIGIT, POSSIBLE, Verdict, granularity
from cxrlib.analysis.audit.definitions import Renamed
from cxrlib.analysis.audit.gains import GainAudit
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.search import SizeSearch
from cxrlib.analysis.audit.table import Row

if TYPE_CHECKING:
    from cxrlib.analysis.audit.report import Report


_MOST_REPAIRS = 3  # spelled out; of more it is only said how many there are


def answer(report: "Report") -> str:
    """Does the table add up? Two sentences, from the findings alone."""
    n = len(report.verdicts)
    numbers = {status: len(report.rows_with(status)) for status in (POSSIBLE, LAST_DIGIT, IMPOSSIBLE)}
    parts = [
        f"{numbers[POSSIBLE]} of {_number(n, 'row')} {'adds' if numbers[POSSIBLE] == 1 else 'add'} up to the last digit"
    ]
    if numbers[LAST_DIGIT]:
        parts.append(f"{numbers[LAST_DIGIT]} only if digits were cut off or means taken of rounded figures")
    if numbers[IMPOSSIBLE]:
        parts.append(f"{numbers[IMPOSSIBLE]} cannot be true on the test set that is stated")
    if numbers[POSSIBLE] == n:
        first = f"In {report.table.name} all figures of {'its one row' if n == 1 else f'all {n} rows'} can be true on the test set that is stated."
    else:
        first = f"In {report.table.name} {_list(parts)}."
    clauses = [
        f"the column {r.column} holds {_title(r.found)}, which fits {r.fits_found} of {r.rows} rows where its own definition fits {_few(r.fits_stated)}"
        for r in report.renamed
    ]
    if report.gain is not None:
        fits, of = int(report.gain.rows["fits"].sum()), len(report.gain.rows)
        clauses.append(
            f"{report.gain.column} is the {report.gain.formula.text()}, which reproduces {fits} of {of} printed values"
        )
    second = "; ".join(clauses) if clauses else "every checked column holds what its header says"
    return f"{first} {second[0].upper()}{second[1:]}."


def renamed(found: Renamed) -> str:
    """A column that holds something else than its header says."""
    stated, holds = QUANTITIES[found.stated], QUANTITIES[found.found]
    text = (
        f"Column {found.column} does not hold {_title(found.stated)}, {stated.formula}: read so, {_few(found.fits_stated)} of "
        f"{_number(found.rows, 'row')} {'is' if found.fits_stated == 1 else 'are'} possible. Read as {_title(found.found)}, {holds.formula}, "
        f"{found.fits_found} are"
    )
    if found.fits_nearest < found.fits_found:
        text += f" ({found.fits_nearest} rounded to nearest, the others with digits cut off)"
    return text + "." + (f" As many are with {_list(list(found.alternatives), 'or')}." if found.alternatives else "")


def verdict(found: Verdict, report: "Report") -> str:
    """What is wrong with one row, what its other figures imply, and which test sets would explain it."""
    row = found.row
    head = f"Row {row.number} ({row.label})"
    if found.status == LAST_DIGIT:
        return f"{head}: {_last_digit(found)}"
    parts = [f"{head}: no confusion matrix of {_sizes(row.positives, row.negatives)} images prints these figures."]
    for column in found.unreachable:
        parts.append(_unreachable(row, column, report.columns[column]))
    if found.repairs:
        parts.append(_repairs(found))
    searches = [search for (number, _), search in report.searches.items() if number == row.number]
    if searches:
        parts.append(_sizes_found(searches[0], None if len(searches) == 1 else searches[1]))
    elif report.searched and len(row.figures) > 1:
        parts.append("Other test sets were not tried, since there are too many.")
    return " ".join(parts)


def gain_formula(gain: GainAudit, fits: int) -> str:
    """Which formula a gain column follows."""
    text = (
        f"Column {gain.column} is the {gain.formula.text()}: this reproduces {fits} of {len(gain.rows)} printed values"
    )
    other = gain.formulas[gain.formulas["kind"] != gain.formula.kind]
    if not other.empty:
        text += f"; the best {other.iloc[0]['kind']} reproduces {other.iloc[0]['fits']}"
    return text + "."


def gain_misfit(gain: GainAudit, line: Any) -> str:
    """A gain that does not follow from its row's own figures."""
    return (
        f"Row {line.row} ({line.label}): {gain.column} prints {_points(line.printed)}, but the row's own figures give "
        f"{_points(line.computed)} (between {_points(line.low)} and {_points(line.high)} for any rounding)."
    )


def gain_missing(line: Any) -> str:
    """A row without a printed gain, and the one its figures give."""
    return f"Row {line.row} ({line.label}) prints no gain; its figures give {_points(line.computed)}."


def twins(one: Row, other: Row) -> str:
    """Two rows with the same figures throughout."""
    return f"Rows {one.number} and {other.number} print the same figures throughout ({one.label}; {other.label})."


def _last_digit(found: Verdict) -> str:
    ways = []
    if found.truncated:
        sets = [
            _list([f"{column} {found.row.figures[column].text}" for column in chosen]) for chosen in found.truncated
        ]
        ways.append(f"{_list(sets, 'or')} had digits cut off instead of rounded")
    ways += [
        f"{column} {found.row.figures[column].text} was computed from the printed, rounded rates"
        for column in found.from_printed
    ]
    counts = found.counts
    matrix = (
        f" The counts are then {counts[0]} of {found.row.positives:,} and {counts[1]:,} of {found.row.negatives:,}."
        if counts
        else ""
    )
    return f"possible only if {_list(ways, 'or')}.{matrix}"


def _unreachable(row: Row, column: str, quantity: str) -> str:
    figure = row.figures[column]
    title = f"{column} {figure.text}"
    if QUANTITIES[quantity].kind != "count" and not 0 <= figure.value <= 1 and quantity != "youden":
        return f"{title} lies outside 0 to 1."
    if QUANTITIES[quantity].kind == "proportion":
        k, n = granularity(figure, quantity, row.positives, row.negatives)
        whole = float(k)
        near = " or ".join(
            f"{i:,} give {i / n * (100 if figure.scale % 100 == 0 and '%' in figure.text else 1):.{_decimals(row, column)}f}"
            for i in sorted({int(whole), int(whole) + 1})
            if 0 <= i <= n
        )
        return f"{title} would be {whole:,.2f} of {n:,}; {near}."
    return f"No counts at all give {title}."


def _repairs(found: Verdict) -> str:
    texts = []
    if len(found.repairs) > _MOST_REPAIRS:
        kept = len(found.repairs[0].columns)
        return f"The rest agrees only without {kept} of the figures, in {len(found.repairs)} ways to choose them."
    for repair in found.repairs:
        names = _list(list(repair.columns))
        values = _list([_implied(found.row, column, *repair.implied[column]) for column in repair.columns])
        counts = (
            f" ({repair.counts[0]:,} of {found.row.positives:,} and {repair.counts[1]:,} of {found.row.negatives:,})"
            if repair.matrices == 1
            else ""
        )
        texts.append(
            f"without {names} the rest agrees and implies {values} for {'it' if len(repair.columns) == 1 else 'them'}{counts}"
        )
    text = "; or ".join(texts)
    return f"{text[0].upper()}{text[1:]}."


def _implied(row: Row, column: str, low: float, high: float) -> str:
    digits = _decimals(row, column)
    factor = row.figures[column].scale / 10**digits
    one, other = f"{low * factor:.{digits}f}", f"{high * factor:.{digits}f}"
    return one if one == other else f"{one} to {other}"


def _sizes_found(search: SizeSearch, looser: SizeSearch | None) -> str:
    bounds = f"{search.positives[0]:,} to {search.positives[1]:,} positives and {search.negatives[0]:,} to {search.negatives[1]:,} negatives"
    if search.nearest is None and (looser is None or looser.nearest is None):
        return f"No test set of {bounds} explains the row."
    text = f"Of the test sets of {bounds}, {len(search.solutions):,} would explain the row"
    text += f", the nearest {_solution(search)}" if search.nearest is not None else ""
    if looser is not None and looser.nearest is not None and not _same(search, looser):
        text += f"; were digits cut off, {len(looser.solutions):,} would, the nearest {_solution(looser)}"
    return text + "."


def _same(one: SizeSearch, other: SizeSearch) -> bool:
    return (
        one.nearest is not None and other.nearest is not None and one.nearest["distance"] == other.nearest["distance"]
    )


def _solution(search: SizeSearch) -> str:
    nearest = search.nearest
    assert nearest is not None
    p, n, tp, tn = (int(nearest[name]) for name in ("positives", "negatives", "tp", "tn"))
    return f"{p:,} + {n:,} ({tp:,} of {p:,} and {tn:,} of {n:,} right)"


def _decimals(row: Row, column: str) -> int:
    digits = row.figures[column].text.rstrip("% ").partition(".")[2]
    return sum(1 for _ in digits)


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f} %"


def _sizes(positives: int, negatives: int) -> str:
    return f"{positives:,} + {negatives:,}"


def _title(quantity: str) -> str:
    title = QUANTITIES[quantity].title
    return title if title[:2].isupper() or title.startswith(("F1", "Youden")) else title[0].lower() + title[1:]


def _few(n: int) -> str:
    return "none" if n == 0 else f"{n}"


def _number(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _list(parts: list[str], word: str = "and") -> str:
    if len(parts) < 3:
        return f" {word} ".join(parts)
    return f"{', '.join(parts[:-1])}, {word} {parts[-1]}"
