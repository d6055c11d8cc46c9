"""The audit: each finding on the paper's tables, none on tables that are right, and the errors it must notice."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrlib.analysis.audit import EXAMPLE, audit, read_table
from cxrlib.analysis.audit.lattice import QUANTITIES, Figure, Ints, Row, meet, search_sizes, strips, strips_table
from cxrlib.analysis.audit.report import Report
from cxrlib.analysis.audit.rules import EMPTY, IMPOSSIBLE, LAST_DIGIT, POSSIBLE
from cxrlib.analysis.audit.table import parse_figure, recognise, table_from_cells
from cxrlib.cli.main import main
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.figures import audit as figures
from cxrlib.paper.tables import printed

PRINTED = ("sensitivity", "specificity", "bacc", "accuracy", "ppcr", "precision", "npv", "f1", "fpr", "youden")


@pytest.fixture(scope="module")
def report() -> Report:
    return audit(read_table("paper"))


def round_half_up(value: Fraction, decimals: int, percent: bool = False) -> str:
    """A fraction as a printed figure, exactly."""
    scaled = value * (100 if percent else 1) * 10**decimals
    units = int(abs(scaled) + Fraction(1, 2)) * (-1 if scaled < 0 else 1)
    text = f"{abs(units):0{decimals + 1}d}"
    return f"{'-' if units < 0 else ''}{text[:-decimals]}.{text[-decimals:]}{' %' if percent else ''}"


def exact(name: str, tp: int, tn: int, p: int, n: int) -> Fraction:
    """A quantity as an exact fraction; an undefined one counts as 0."""
    (a, b, c), (d, e, f) = QUANTITIES[name].fraction(p, n)
    below = d * tp + e * tn + f
    return Fraction(a * tp + b * tn + c, below) if below else Fraction(0)


def matrices(row: Row, names: tuple[str, ...] | list[str]) -> Ints:
    return meet(row, strips(row, {name: name for name in names}).values())


def one_row(p: int, n: int, columns: dict[str, str]) -> Report:
    """The audit of a table of one row that prints `columns` (text by header)."""
    return audit(table_from_cells([{"Model": "one", **columns}], "one", p, n))


# The paper's tables


def test_the_ppcr_column_is_accuracy_in_20_of_22_rows(report: Report) -> None:
    renamed = report.renamed
    assert renamed is not None
    assert (renamed.column, renamed.stated, renamed.found) == ("PPCR", "ppcr", "accuracy")
    assert (renamed.fits_stated, renamed.fits_found, report.columns["PPCR"]) == (0, 20, "accuracy")


def test_the_gain_is_relative_and_19_of_20_follow(report: Report) -> None:
    gain = report.gain
    assert gain is not None
    assert gain.formulas["formula"][0] == "relative change of the mean of bACC and PPCR over row 22"
    assert (gain.formulas["fits"][0], gain.formulas["of"][0]) == (19, 20)
    assert gain.formulas.query("kind == 'difference'")["fits"].max() < 10
    off = gain.rows[~gain.rows["fits"]].set_index("row")
    assert off.index.tolist() == [15, 21]
    assert 100 * off.loc[15, "printed"] == pytest.approx(-0.74)
    assert (100 * off["computed"]).tolist() == pytest.approx([-0.71, -5.81], abs=0.005)
    assert pd.isna(off.loc[21, "printed"])


def test_two_thirds_of_40_is_no_count(report: Report) -> None:
    verdict = report.verdicts[5]
    assert (verdict.status, verdict.unreachable) == (IMPOSSIBLE, ("Sensitivity",))
    rounded, cut = report.searches[6]
    assert cut.loc[0, ["positives", "negatives", "tp", "tn"]].tolist() == [72, 3000, 48, 2996]
    assert rounded.loc[0, ["positives", "negatives", "tp"]].tolist() == [72, 2988, 48]
    assert not (rounded["positives"] == 40).any()
    assert not (rounded["negatives"] == 3000).any(), "72 + 3,000 gives an accuracy of 0.9909, printed 0.9908"
    message = next(f.message for f in report.findings if f.rows == (6,))
    assert "26.67 of 40" in message and "72 + 3,000 (48 of 72 and 2,996 of 3,000 right)" in message


def test_a_specificity_contradicts_the_row_it_stands_in(report: Report) -> None:
    verdict = report.verdicts[17]
    assert verdict.status == IMPOSSIBLE
    assert {chosen: found.tolist() for chosen, found in verdict.repairs.items()} == {
        ("Specificity",): [[40, 2787, 2787]]
    }
    assert all(found.empty for found in report.searches[18])
    message = next(f.message for f in report.findings if f.rows == (18,))
    assert "implies 0.9290 instead (40 of 40 and 2,787 of 3,000)" in message and "No test set" in message


def test_all_other_rows_have_exactly_one_confusion_matrix(report: Report) -> None:
    statuses = [verdict.status for verdict in report.verdicts]
    assert [i for i, status in enumerate(statuses, 1) if status == IMPOSSIBLE] == [6, 18]
    assert [i for i, status in enumerate(statuses, 1) if status == LAST_DIGIT] == [2, 5]
    assert statuses.count(POSSIBLE) == 18
    counts = report.counts_table().set_index("row")
    assert counts["tp"].isna().to_numpy().nonzero()[0].tolist() == [5, 17]
    assert counts.loc[[13, 14], "fp"].tolist() == [11, 8]
    assert set(report.verdicts[1].truncated) == {("PPCR",)}
    assert set(report.verdicts[4].truncated) == {("bACC",)} and report.verdicts[4].from_printed == ("bACC",)
    assert [f.rows for f in report.findings if f.rule == "equal rows"] == [(3, 4)]


def test_intervals_come_from_the_counts(report: Report) -> None:
    rates = report.rates_table().set_index(["row", "quantity"])
    assert rates.loc[[(14, "sensitivity"), (15, "sensitivity")], "k"].tolist() == [40, 39]
    for _, rate in rates[rates["k"].notna()].iterrows():
        low, high = clopper_pearson(int(rate["k"]), int(rate["n"]))
        assert (rate["low"], rate["high"]) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert set(rates.index[rates["low"].isna()]) >= {(6, "sensitivity"), (18, "specificity")}


def test_the_answer_is_two_sentences_that_follow_the_findings(report: Report) -> None:
    cells = printed("table_2").to_dict("records")
    cells[17]["Specificity"] = "0.9290"
    mended = audit(table_from_cells(cells, "doctored", 40, 3000)).answer
    assert "19 of 22 rows" in mended and "1 cannot be true" in mended
    assert "18 of 22 rows" in report.answer and "2 cannot be true" in report.answer
    assert "PPCR holds accuracy" in report.answer and "19 of 20" in report.answer
    assert report.answer.count(". ") == mended.count(". ") == 1 and report.answer.endswith(".")


# Tables that are right are never accused


@st.composite
def right_tables(draw: st.DrawFn) -> tuple[list[dict[str, str]], int, int]:
    """A table from random confusion matrices, rounded: cells, positives, negatives."""
    p, n = draw(st.integers(1, 60)), draw(st.integers(1, 400))
    columns = draw(st.lists(st.sampled_from(PRINTED), min_size=1, max_size=6, unique=True))
    decimals = draw(st.lists(st.integers(1, 4), min_size=len(columns), max_size=len(columns)))
    percent = draw(st.lists(st.booleans(), min_size=len(columns), max_size=len(columns)))
    counts = draw(st.lists(st.tuples(st.integers(0, p), st.integers(0, n)), min_size=1, max_size=6))
    cells = []
    for i, (tp, tn) in enumerate(counts):
        row = {"Model": f"model {i}"}
        for column, places, hundred in zip(columns, decimals, percent, strict=True):
            row[column] = round_half_up(exact(column, tp, tn, p, n), places, hundred)
        cells.append(row)
    if len(counts) > 2 and "bacc" in columns:
        reference = exact("bacc", *counts[0], p, n)
        for i, (row, (tp, tn)) in enumerate(zip(cells, counts, strict=True)):
            value = exact("bacc", tp, tn, p, n)
            row["Gain (%)"] = "-" if i == 0 else round_half_up(value - reference, 2, True)
    return cells, p, n


@settings(max_examples=80, deadline=None)
@given(right_tables())
def test_a_table_made_from_confusion_matrices_is_never_accused(table: tuple[list[dict[str, str]], int, int]) -> None:
    cells, p, n = table
    report = audit(table_from_cells(cells, "right", p, n))
    assert report.clean and not report.renamed
    assert all(verdict.status == POSSIBLE for verdict in report.verdicts)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 60), st.data(),
    st.lists(st.sampled_from(PRINTED), min_size=1, max_size=4, unique=True), st.integers(1, 3),
)  # fmt: skip
def test_the_lattice_finds_exactly_the_matrices_that_brute_force_finds(
    p: int, n: int, data: st.DataObject, names: list[str], decimals: int
) -> None:
    units = {name: data.draw(st.integers(-(10**decimals) if name == "youden" else 0, 10**decimals)) for name in names}
    shown = {name: Figure(f"{'-' if unit < 0 else ''}x", unit, 10**decimals) for name, unit in units.items()}
    row, half = Row(1, "x", shown, p, n), Fraction(1, 2 * 10**decimals)
    found = {(int(tp), tn) for tp, first, last in matrices(row, names) for tn in range(first, last + 1)}
    brute = {
        (tp, tn)
        for tp in range(p + 1)
        for tn in range(n + 1)
        if all(abs(exact(name, tp, tn, p, n) - figure.value) <= half for name, figure in shown.items())
    }
    assert found == brute


@pytest.mark.parametrize("columns", [("sensitivity", "accuracy"), ("fnr", "precision"), ("accuracy", "f1")])
def test_the_search_finds_exactly_the_sizes_that_brute_force_finds(columns: tuple[str, str]) -> None:
    shown = {name: round_half_up(exact(name, 5, 8, 7, 11), 2) for name in columns}
    row = table_from_cells([shown], "t", 4, 7).rows[0]
    found = search_sizes(row, {name: name for name in columns})
    brute = {
        (p, n)
        for p in range(1, 17)
        for n in range(3, 15)
        if any(
            all(abs(exact(name, tp, tn, p, n) - Fraction(shown[name])) <= Fraction(1, 200) for name in columns)
            for tp in range(p + 1)
            for tn in range(n + 1)
        )
    }
    assert set(zip(found["positives"], found["negatives"], strict=True)) == brute
    assert (7, 11) in brute and found["distance"].is_monotonic_increasing


# Errors it must notice


def test_a_column_under_the_wrong_header_is_found() -> None:
    cells = [
        {
            "sensitivity": round_half_up(Fraction(tp, 41), 4),
            "precision": round_half_up(Fraction(tn, 201), 4),
            "accuracy": round_half_up(Fraction(tp + tn, 242), 4),
        }
        for tp, tn in [(30, 190), (35, 180), (28, 170), (38, 150)]
    ]
    report = audit(table_from_cells(cells, "misnamed", 41, 201))
    assert report.columns == {"sensitivity": "sensitivity", "precision": "specificity", "accuracy": "accuracy"}
    assert all(verdict.status == POSSIBLE for verdict in report.verdicts)
    assert not report.clean


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"Sensitivity": "1.2", "Specificity": "0.9"}, IMPOSSIBLE),
        ({"Sensitivity (%)": "120.0", "Specificity (%)": "90.0"}, IMPOSSIBLE),
        ({"Sensitivity": "0.666", "Specificity": "0.9"}, LAST_DIGIT),  # 2 of 3, cut off
        ({"Sensitivity": "0.665", "Specificity": "0.9"}, IMPOSSIBLE),
        ({"Sensitivity": "0.67", "Specificity": "0.9", "bACC": "0.785"}, LAST_DIGIT),  # mean of printed rates
        ({"TP": "2", "FN": "1", "TN": "9", "Sensitivity": "0.667"}, POSSIBLE),
        ({"TP": "2", "FN": "2", "TN": "9", "Sensitivity": "0.667"}, IMPOSSIBLE),
    ],
)
def test_one_row(columns: dict[str, str], status: str) -> None:
    report = one_row(3, 10, columns)
    assert report.verdicts[0].status == status
    assert report.clean == (status != IMPOSSIBLE)


def test_a_count_that_is_off_is_named_with_what_it_should_be() -> None:
    report = one_row(40, 3000, {"TP": "36", "FN": "5", "TN": "2,990", "FP": "10", "Sensitivity": "0.900"})
    assert set(report.verdicts[0].repairs) == {("FN",)} and "implies 4 instead" in report.findings[0].message
    outside = one_row(3, 10, {"Sensitivity (%)": "120.0", "Specificity (%)": "90.0"})
    assert "outside 0 to 1" in outside.findings[0].message
    assert one_row(3, 10, {"Sensitivity": "1.3", "Specificity": "0.90"}).rates_table()["k"].isna().tolist() == [
        True,
        False,
    ]


def test_a_row_without_figures_is_said_and_not_counted() -> None:
    cells = [
        {"Model": "a", "Sensitivity": "0.9", "Accuracy": "NaN"},
        {"Model": "b", "Sensitivity": "nan", "Accuracy": "-"},
    ]
    report = audit(table_from_cells(cells, "t", 10, 10))
    assert [verdict.status for verdict in report.verdicts] == [POSSIBLE, EMPTY]
    assert "1 of 1 row" in report.answer and "1 more row with no figure to check" in report.answer
    assert [f.message for f in report.findings] == ["Row 2 (b) prints no figure that the audit could check."]
    with pytest.raises(DataError, match="prints no figure to check"):
        table_from_cells(cells[1:], "t", 10, 10)


def test_a_search_that_would_take_too_long_is_left_out_and_said() -> None:
    cells = [{"Accuracy": "0.91234", "F1": "0.91277"}]
    huge = audit(table_from_cells(cells, "huge", 9_000, 9_000))
    assert not huge.searches and "not tried" in huge.findings[0].message
    small = audit(table_from_cells(cells, "small", 90, 90))
    assert small.searches and "not tried" not in small.findings[0].message


def test_a_size_found_names_its_counts_and_too_many_digits_are_refused(report: Report) -> None:
    found = report.searches[6][1].query("positives == 72 and negatives == 3000")
    assert found[["tp", "tn"]].to_numpy().tolist() == [[48, 2996]]
    with pytest.raises(DataError, match="64-bit"):
        one_row(3_000_000, 3_000_000, {"bacc": "0.90000000"})


# Reading


@pytest.mark.parametrize(
    ("text", "units", "scale"),
    [("0.9000", 9000, 10_000), ("1.000", 1000, 1000), ("+0.89%", 89, 10_000), ("-5.53 %", -553, 10_000), (".5", 5, 10),
     ("−0.30", -30, 100), ("97.5 (92.1-99.0)", 975, 10), ("36", 36, 1)],
)  # fmt: skip
def test_figures_keep_their_decimals(text: str, units: int, scale: int) -> None:
    figure = parse_figure(text)
    assert figure is not None and (figure.units, figure.scale) == (units, scale)


@pytest.mark.parametrize("text", ["", "-", "–", "n/a", "NaN"])
def test_a_dash_is_no_figure(text: str) -> None:
    assert parse_figure(text) is None is parse_figure(text, "count")


@pytest.mark.parametrize("text", ["abc", "0.9.1", "%", "0,95"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is not a figure"):
        parse_figure(text)


def test_rounding_intervals() -> None:
    figure, negative = Figure("0.25", 25, 100), Figure("-0.25", -25, 100)
    assert figure.bounds() == (49, 51, 0, 0, 200)
    assert figure.bounds(loose=True) == (49, 52, 0, 1, 200)
    assert negative.bounds(loose=True) == (-52, -49, 1, 0, 200)


@pytest.mark.parametrize(
    ("header", "what"),
    [("Sensitivity (%)", "sensitivity"), ("bACC", "bacc"), ("Recall", "sensitivity"), ("Youden's J", "youden"),
     ("F1-score", "f1"), ("Gain(%)", "gain"), ("Positives", "positives"), ("AUROC", None), ("β (Eq. (4))", None)],
)  # fmt: skip
def test_headers_are_recognised(header: str, what: str | None) -> None:
    assert recognise(header) == what


def test_percentages_sizes_and_unknown_columns() -> None:
    cells = [{"Model": "a", "Positives": "40", "Negatives": "3,000", "Sensitivity": "97.5", "AUROC": "0.991"}]
    table = table_from_cells(cells, "t", None, None)
    (row,) = table.rows
    assert (row.positives, row.negatives, row.label, row.figures["Sensitivity"].scale) == (40, 3000, "a", 1000)
    assert "percentages" in table.notes[0] and "AUROC is not checked" in table.notes[1]
    assert [f.message for f in audit(table).findings] == list(table.notes)
    with pytest.raises(DataError, match="is no count"):
        table_from_cells([cells[0] | {"Positives": "many"}], "t", None, None)


@pytest.mark.parametrize(
    ("positives", "error", "why"),
    [(None, DataError, "states no number of positives"), (-1, ParameterError, "positives = -1 is not allowed"),
     (0, ParameterError, "positives = 0 is not allowed")],
)  # fmt: skip
def test_sizes_are_asked_for_and_checked(positives: int | None, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        table_from_cells([{"Sensitivity": "0.975"}], "t", positives, 10)


@pytest.mark.parametrize(
    "text",
    ["Model;Sensitivity;Accuracy (%)\na;0,975;98,1\n", "Model\tSensitivity\tAccuracy (%)\na\t0,975\t98.1\n",
     "Model,Sensitivity,Accuracy (%)\na,0.975,98.1\n"],
)  # fmt: skip
def test_semicolons_tabs_and_decimal_commas_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("# a comment\n" + text)
    (row,) = read_table(path, 40, 3000).rows
    assert row.label == "a" and [(f.units, f.scale) for f in row.figures.values()] == [(975, 1000), (981, 1000)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Sensitivity\n", "at least one row"),
        ("Sensitivity,Sensitivity\n1,1\n", "repeats"),
        ("Model,Sensitivity\n0.9\n", "1 cells for 2 headers"),
        ("Model,Score\na,b\n", "--column"),
        ("Recall,Sensitivity\n0.9,0.9\n", "two columns"),
        ("Sensitivity\nhigh\n", "column Sensitivity"),
        ('Model,Sensitivity\na,"0,95"\n', "'0,95' is not a figure"),
    ],
)
def test_tables_that_cannot_be_read_say_what_to_do(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=why):
        read_table(path, 10, 10)


def test_columns_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("Model,Score\na,0.9\n")
    assert read_table(path, 10, 10, {"Score": "accuracy"}).columns == {"Score": "accuracy"}
    for declared, why in (({"Skore": "accuracy"}, "no column"), ({"Score": "acuracy"}, "no quantity 'acuracy'")):
        with pytest.raises(ParameterError, match=why):
            read_table(path, 10, 10, declared)
    with pytest.raises(DataError, match="give a CSV file"):
        read_table(tmp_path / "none.csv", 1, 1)


# The command


def test_the_command_finds_the_error_of_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(EXAMPLE)]) == 1
    text = capsys.readouterr().out
    assert "[impossible] Row 3 (With attention and more data)" in text and "Without Accuracy (%)" in text
    assert "implies 96.3 instead" in text
    path = tmp_path / "mended.csv"
    path.write_text(EXAMPLE.read_text().replace("96.8,", "96.3,"))
    assert main(["audit", str(path)]) == 0
    assert "3 of 3 rows can be true" in capsys.readouterr().out


def test_the_commands_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "paper", "--column", "PPCR=accuracy"]) == 1
    assert "Column PPCR does not hold" not in capsys.readouterr().out
    for wrong, why in ((("--column", "PPCR"), "HEADER=QUANTITY"), (("--positives", "-1"), "-1 is not allowed")):
        assert main(["audit", "paper", *wrong]) == 2
        assert why in capsys.readouterr().err


# Figures


def test_figures_show_what_their_tables_hold(report: Report) -> None:
    cells = report.marked_cells()
    marked = cells[cells["status"] == IMPOSSIBLE]
    assert set(zip(marked["row"], marked["column"], strict=True)) == {
        (0, "PPCR"), (6, "Sensitivity"), (6, "bACC"), (15, "Gain(%)"), (18, "Specificity"),
    }  # fmt: skip
    assert len(figures.plot_marked(cells).axes[0].texts) == len(cells) == 23 * 5
    row = report.table.rows[17]
    strips_of_row = strips_table(row, report.columns)
    allowed = strips_of_row[strips_of_row["first"] <= strips_of_row["last"]]
    assert "Specificity 0.9776" not in set(allowed["column"])
    met = allowed[(allowed["tp"] == 40) & ~allowed["column"].str.startswith("Sens")]
    assert met["first"].max() == met["last"].min() == 2787
    labels = [text.get_text() for text in figures.plot_strips(strips_of_row, row).axes[0].get_legend().get_texts()]
    assert "Specificity 0.9776: no matrix" in labels
    assert len(figures.plot_intervals(report.rates_table()).axes) == 3
    sizes = report.searches[6][0].assign(reading="digits rounded")
    assert figures.plot_sizes(sizes, report.table.rows[5]).axes[0].get_legend() is not None
    points = pd.DataFrame({"row": [1, 2], "printed": [0.9, 0.8], "one": [0.1, 0.2], "two": [0.9, 0.7]})
    right = figures.plot_definition(points, {"one": "1", "two": "2"}, [2]).axes[1]
    assert [list(line.get_ydata()) for line in right.lines if line.get_marker() == "x"] == [[0.8]]


def test_the_figures_stand_a_table_without_findings() -> None:
    clean = one_row(10, 10, {"Sensitivity": "0.9", "Specificity": "0.9"})
    assert set(clean.marked_cells()["status"]) == {POSSIBLE}
    assert "no row" in figures.plot_sizes(pd.DataFrame(), None).axes[0].texts[0].get_text()
    assert np.isfinite(clean.rates_table()["low"]).all()
