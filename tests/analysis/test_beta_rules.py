"""Choices made on validation data, costs, calibration and the figures, on simulated scores; the interactive figure."""

import json
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from scipy.special import expit
from sklearn.metrics import balanced_accuracy_score

from cxrlib.analysis.beta import powered, rules, tables, theory
from cxrlib.book import interactive
from cxrlib.errors import DataError
from cxrlib.evaluation import decisions
from cxrlib.evaluation.metrics import tune_threshold
from cxrlib.figures import beta as figures
from tests.analysis.test_beta_powered import make_run


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return rules.simulated_scores((0.25, 4.0), others=True, draws=(0, 1), pixels=8)


def test_every_method_is_scored_on_the_same_images(scores):
    assert list(scores.columns) == list(rules.COLUMNS) and scores["method"].nunique() == 3 + 6
    counts = scores.groupby(["draw", "split", "method"]).size()
    assert (counts == counts.groupby(["draw", "split"]).transform("first")).all()
    assert set(scores["weight"].dropna()) == {0.25, 1.0, 4.0}


def test_converged_models_of_a_line_shift_by_log_beta(scores):
    test = scores[scores["split"] == "test"].pivot_table(index=["draw", "image_id"], columns="method", values="logit")
    for beta in (0.25, 4.0):
        shift = (test[f"β = {beta:g}"] - test["plain CE"]).mean() / np.log(beta)
        assert 0.6 < shift < 1.1


def test_tuning_is_that_of_the_metrics(scores):
    part = scores[(scores["method"] == rules.PLAIN) & (scores["draw"] == 0) & (scores["split"] == "valid")]
    y, z = part["label"].to_numpy(), part["logit"].to_numpy()
    cut, expected = rules.tune_cut(y, z), tune_threshold(y, expit(z))
    found, best = (balanced_accuracy_score(y, z > at) for at in (cut, np.log(expected / (1 - expected))))
    assert found == pytest.approx(best)


def test_choices_never_see_the_test_images(scores):
    flipped = scores.copy()
    test = flipped["split"] == "test"
    flipped.loc[test, "label"] = 1 - flipped.loc[test, "label"]
    for name, rule in rules.NESTED.items():
        same = rules.decide(scores, rule)["setting"].equals(rules.decide(flipped, rule)["setting"])
        assert same != name.startswith("oracle")


def test_rules_are_paired_and_ordered(scores):
    table = rules.rules_table(scores, rules.NESTED, draws=100).set_index("rule")
    reference = table.loc["plain CE, threshold tuned"]
    assert reference["difference"] == reference["difference_low"] == reference["difference_high"] == 0
    assert (table["bacc_low"] <= table["bacc"]).all() and (table["bacc"] <= table["bacc_high"]).all()
    assert table.loc["oracle threshold", "bacc"] >= reference["bacc"]
    assert table.loc["oracle β", "bacc"] >= table.loc["β chosen, threshold 1/2", "bacc"]
    broken = scores.drop(scores[(scores["method"] == "β = 4") & (scores["split"] == "test")].index[:1])
    with pytest.raises(DataError, match="same images"):
        rules.rules_table(
            broken, {"4": rules.Rule("β = 4"), "plain CE, threshold tuned": rules.Rule(tuned=True)}, draws=5
        )


def test_every_alternative_is_judged_at_both_thresholds(scores):
    table = rules.rules_table(scores, rules.loss_rules(scores), draws=20).set_index("rule")
    assert len(table) == 2 * 9 and table["difference_low"].notna().all()
    plain = table.loc["plain CE, threshold 1/2", "sensitivity"]
    for method in ("balancing weight", "class-balanced", "logit-adjusted", "re-sampled"):
        assert table.loc[f"{method}, threshold 1/2", "sensitivity"] > plain


def test_few_positives_make_a_tuned_threshold_uncertain(scores):
    few, all_of_them = (rules.tuning_spread(scores, n, draws=60) for n in (7, None))
    assert (
        few["sensitivity_high"] - few["sensitivity_low"]
        > all_of_them["sensitivity_high"] - all_of_them["sensitivity_low"]
    )
    assert 0 < few["threshold_low"] < few["threshold_high"] < 1


def test_taking_log_beta_off_undoes_the_miscalibration(scores):
    table = rules.calibration_table(scores).set_index(["weight", "repair"])["ece"]
    assert table[4.0, "log β off"] < table[4.0, "none"]
    assert table[1.0, "log β off"] == table[1.0, "none"]


def test_every_figure_is_drawn(scores):
    runs = [make_run(b, d, s) for b in (None, 0.5) for d in (0, 1) for s in (0, 1)]
    found, empty = powered.powered(runs, draws=5), powered.powered([])
    judged = rules.rules_table(scores, rules.NESTED, draws=5)
    decisions = tables.decision_curves(scores)
    made = [
        *(figures.plot_powered(study.runs) for study in (found, empty)),
        *(figures.plot_thresholds(study.effects) for study in (found, empty)),
        figures.plot_theory(tables.shift_curves(), theory.misspecified_table((0.5, 2.0))),
        figures.plot_rules(judged),
        figures.plot_curves(tables.cost_curves(scores), "pc", "cost", ("pc", "cost")),
        figures.plot_curves(decisions, "threshold", "net_benefit", ("threshold", "net benefit"), log=True),
        figures.plot_reliability(tables.reliability_curves(scores)),
    ]
    assert all(isinstance(figure, Figure) and figure.axes for figure in made)
    assert {"β = 4", "β = 4, corrected", "treat all", "treat none"} <= set(decisions["curve"])
    plt.close("all")


SETTINGS = [
    {"beta": beta, "prevalence": prevalence, "cost_fn": cost_fn, "cost_fp": cost_fp}
    for beta in (2**-6, 0.4, 0.75, 9.3, 64.0)
    for prevalence, cost_fn, cost_fp in ((0.005, 1, 50), (0.13, 5, 1), (0.6, 20, 3))
]


def test_the_payload_keeps_the_roc(scores):
    data = json.loads(json.dumps(interactive.payload(scores)))
    rows = scores[(scores["method"] == rules.PLAIN) & (scores["split"] == "test") & (scores["draw"] == 0)]
    positive, shown = rows["logit"] > -np.log(0.75), interactive.start_values(data)
    assert shown["sensitivity"] == pytest.approx(positive[rows["label"] == 1].mean(), abs=1e-5)
    assert shown["specificity"] == pytest.approx(1 - positive[rows["label"] == 0].mean(), abs=1e-5)
    assert shown["tp"] + shown["fn"] + shown["fp"] + shown["tn"] == pytest.approx(1000)
    assert shown["best_cost"] <= shown["cost"] == pytest.approx(shown["fn"] * 5 + shown["fp"] * 1)


def test_the_page_computes_what_python_computes(scores, project):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the figure's script cannot be run")
    data = interactive.payload(scores)
    script = (
        "const {outlook} = require(process.argv[1]);"
        "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(given.settings.map(s => outlook(given.data, s))));"
    )
    done = subprocess.run(
        [node, "-e", script, str(project / "_static" / "beta.js")],
        input=json.dumps({"data": data, "settings": SETTINGS}), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    for settings, theirs in zip(SETTINGS, json.loads(done.stdout), strict=True):
        ours = {k: v for k, v in interactive.start_values({**data, "start": settings}).items() if k not in settings}
        assert theirs == pytest.approx(ours, rel=1e-12)


def shown_html(scores: pd.DataFrame, monkeypatch, **changes) -> tuple[dict, str]:
    data, pages = interactive.payload(scores) | changes, []
    monkeypatch.setattr(interactive, "display", lambda page: pages.append(page.data))
    interactive.show_interactive(data, "source & more")
    return data, pages[0]


def test_the_figures_html_holds_its_data_and_reads_without_a_script(scores, monkeypatch):
    data, page = shown_html(scores, monkeypatch, which="</script><b>")
    soup = BeautifulSoup(page, "html.parser")
    assert json.loads(soup.find("script", class_="cxr-beta-data").string) == json.loads(json.dumps(data))
    assert len(soup.select(".cxr-beta-view tr")) == len(interactive.NAMES)
    assert not soup.find_all(src=True) and soup.find(class_="cxr-source").text.startswith("source & more")


@pytest.mark.browser
def test_the_sliders_are_labelled_and_the_numbers_shown(scores, project, tmp_path, monkeypatch):
    from tests.book.browser import executable, open_browser

    chromium = executable()
    if chromium is None:
        pytest.skip("no headless Chromium")
    data, body = shown_html(scores, monkeypatch)
    page = tmp_path / "page.html"
    script = (project / "_static" / "beta.js").read_text()
    page.write_text(f"<html><head><script>{script}</script></head><body>{body}</body></html>")
    with open_browser(chromium) as tab:
        seen = tab.visit(page)
        tab.evaluate("document.querySelector('input[type=range]').focus()")
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
        stepped = tab.evaluate("document.querySelector('.cxr-beta-controls output').textContent")
    soup = BeautifulSoup(seen.dom, "html.parser")
    sliders = soup.select("input[type=range]")
    assert len(sliders) == 4 and not seen.requests
    assert all(soup.find("label", attrs={"for": slider["id"]}) for slider in sliders)
    shown = {row.th.text: row.td.text for row in soup.select(".cxr-beta-controls tr")}
    expected = interactive.start_values(data)
    assert float(stepped) > 0.75  # the arrow key moved the weight
    assert float(shown["sensitivity"]) == pytest.approx(expected["sensitivity"], abs=6e-4)
    assert float(shown["cost, per 1,000"]) == pytest.approx(expected["cost"], abs=0.06)


def test_cost_curves_are_lines_below_which_no_weight_falls(scores):
    curves = tables.cost_curves(scores).pivot_table(index="pc", columns="curve", values="cost")
    assert (curves["oracle threshold"] <= curves["β = 1"] + 1e-12).all()
    assert decisions.normalised_cost(0.8, 0.6, 0.5) == pytest.approx(0.3)
