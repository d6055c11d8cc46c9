"""The audit: each finding on the paper's tables, none on tables that are right, and the errors it must notice."""

import argparse
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrlib.analysis import audit
from cxrlib.analysis.audit import detection, published, resolution, sums
from cxrlib.analysis.audit.checks import IMPOSSIBLE, LAST_DIGIT, POSSIBLE
from cxrlib.analysis.audit.definitions import definition_fits
from cxrlib.analysis.audit.lattice import bounds, matrices
from cxrlib.analysis.audit.quantities import QUANTITIES, recognise
from cxrlib.analysis.audit.table import Figure, Row, parse_figure, read_cells
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.figures import audit as figures
from cxrlib.paper import tables as paper

PRINTED = ("sensitivity", "specificity", "bacc", "accuracy", "ppcr", "precision", "npv", "f1", "fpr", "youden")


@pytest.fixture(scope="module")
def report() -> audit.Report:
    return published.paper_report()


def round_half_up(value: Fraction, decimals: int, percent: bool = False) -> str:
    """A fraction as a printed figure, exactly."""
    scaled = value * (100 if percent else 1) * 10**decimals
    units = int(abs(scaled) + Fraction(1, 2)) * (-1 if scaled < 0 else 1)
    text = f"{abs(units):0{decimals + 1}d}"
    return f"{'-' if units < 0 else ''}{text[:-decimals]}.{text[-decimals:]}{' %' if percent else ''}"


def exact(name: str, tp: int, tn: int, p: int, n: int) -> Fraction:
    """A quantity as an exact fraction; an undefined one counts as 0."""
    (a, b, c), (d, e, f) = QUANTITIES[name].numerator(p, n), QUANTITIES[name].denominator(p, n)
    below = d * tp + e * tn + f
    return Fraction(a * tp + b * tn + c, below) if below else Fraction(0)


def one_row(tp: int, tn: int, p: int, n: int, columns: dict[str, str]) -> audit.Report:
    """The audit of a table of one row that prints `columns` (text by quantity)."""
    return audit.audit(audit.table_from_cells([{"Model": "one", **columns}], "one", p, n))


# The paper's Table II


def test_the_printed_text_agrees_with_the_papers_figures() -> None:
    table = audit.read_table("paper")
    frame = paper.table_2()
    columns = {"Sensitivity": "sensitivity", "Specificity": "specificity", "bACC": "bacc", "PPCR": "ppcr"}
    for row, line in zip(table.rows, frame.itertuples(), strict=True):
        for header, name in columns.items():
            assert row.figures[header].value == pytest.approx(getattr(line, name), abs=1e-12)
        printed = row.figures.get("Gain(%)")
        assert (None if printed is None else round(100 * printed.value, 2)) == (
            None if pd.isna(line.gain) else line.gain
        )
    assert [(row.positives, row.negatives) for row in table.rows] == [(40, 3000)] * 22


def test_table_1_as_text_agrees_with_the_papers_figures() -> None:
    counts = sums.read_counts("paper")
    frame = paper.table_1()
    assert list(counts.index) == [*[row.title for row in paper.TABLE_1][:-1], "CheXpert*"]
    for column, name in zip(counts, ("train_covid", "train_non_covid", "test_covid", "test_non_covid"), strict=True):
        assert counts[column].reset_index(drop=True).equals(frame[name].astype("Int64").rename(column))


def test_finding_1_the_ppcr_column_is_accuracy_in_20_of_22_rows(report: audit.Report) -> None:
    fits = definition_fits(report.table, report.table.columns, "PPCR").set_index("quantity")["fits"]
    assert fits.index[0] == "accuracy" and fits["accuracy"] == 20 and fits["ppcr"] == 0
    assert report.columns["PPCR"] == "accuracy"
    (renamed,) = report.renamed
    assert (renamed.column, renamed.stated, renamed.fits_stated, renamed.fits_found) == ("PPCR", "ppcr", 0, 20)
    points = published.definition_points(report, "PPCR")
    assert points["stated"].min() == pytest.approx(0.0095, abs=5e-5)
    assert points["stated"].max() == pytest.approx(0.2372, abs=5e-5)
    assert (points["printed"].min(), points["printed"].max()) == (0.7760, 0.9980)
    off = points[(points["printed"] - points["found"]).abs() > 2e-4]
    assert list(off["row"]) == [6, 18]


def test_finding_2_gain_is_relative_and_reproduces_19_of_20(report: audit.Report) -> None:
    gain = report.gain
    assert gain is not None
    assert gain.formula.kind == "relative change"
    assert (gain.formula.columns, gain.formula.reference) == (("bACC", "PPCR"), 22)
    assert gain.rows["fits"].sum() == 19 and len(gain.rows) == 20
    (misfit,) = gain.misfits.itertuples()
    assert misfit.row == 15 and misfit.printed == pytest.approx(-0.0074)
    assert 100 * misfit.computed == pytest.approx(-0.71, abs=0.005)
    within = (100 * (gain.rows["printed"] - gain.rows["computed"])).abs() <= 0.01
    assert within.sum() == 19
    assert gain.formulas.query("kind == 'difference'")["fits"].max() < 10
    assert 100 * gain.missing["computed"].tolist()[0] == pytest.approx(-5.81, abs=0.005)
    assert gain.missing["row"].tolist() == [21]


def test_finding_3_two_thirds_of_40_is_no_count(report: audit.Report) -> None:
    verdict = report.verdicts[5]
    assert verdict.status == IMPOSSIBLE and verdict.unreachable == ("Sensitivity",)
    rounded, cut = report.searches[6, "nearest"], report.searches[6, "either"]
    assert rounded.nearest is not None and cut.nearest is not None
    assert cut.nearest[["positives", "negatives", "tp", "tn"]].astype(int).tolist() == [72, 3000, 48, 2996]
    assert rounded.nearest[["positives", "negatives", "tp"]].astype(int).tolist() == [72, 2988, 48]
    assert not (rounded.solutions["positives"] == 40).any()
    assert not (rounded.solutions["negatives"] == 3000).any(), "72 + 3,000 gives an accuracy of 0.9909, printed 0.9908"
    message = next(f.message for f in report.findings if f.rows == (6,))
    assert "26.67 of 40" in message and "72 + 3,000 (48 of 72 and 2,996 of 3,000 right)" in message


def test_finding_4_a_specificity_contradicts_the_row_it_stands_in(report: audit.Report) -> None:
    verdict = report.verdicts[17]
    assert verdict.status == IMPOSSIBLE
    (repair,) = verdict.repairs
    assert repair.columns == ("Specificity",) and repair.counts == (40, 2787)
    assert repair.implied["Specificity"] == pytest.approx((0.9290, 0.9290))
    assert report.searches[18, "nearest"].nearest is None
    assert report.searches[18, "either"].nearest is None


def test_all_other_rows_have_exactly_one_confusion_matrix(report: audit.Report) -> None:
    statuses = [verdict.status for verdict in report.verdicts]
    assert [i for i, status in enumerate(statuses, 1) if status == IMPOSSIBLE] == [6, 18]
    assert [i for i, status in enumerate(statuses, 1) if status == LAST_DIGIT] == [2, 5]
    assert statuses.count(POSSIBLE) == 18
    assert all(verdict.counts is not None for verdict in report.verdicts if verdict.status != IMPOSSIBLE)
    assert report.verdicts[1].truncated == (("PPCR",),)
    assert report.verdicts[4].truncated == (("bACC",),) and report.verdicts[4].from_printed == ("bACC",)


def test_finding_5_intervals_and_false_positives(report: audit.Report) -> None:
    rates = report.rates_table().set_index(["row", "quantity"])
    perfect, one_missed = rates.loc[(14, "sensitivity")], rates.loc[(15, "sensitivity")]
    assert (perfect["k"], perfect["n"]) == (40, 40) and (one_missed["k"], one_missed["n"]) == (39, 40)
    assert (round(perfect["low"], 3), perfect["high"]) == (0.912, 1.0)
    assert (round(one_missed["low"], 3), round(one_missed["high"], 3)) == (0.868, 0.999)
    for _, rate in rates[rates["k"].notna()].iterrows():
        low, high = clopper_pearson(int(rate["k"]), int(rate["n"]))
        assert (rate["low"], rate["high"]) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert pd.isna(rates.loc[(6, "sensitivity"), "low"]) and pd.isna(rates.loc[(18, "specificity"), "low"])
    lead = published.weight_lead()
    assert (lead["row"], lead["other"], lead["fp"], lead["other_fp"]) == (14, 13, 8, 11)
    assert lead["points"] == pytest.approx(0.05)
    assert lead["p_low"] == pytest.approx(0.25) and lead["p_high"] > 0.5


def test_finding_6_what_up_to_2_18_percent_is_a_gain_of() -> None:
    readings = published.gain_readings()["percent"]
    assert readings[0] == pytest.approx(2.18) and readings[1] == pytest.approx(2.18, abs=0.005)
    assert readings[3] == pytest.approx(2.25)
    assert readings[5] == pytest.approx(100 * (0.9987 - 0.8750))
    as_defined = ((1 + 2992 / 3000) / 2 + 48 / 3040) / ((39 / 40 + 2932 / 3000) / 2 + 107 / 3040) - 1
    assert readings.iloc[-1] == pytest.approx(100 * as_defined)


def test_finding_7_table_1_adds_up_and_992_is_31_doubled_five_times() -> None:
    counts = sums.read_counts("paper")
    (stated,) = sums.stated_sums(counts)
    assert stated.adds_up and stated.parts == ("COVIDX-Ray-5K (w/out augmentation)", "COVID-ChestXray")
    assert stated.checks["sum"].tolist() == [31 + 512, 2000 + 17] == stated.checks["printed"].tolist()
    assert sums.found_sums(counts)["label"].tolist() == ["COVIDX-Ray-5K + COVID-ChestXray"]
    assert sums.found_multiples(counts)[["column", "factor"]].to_numpy().tolist() == [["Training COVID", 32]]
    augmented = published.augmented_counts()
    assert augmented["images"].tolist() == [248, 310, 992]
    assert augmented["agrees"].tolist() == [False, False, True]


def test_parameter_counts() -> None:
    parts = published.parameter_table().set_index(["network", "part"])["parameters"]
    assert parts["ACNN", "trunk, convolution kernels"] == 16 * (243 + 243)
    assert parts["ACNN", "head, largest layer's weights"] == 256 * 256 * 128
    assert 23e6 < parts["ResNet-50", "trunk"] < 24e6
    claims = published.parameter_claims().set_index("claim")
    assert claims.loc["ACNN", "off"] < 0.05 and claims.loc["ResNet-50", "off"] < 0.03
    assert claims.loc["FCN head", "part"] == "trunk, convolution kernels" and claims.loc["FCN head", "off"] > 0.1


def test_identical_rows_are_noted(report: audit.Report) -> None:
    assert [finding.rows for finding in report.findings if finding.rule == "twins"] == [(3, 4)]


def test_the_answer_is_two_sentences_that_follow_the_findings(report: audit.Report) -> None:
    text = audit.answer(report)
    assert (
        "18 of 22 rows" in text and "2 cannot be true" in text and "PPCR holds accuracy" in text and "19 of 20" in text
    )
    cells = read_cells(Path(audit.example_path()).parent / "table_2.csv")
    cells[17]["Specificity"] = "0.9290"
    mended = audit.answer(audit.audit(audit.table_from_cells(cells, "doctored", 40, 3000)))
    assert "19 of 22 rows" in mended and "1 cannot be true" in mended
    assert text.count(". ") == mended.count(". ") == 1 and text.endswith(".")


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


@settings(max_examples=120, deadline=None)
@given(right_tables())
def test_a_table_made_from_confusion_matrices_is_never_accused(table: tuple[list[dict[str, str]], int, int]) -> None:
    cells, p, n = table
    report = audit.audit(audit.table_from_cells(cells, "right", p, n))
    assert report.clean and not report.renamed
    assert all(verdict.status == POSSIBLE for verdict in report.verdicts)
    assert {f.rule for f in report.findings} <= {"twins", "not checked", "reading", "gain formula", "gain missing"}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 60), st.data(),
    st.lists(st.sampled_from(PRINTED), min_size=1, max_size=4, unique=True), st.integers(1, 3),
)  # fmt: skip
def test_the_lattice_finds_exactly_the_matrices_that_brute_force_finds(
    p: int, n: int, data: st.DataObject, names: list[str], decimals: int
) -> None:
    printed = {name: data.draw(st.integers(-(10**decimals) if name == "youden" else 0, 10**decimals)) for name in names}
    shown = {name: Figure(f"{'-' if units < 0 else ''}x", units, 10**decimals) for name, units in printed.items()}
    row = Row(1, "x", shown, p, n)
    found = {
        (int(tp), tn)
        for tp, first, last in matrices(row, {name: name for name in names})
        for tn in range(first, last + 1)
    }
    half = Fraction(1, 2 * 10**decimals)
    brute = {
        (tp, tn)
        for tp in range(p + 1)
        for tn in range(n + 1)
        if all(
            abs(exact(name, tp, tn, p, n) - Fraction(units, 10**decimals)) <= half for name, units in printed.items()
        )
    }
    assert found == brute


# Errors it must notice


def test_a_swapped_pair_of_columns_is_found() -> None:
    counts = [(30, 190), (35, 180), (28, 170), (38, 150)]
    cells = [
        {
            "sensitivity": round_half_up(Fraction(tn, 201), 4),
            "specificity": round_half_up(Fraction(tp, 41), 4),
            "accuracy": round_half_up(Fraction(tp + tn, 242), 4),
        }
        for tp, tn in counts
    ]
    report = audit.audit(audit.table_from_cells(cells, "swapped", 41, 201))
    assert report.columns == {"sensitivity": "specificity", "specificity": "sensitivity", "accuracy": "accuracy"}
    assert all(verdict.status == POSSIBLE for verdict in report.verdicts)
    assert not report.clean


def test_a_rate_above_1_is_impossible() -> None:
    report = one_row(9, 9, 10, 10, {"Sensitivity": "1.2", "Specificity": "0.9"})
    assert [f.severity for f in report.findings] == [IMPOSSIBLE] or not report.clean
    percent = one_row(9, 9, 10, 10, {"Sensitivity (%)": "120.0", "Specificity (%)": "90.0"})
    assert not percent.clean and "outside 0 to 1" in percent.findings[0].message


def test_the_truncated_figure_is_told_from_the_impossible_one() -> None:
    text = {"Sensitivity": "0.666", "Specificity": "0.9"}  # 2 of 3, cut off
    assert one_row(2, 9, 3, 10, text).verdicts[0].status == LAST_DIGIT
    assert audit.audit(audit.table_from_cells([text], "one", 3, 10), rounding="truncated").clean
    assert one_row(2, 9, 3, 10, text | {"Sensitivity": "0.665"}).verdicts[0].status == IMPOSSIBLE


def test_counts_are_checked_as_columns_too() -> None:
    right = {"TP": "36", "FN": "4", "TN": "2990", "FP": "10", "Sensitivity": "0.900"}
    assert one_row(36, 2990, 40, 3000, right).clean
    wrong = one_row(36, 2990, 40, 3000, right | {"FN": "5"}).verdicts[0]
    assert wrong.status == IMPOSSIBLE and wrong.repairs[0].columns == ("FN",)
    assert wrong.repairs[0].implied["FN"] == (4.0, 4.0)


def test_detection_share_is_measured_and_reproducible() -> None:
    table = detection.detection_table(3, tables=150, sizes=((40, 3000),), decimals=(4, 2))
    again = detection.detection_table(3, tables=150, sizes=((40, 3000),), decimals=(4, 2))
    assert table.equals(again) and not table.equals(detection.detection_table(4, 150, ((40, 3000),), (4, 2)))
    shares = detection.detection_share(table).set_index(["decimals", "printed"])["noticed"]
    assert shares[4, "and accuracy"] > 0.98
    assert shares[4, "two rates"] < 0.7 and shares[2, "two rates"] < shares[4, "two rates"]
    assert (table["impossible"] <= table["noticed"]).all()
    with pytest.raises(ParameterError, match="at least one table"):
        detection.detection_table(0, tables=0)


def test_the_fast_simulation_agrees_with_the_audit() -> None:
    columns = ("sensitivity", "specificity", "accuracy")
    printed = detection.random_rows(60, 17, 90, columns, seed=5, decimals=3)
    rng = np.random.default_rng(0)
    printed["accuracy"] = printed["accuracy"] + rng.integers(-2, 3, 60)
    fast = detection.possible(printed, 17, 90, 3)
    for i in range(60):
        shown = {name: Figure(str(units[i]), int(units[i]), 1000) for name, units in printed.items()}
        assert bool(len(matrices(Row(1, "", shown, 17, 90), {name: name for name in columns}))) == fast[i]
    assert 0 < fast.sum() < 60
    assert detection.possible(detection.random_rows(200, 17, 90, columns, 1, 2), 17, 90, 2).all()


# Resolution


def test_p_range_bounds_every_pairing() -> None:
    low, high = resolution.p_range(40, 34, 40)
    assert low == high == pytest.approx(2 * 0.5**6)
    low, high = resolution.p_range(30, 25, 40)
    assert low == pytest.approx(2 * 0.5**5) and high > low
    table = resolution.pair_table(published.paper_report(), "sensitivity")
    assert (table.loc[table["difference"].abs() < 6, "verdict"] == "cannot be told apart").all()
    assert not set(table["row"]) & {6} and not set(table["other"]) & {6}


def test_size_table() -> None:
    sizes = resolution.size_table([4, 40]).set_index("images")
    assert sizes.loc[40, "one image"] == 0.025 and sizes.loc[40, "pairs needed"] == 6
    assert pd.isna(sizes.loc[4, "detectable"]) and 0.15 < sizes.loc[40, "detectable"] < 0.25


# Reading


@pytest.mark.parametrize(
    ("text", "units", "scale"),
    [("0.9000", 9000, 10_000), ("1.000", 1000, 1000), ("+0.89%", 89, 10_000), ("-5.53 %", -553, 10_000), (".5", 5, 10),
     ("−0.30", -30, 100), ("97.5 (92.1-99.0)", 975, 10), ("36", 36, 1)],
)  # fmt: skip
def test_figures_keep_their_decimals(text: str, units: int, scale: int) -> None:
    figure = parse_figure(text)
    assert figure is not None and (figure.units, figure.scale) == (units, scale)


@pytest.mark.parametrize("text", ["", "-", "–", "n/a"])
def test_a_dash_is_no_figure(text: str) -> None:
    assert parse_figure(text) is None


@pytest.mark.parametrize("text", ["abc", "0.9.1", "%", "0,95"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is not a figure"):
        parse_figure(text)


def test_rounding_intervals() -> None:
    figure = parse_figure("0.25")
    assert figure is not None
    assert figure.interval("nearest") == (49, 51, False, False)
    assert figure.interval("truncated") == (50, 52, False, True)
    assert figure.interval("either") == (49, 52, False, True)
    negative = parse_figure("-0.25")
    assert negative is not None and negative.interval("truncated") == (-52, -50, True, False)
    assert bounds(figure) == (49, 51, 0, 0, 200)
    with pytest.raises(ParameterError, match="nearest, truncated or either"):
        figure.interval("up")


@pytest.mark.parametrize(
    ("header", "what"),
    [("Sensitivity (%)", "sensitivity"), ("bACC", "bacc"), ("Recall", "sensitivity"), ("Youden's J", "youden"),
     ("F1-score", "f1"), ("Gain(%)", "gain"), ("Positives", "positives"), ("AUROC", None), ("β (Eq. (4))", None)],
)  # fmt: skip
def test_headers_are_recognised(header: str, what: str | None) -> None:
    assert recognise(header) == what


def test_percentages_without_a_sign_are_read_and_noted() -> None:
    table = audit.table_from_cells([{"Sensitivity": "97.5"}, {"Sensitivity": "95.0"}], "t", 40, 10)
    assert [row.figures["Sensitivity"].scale for row in table.rows] == [1000, 1000]
    assert any("percentages" in note for note in table.notes)


def test_sizes_come_from_columns_or_are_asked_for() -> None:
    cells = [{"Model": "a", "Positives": "40", "Negatives": "30", "Sensitivity": "0.975", "AUROC": "0.991"}]
    table = audit.table_from_cells(cells, "t")
    assert (table.rows[0].positives, table.rows[0].negatives, table.rows[0].label) == (40, 30, "a")
    assert table.unchecked == ("AUROC",)
    assert any(f.rule == "not checked" and "AUROC" in f.message for f in audit.audit(table).findings)
    with pytest.raises(DataError, match="--negatives"):
        audit.table_from_cells([{"Sensitivity": "0.975"}], "t", positives=40)
    with pytest.raises(DataError, match="whole number"):
        audit.table_from_cells([cells[0] | {"Positives": "many"}], "t")


def test_tables_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give a CSV file"):
        audit.read_table(tmp_path / "none.csv", 1, 1)
    for text, why in (
        ("Sensitivity\n", "at least one row"),
        ("Sensitivity,Sensitivity\n1,1\n", "repeats"),
        ("Model,Sensitivity\n0.9\n", "1 cells for 2 headers"),
        ("Model,Score\na,b\n", "--column"),
        ("Recall,Sensitivity\n0.9,0.9\n", "two columns"),
        ("Sensitivity\nhigh\n", "column Sensitivity"),
    ):
        path = tmp_path / "table.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=why):
            audit.read_table(path, 10, 10)
    path.write_text("Model,Score\na,0.9\n")
    assert audit.read_table(path, 10, 10, {"Score": "accuracy"}).columns == {"Score": "accuracy"}
    with pytest.raises(ParameterError, match="no column"):
        audit.read_table(path, 10, 10, {"Skore": "accuracy"})
    with pytest.raises(ParameterError, match="no quantity"):
        audit.read_table(path, 10, 10, {"Score": "acuracy"})


def test_sizes_beyond_exact_arithmetic_are_refused() -> None:
    with pytest.raises(DataError, match="64-bit"):
        one_row(1, 1, 3_000_000, 3_000_000, {"bacc": "0.90000000"})


def test_search_bounds_are_checked(report: audit.Report) -> None:
    row = report.table.rows[5]
    found = audit.search_sizes(row, report.columns, "either", positives=(72, 72), negatives=(3000, 3000))
    assert found.solutions[["positives", "negatives", "tp", "tn"]].to_numpy().tolist() == [[72, 3000, 48, 2996]]
    with pytest.raises(ParameterError, match="bounds"):
        audit.search_sizes(row, report.columns, positives=(5, 4))
    with pytest.raises(ParameterError, match="too large"):
        audit.search_sizes(row.drop("Sensitivity"), report.columns, positives=(1, 400), negatives=(1, 90_000))


# Sums of other tables


def test_a_wrong_total_is_found(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text('Set,Positive,Negative\nA,10,"1,000"\nB,5,20\nTotal,15,1021\n')
    (stated,) = sums.stated_sums(sums.read_counts(path))
    assert not stated.adds_up and stated.checks["adds_up"].tolist() == [True, False]
    text, right = sums.sums_text(sums.read_counts(path))
    assert not right and "1,020; printed 1,021: DOES NOT ADD UP" in text
    path.write_text("Set,Positive\nA,ten\n")
    with pytest.raises(DataError, match="no count"):
        sums.read_counts(path)


# The command


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    audit.add_arguments(parser)
    return audit.main(parser.parse_args(arguments))


def test_the_command_finds_the_error_of_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "report.json"
    assert run(str(audit.example_path()), "--json", str(target)) == 1
    printed = capsys.readouterr().out
    assert "[impossible] Row 3 (With attention and more data)" in printed and "Without Accuracy (%)" in printed
    assert "96.3" in printed
    saved = json.loads(target.read_text())
    assert saved["answer"] in printed and [row["status"] for row in saved["rows"]] == [POSSIBLE, POSSIBLE, IMPOSSIBLE]


def test_the_command_passes_a_table_that_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = audit.example_path().read_text().replace("96.8,", "96.3,")
    path = tmp_path / "mended.csv"
    path.write_text(text)
    assert run(str(path)) == 0
    assert "can be true" in capsys.readouterr().out


def test_the_commands_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("paper", "--no-search") == 1
    assert "test sets of" not in capsys.readouterr().out
    assert run("paper", "--sums") == 0
    assert "543" in capsys.readouterr().out
    with pytest.raises(ParameterError, match="HEADER=QUANTITY"):
        run("paper", "--column", "PPCR")
    with pytest.raises(ParameterError, match="counts alone"):
        run("paper", "--sums", "--positives", "3")
    run("paper", "--column", "PPCR=accuracy", "--no-search")
    assert "Column PPCR does not hold" not in capsys.readouterr().out


# Figures


def test_figures_show_what_their_tables_hold(report: audit.Report) -> None:
    intervals = figures.intervals_table(report)
    assert len(intervals) == 44 and intervals["low"].isna().sum() == 2
    assert len(figures.plot_intervals(intervals).axes) == 2
    sizes = figures.sizes_table(report)
    assert set(sizes["row"]) == {6} and len(sizes) == sum(
        len(s.solutions) for (n, _), s in report.searches.items() if n == 6
    )
    assert figures.plot_sizes(sizes).axes[0].get_xlabel() == "positive test images"
    row = report.table.rows[17]
    strips = figures.strips_table(report, row)
    assert set(strips["column"]) == {"Sensitivity", "bACC", "PPCR"}
    meet = strips[(strips["tp"] == 40) & (strips["column"] != "Sensitivity")]
    assert meet["first"].max() == meet["last"].min() == 2787
    assert figures.plot_strips(strips, row).axes
    points = published.definition_points(report, "PPCR")
    crosses = [
        line
        for line in figures.plot_definition(points, "PPCR", "ppcr", "accuracy").axes[1].lines
        if line.get_marker() == "x"
    ]
    assert [tuple(line.get_ydata()) for line in crosses] == [(0.9908,), (0.9299,)]


def test_the_figures_stand_a_table_without_findings() -> None:
    clean = one_row(9, 9, 10, 10, {"Sensitivity": "0.9", "Specificity": "0.9"})
    assert figures.sizes_table(clean).empty
    assert "no row" in figures.plot_sizes(figures.sizes_table(clean)).axes[0].texts[0].get_text()


def test_a_search_that_would_take_too_long_is_left_out_and_said(report: audit.Report) -> None:
    cells = [{"Accuracy": "0.91234", "F1": "0.91277"}]
    huge = audit.audit(audit.table_from_cells(cells, "huge", 9_000, 9_000))
    assert not huge.searches and "not tried" in huge.findings[0].message
    small = audit.audit(audit.table_from_cells(cells, "small", 90, 90))
    assert small.searches and "not tried" not in small.findings[0].message


@pytest.mark.parametrize("columns", [("sensitivity", "accuracy"), ("fnr", "precision"), ("accuracy", "f1")])
def test_the_search_finds_exactly_the_sizes_that_brute_force_finds(columns: tuple[str, str]) -> None:
    printed = {name: round_half_up(exact(name, 5, 8, 7, 11), 2) for name in columns}
    row = audit.table_from_cells([printed], "t", 3, 3).rows[0]
    found = audit.search_sizes(row, {name: name for name in columns}, positives=(1, 12), negatives=(1, 14)).solutions
    brute = {
        (p, n)
        for p in range(1, 13)
        for n in range(1, 15)
        if any(
            all(abs(exact(name, tp, tn, p, n) - Fraction(printed[name])) <= Fraction(1, 200) for name in columns)
            for tp in range(p + 1)
            for tn in range(n + 1)
        )
    }
    assert set(zip(found["positives"], found["negatives"], strict=True)) == brute
    assert (7, 11) in brute and found["distance"].is_monotonic_increasing


def test_what_the_prose_quotes_is_plain_and_formats(report: audit.Report) -> None:
    shares = detection.detection_share(detection.detection_table(0, tables=20))
    quoted = published.headline(report, shares)
    assert {type(value) for value in quoted.values()} <= {int, float, str}
    assert (quoted["size_rounded"], quoted["size_cut"], quoted["size_none"]) == ("72 + 2,988", "72 + 3,000", "no")
    assert (quoted["gain_relative"], quoted["gain_difference"], quoted["gains"]) == (19, 3, 20)
    assert quoted["pairs_needed"] == 6 and quoted["noticed_most"] > quoted["noticed_two"]
