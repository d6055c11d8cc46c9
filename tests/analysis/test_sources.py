"""The source question over records and cross-fitted networks, and the power to answer it against simulation."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis import sources
from cxrlib.analysis.cross_fitting import COLUMNS, CROSS_FITTED, EXTERNAL
from cxrlib.evaluation.intervals import weighted_auroc
from tests.builders import make_record


def scored(effect: float = 0.0, by_view: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cross-fitting table and its images: source a has both classes, b only negatives, c only COVID-19, unseen."""
    generator = np.random.default_rng(0)
    source = np.repeat(["a", "b", "c"], [120, 120, 40])
    label = np.where(source == "c", 1, np.where(source == "b", 0, np.arange(280) % 2))
    view = np.where((label == 1) ^ (generator.random(280) < 0.25), "AP Supine", "PA")
    images = pd.DataFrame({"image_id": [f"{s}/{k}" for k, s in enumerate(source)], "source": source, "view": view})
    rows = images.assign(component=np.arange(280), label=label, fold=0)
    parts = []
    for seed in (0, 1):
        logit = 2.0 * (source != "b") + effect * label + by_view * (view != "PA") + generator.normal(size=280)
        design = np.where(source == "c", EXTERNAL, CROSS_FITTED)
        parts.append(rows.assign(logit=logit, seed=seed, design=design)[COLUMNS])
    held = parts[0][parts[0]["source"] == "b"].assign(design=EXTERNAL)
    return pd.concat([*parts, held, held.assign(seed=1)], ignore_index=True), images


def shown(table: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    return sources.cross_fitted(table, images).set_index(["design", "sources", "measure"])


def test_a_network_that_reads_the_source_is_at_chance_within_it():
    found = shown(*scored())
    assert found.loc[(CROSS_FITTED, "all", "overall"), "value"] > 0.65
    within = found.loc[(CROSS_FITTED, "all", "within_source")]
    assert within["value_low"] < 0.5 < within["value_high"]
    assert within["least"] <= within["value"] <= within["most"]
    assert (within["positives"], within["negatives"], within["seeds"]) == (60, 60, 2)
    assert found.loc[(CROSS_FITTED, "all", "source_among_negatives"), "value_low"] > 0.85
    assert found.loc[(CROSS_FITTED, "a", "within_source"), "value"] == within["value"]
    assert found.loc[(EXTERNAL, "c", "overall"), ["positives", "negatives"]].tolist() == [40, 120]


def test_the_projection_is_a_shortcut_within_a_source():
    table, images = scored(by_view=4.0)
    found = shown(table, images)
    assert found.loc[(CROSS_FITTED, "all", "within_source"), "value_low"] > 0.6
    held_fixed = found.loc[(CROSS_FITTED, "all", "within_projection")]
    assert held_fixed["value_low"] < 0.5 < held_fixed["value_high"]
    first = table.drop_duplicates("image_id").merge(images[["image_id", "view"]])
    rows = first.assign(label=np.where(first["label"] == 1, "covid", "non_covid"))
    (alone,) = sources.projection_alone(rows).to_dict("records")
    assert alone["source"] == "a"
    assert alone["value"] > 0.65
    assert sources.projections(images.assign(view=None)).isna().all()


def test_records_of_one_setting_are_one_row_and_dead_networks_none():
    runs = [make_record(2.0, n=900, seed=seed, draw_seed=draw) for seed in (0, 1) for draw in (0, 1)]
    dead = make_record(0.0, n=900, seed=2)
    other = make_record(2.0, n=900, beta=4.0)
    table = sources.of_records([*runs, dead, other]).set_index("beta")
    assert table.loc[0.75, ["runs", "degenerate"]].tolist() == [4, 1]
    assert table.loc[0.75, "overall"] == pytest.approx(np.mean([run.metrics["test"]["auroc"] for run in runs]))
    assert (
        table.loc[0.75, "within_source_low"] < table.loc[0.75, "within_source"] < table.loc[0.75, "within_source_high"]
    )
    assert table.loc[4.0, "within_source"] == pytest.approx(other.metrics["within_source"]["value"])
    assert sources.of_records([dead]).empty
    assert list(sources.of_records([])) == [*sources.RUNS, *sources.FIGURES]


def test_the_power_agrees_with_simulation():
    generator, auroc, n = np.random.default_rng(1), 0.7, 40
    rate = auroc / (1 - auroc)  # exponential scores: P(X > Y) = rate / (1 + rate), the model behind the formula
    truth = np.arange(2 * n) < n
    areas = [
        weighted_auroc(truth, generator.exponential(np.where(truth, rate, 1.0)), np.ones((1, 2 * n)))[0]
        for _ in range(2000)
    ]
    assert np.mean(areas) == pytest.approx(auroc, abs=0.01)
    assert np.std(areas) == pytest.approx(sources.standard_error(auroc, n, n), rel=0.05)
    shown_to_differ = np.abs(np.array(areas) - 0.5) > 1.96 * sources.standard_error(0.5, n, n)
    assert shown_to_differ.mean() == pytest.approx(sources.power(auroc, n, n), abs=0.04)


def test_what_is_needed_is_what_can_be_shown():
    table = sources.needed_table()
    for row in table.itertuples():
        fewer = row.positives - 1
        assert sources.power(row.auroc, row.positives, row.negatives) >= sources.POWER
        assert sources.power(row.auroc, fewer, fewer) < sources.POWER
    assert sources.power(sources.detectable(*sources.PRESENT), *sources.PRESENT) == pytest.approx(sources.POWER)
    assert table["positives"].is_monotonic_decreasing
    assert table["sources of 40 + 23"].tolist()[-1] == 1
