"""The live experiment on phantoms, the figures, and the interactive figure's arithmetic in Python and in node."""

import json
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from cxrlib.analysis.beta import alternatives, course, experiment, nested, study, threshold
from cxrlib.analysis.beta.scores import COLUMNS, PLAIN, Evidence
from cxrlib.book import interactive
from cxrlib.errors import DataError
from cxrlib.evaluation import calibration, costs
from cxrlib.figures import beta as figures
from cxrlib.losses.weighted import WeightedCrossEntropy


@pytest.fixture(scope="module")
def data() -> experiment.Thumbnails:
    """Noise with a weak signal: 240 images of 8 x 8 pixels, two of each patient."""
    rng = np.random.default_rng(0)
    labels = (np.arange(240) // 2 % 4 == 0).astype(np.int64)
    features = np.clip(0.5 + 0.15 * rng.normal(size=(240, 64)), 0, 1)
    features[:, :8] += 0.06 * labels[:, None]
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(240)], "component": np.arange(240) // 2})
    return experiment.Thumbnails(features, labels, table)


@pytest.fixture(scope="module")
def table(data) -> pd.DataFrame:
    return experiment.cross_validate(data, betas=(0.25, 1.0, 4.0), outer=3, inner=2)


@pytest.fixture(scope="module")
def evidence(table) -> Evidence:
    return Evidence("experiment", "a test", "test data", table)


def test_the_fit_is_scikit_learns(data):
    ours = experiment.fit(data, WeightedCrossEntropy(2.5), ridge=0.05)
    x = (data.features - ours.mean) / ours.scale
    model = LogisticRegression(C=1 / (0.05 * len(x)), class_weight={0: 1.0, 1: 2.5}, tol=1e-10, max_iter=1000)
    model.fit(x, data.labels)
    np.testing.assert_allclose(ours.coefficients[:-1], model.coef_[0], atol=1e-4)
    assert ours.coefficients[-1] == pytest.approx(model.intercept_[0], abs=1e-4)


def test_folds_keep_patients_apart(data, table):
    assert list(table.columns) == list(COLUMNS)
    for _, part in table.groupby("fold"):
        valid, test = (set(part.loc[part["split"] == name, "component"]) for name in ("valid", "test"))
        assert not valid & test
    tested = table[(table["split"] == "test") & (table["method"] == PLAIN)]
    assert sorted(tested["image_id"]) == sorted(data.table["image_id"])
    counts = table.groupby(["fold", "split", "method"]).size()
    assert (counts == counts.groupby(["fold", "split"]).transform("first")).all()
    assert table["method"].nunique() == 3 + 6


def test_too_few_patients_is_one_sentence(data):
    with pytest.raises(DataError, match="fewer than 50 patients"):
        experiment.folds_of(data, 50, 0)


def test_the_course_shows_the_shift_where_classes_overlap(data):
    steps = course.training_course(data, few=40, betas=(4.0,), seeds=(0,), steps=400)
    end = course.course_end(steps).set_index("set")
    assert end.loc["coarse", "share"] > 0.8 and end.loc["coarse", "training_errors"] > 0
    assert end.loc["fine, few", "share"] < 0.5 and end.loc["fine, few", "training_errors"] == 0
    assert course.coarse(data).features.shape == (240, 16)
    np.testing.assert_allclose(course.coarse(data).features.mean(), data.features.mean())


def test_every_alternative_is_judged_with_intervals(table):
    judged = alternatives.alternatives_table(table, draws=100)
    assert len(judged) == 2 * len(alternatives.NAMES) + 2
    assert judged[["utility_low", "difference_low"]].notna().all(axis=None)
    balancing = judged[(judged["loss"] == "logit-adjusted CE") & (judged["rule"] == "1/2")].iloc[0]
    plain = judged[(judged["loss"] == "plain CE") & (judged["rule"] == "1/2")].iloc[0]
    assert balancing["sensitivity"] > plain["sensitivity"]


def test_calibration_table_undoes_the_shift(table):
    means = calibration.calibration_table(table.dropna(subset="beta")).groupby(["beta", "repair"])["ece"].mean()
    assert means[4.0, "minus log beta"] < means[4.0, "none"]
    assert means[1.0, "minus log beta"] == means[1.0, "none"]


def test_every_figure_is_drawn(table):
    made = [
        figures.plot_theory(figures.shift_curves(points=9), threshold.misspecified_table((0.5, 2.0))),
        figures.plot_equivalence(study.equivalence(table)),
        figures.plot_pairs(study.pairs([])),
        figures.plot_course(course.training_course(experiment_small(), few=20, seeds=(0,), steps=5)),
        figures.plot_rules(nested.rules_table(nested.nested_rules(table), "oracle β", draws=20)),
        figures.plot_cost_curves(figures.cost_curves(table)),
        figures.plot_decision_curves(figures.decision_curves(table)),
        figures.plot_reliability(figures.reliability_curves(table)),
        figures.plot_regret(nested.regret_table(table, 0.1, (1, 5))),
    ]
    assert all(isinstance(figure, Figure) and figure.axes for figure in made)
    plt.close("all")


def experiment_small() -> experiment.Thumbnails:
    """Forty images of 8 x 8 pixels."""
    labels = np.arange(40, dtype=np.int64) % 2
    rows = pd.DataFrame({"image_id": [str(k) for k in range(40)], "component": np.arange(40)})
    return experiment.Thumbnails(np.random.default_rng(0).random((40, 64)), labels, rows)


def test_thumbnails_of_phantoms_come_from_the_clean_training_set(phantom_env):
    from cxrlib.data.cohorts import build_cohort
    from cxrlib.data.editions import load_edition
    from cxrlib.protocols import PROTOCOLS

    edition = load_edition("phantom")
    made = experiment.thumbnails(edition, seed=0, images=64, side=8, size=32)
    split = build_cohort(edition, "combined", PROTOCOLS["clean"], 0)
    assert made.features.shape == (len(made.labels), 64) and len(made.labels) <= 64
    assert made.features.min() >= 0 and made.features.max() <= 1 and made.labels.any()
    assert set(made.table["image_id"]) <= set(split.train["image_id"])
    assert not set(made.table["component"]) & set(split.test["component"])


SETTINGS = [
    {"beta": beta, "prevalence": prevalence, "cost_fn": cost_fn, "cost_fp": cost_fp}
    for beta in (2**-6, 0.4, 0.75, 1.0, 9.3, 64.0)
    for prevalence, cost_fn, cost_fp in ((0.005, 1, 50), (0.13, 5, 1), (0.6, 20, 3))
]


def test_the_payload_keeps_the_roc(evidence):
    data = json.loads(json.dumps(interactive.payload(evidence)))
    rows = evidence.scores[(evidence.scores["method"] == PLAIN) & (evidence.scores["split"] == "test")]
    called = rows["logit"] > -np.log(0.75)
    shown = costs.outlook(interactive.roc_of(data), data["trained_prevalence"], **SETTINGS[7])
    assert SETTINGS[7]["beta"] == 0.75
    assert shown.sensitivity == pytest.approx(called[rows["label"] == 1].mean(), abs=1e-5)
    assert shown.specificity == pytest.approx(1 - called[rows["label"] == 0].mean(), abs=1e-5)
    assert shown.tp + shown.fn + shown.fp + shown.tn == pytest.approx(1000)
    assert shown.cost == pytest.approx(shown.fn * 5 + shown.fp * 1)
    assert shown.best_cost <= shown.cost


def test_the_page_computes_what_python_computes(evidence, project):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the figure's script cannot be run")
    data = interactive.payload(evidence)
    script = (
        "const {outlook} = require(process.argv[1]);"
        "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(given.settings.map(s => outlook(given.data, s))));"
    )
    done = subprocess.run(
        [node, "-e", script, str(project / "_static" / "beta.js")],
        input=json.dumps({"data": data, "settings": SETTINGS}), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    roc = interactive.roc_of(data)
    for settings, theirs in zip(SETTINGS, json.loads(done.stdout), strict=True):
        ours = costs.outlook(roc, data["trained_prevalence"], **settings).to_dict()
        assert theirs.keys() == ours.keys()
        assert theirs == pytest.approx(ours, rel=1e-12)


def test_the_figures_html_holds_its_data_and_reads_without_a_script(evidence):
    data = interactive.payload(evidence) | {"title": "</script><b>"}
    soup = BeautifulSoup(interactive.figure_html(data, "source & more"), "html.parser")
    carried = soup.find("script", class_="cxr-beta-data")
    assert json.loads(carried.string) == json.loads(json.dumps(data))
    assert len(soup.select(".cxr-beta-view tr")) == len(interactive.NAMES)
    assert not soup.find_all(src=True) and soup.find(class_="cxr-source").text.startswith("source & more")


@pytest.mark.browser
def test_the_sliders_are_labelled_and_the_numbers_shown(evidence, project, tmp_path):
    from tests.book.offline import browser, visit

    chromium = browser()
    if chromium is None:
        pytest.skip("no headless Chromium")
    data = interactive.payload(evidence)
    script = (project / "_static" / "beta.js").read_text()
    page = tmp_path / "page.html"
    page.write_text(
        f"<html><head><script>{script}</script></head><body>{interactive.figure_html(data, 's')}</body></html>"
    )
    seen = visit(page, chromium)
    soup = BeautifulSoup(seen.dom, "html.parser")
    sliders = soup.select("input[type=range]")
    assert len(sliders) == 4 and not seen.requests
    assert all(soup.find("label", attrs={"for": slider["id"]}) for slider in sliders)
    shown = {row.th.text: row.td.text for row in soup.select(".cxr-beta-controls tr")}
    expected = costs.outlook(interactive.roc_of(data), data["trained_prevalence"], **data["start"])
    assert float(shown["sensitivity"]) == pytest.approx(expected.sensitivity, abs=6e-4)
    assert float(shown["cost, per 1,000"]) == pytest.approx(expected.cost, abs=0.06)


def test_the_experiment_does_not_disturb_torch_defaults(data):
    experiment.fit(data, WeightedCrossEntropy(1.0))
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.real_data
def test_the_live_experiment_runs_on_real_radiographs(real_data):
    from cxrlib.data.editions import load_edition

    edition = load_edition("open")
    made = experiment.thumbnails(edition, seed=0, images=300, side=8, size=32)
    table = experiment.cross_validate(made, betas=(0.25, 4.0), outer=2, inner=2)
    judged = alternatives.ranking_table(table, draws=20)
    assert (judged["auroc"] > 0.7).all()
    assert edition.short in experiment.evidence(edition, made, table, 0).source
    assert (study.equivalence(table)["share_of_shift"] > 0.2).all()
