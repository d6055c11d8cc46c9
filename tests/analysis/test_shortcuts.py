"""Leakage and shortcuts: overlap on a hand-made table, the regions' geometry, probes on phantoms of known confounding."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.records.test_record import make_record

from cxrlib.analysis.shortcuts import dose, external, features, overlap, probes, regions
from cxrlib.analysis.shortcuts.answer import COHORT, answer, overlap_sentence, shortcut_sentence
from cxrlib.analysis.shortcuts.sample import Sample, draw_sample, eligible
from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.phantom import masks, render
from cxrlib.images.phantom.site import draw_site


def _images() -> pd.DataFrame:
    """Two sources: one shared patient (p2), one shared file (f4) whose labels disagree, one repeat inside b."""
    rows = [
        ("a/1", "a", "p1", "f1", 1, 1, "covid"),
        ("a/2", "a", "p2", "f2", 2, 2, "covid"),
        ("a/3", "a", "p3", "f4", 3, 3, "covid"),
        ("b/1", "b", "p2", "f3", 4, 2, "covid"),
        ("b/2", "b", "p4", "f4", 3, 3, "non_covid"),
        ("b/3", "b", "p5", "f5", 5, 5, "non_covid"),
        ("b/4", "b", "p6", "f5", 5, 5, "non_covid"),
        ("c/1", "c", None, "f7", 7, 7, "non_covid"),
    ]
    columns = ["image_id", "source", "patient_id", "sha256", "repeat", "component", "label"]
    return pd.DataFrame(rows, columns=columns)


def test_what_two_sources_share_is_counted_by_kind():
    (pair,) = overlap.between(_images()).to_dict("records")
    assert pair == {
        "first": "a", "second": "b", "patients": 1, "exact": 1, "near": 1, "components": 2, "disagreeing": 1,
    }  # fmt: skip


def test_repeats_inside_a_source_are_counted():
    table = overlap.inside(_images()).set_index("source")
    assert table.loc["b"].to_dict() == {"images": 4, "patients": 4, "exact": 1, "near": 1, "joined": 1}
    assert table.loc["a", ["exact", "near", "joined"]].sum() == 0
    assert table.loc["c", "patients"] == 0


def test_the_thresholds_count_pairs_up_to_and_including_them():
    distances = pd.DataFrame({"kind": ["u"] * 3, "distance": [8, 9, 40], "pairs": [1, 2, 4]})
    assert overlap.threshold_table(distances, (8, 9, 39, 40))["u"].tolist() == [1, 3, 3, 7]


def test_sensitivity_is_split_by_overlap_and_compared_with_clean():
    paper, clean = (make_record(protocol=name) for name in ("paper", "clean"))
    test = paper.test()
    positive = test[test["label"] == 1]
    table = overlap.sensitivity_by_overlap([paper]).set_index("test images")
    for name, part in (("seen", positive[positive["overlap"]]), ("not seen", positive[~positive["overlap"]])):
        if len(part):
            assert table.loc[name, "positives"] == len(part)
            assert table.loc[name, "found"] == (part["probability"] > 0.5).sum()
            assert table.loc[name, "low"] <= table.loc[name, "sensitivity"] <= table.loc[name, "high"]
        else:
            assert name not in table.index
    metrics = {**clean.metrics, "test": {**clean.metrics["test"], "tp": 0}}
    worse = replace(clean, metrics=metrics)
    (pair,) = overlap.against_clean([paper, worse]).to_dict("records")
    assert pair["found"] == paper.metrics["test"]["tp"]
    assert pair["found_clean"] == 0
    assert pair["auroc_difference"] == pytest.approx(paper.metrics["test"]["auroc"] - clean.metrics["test"]["auroc"])
    assert pair["difference"] == pytest.approx(paper.metrics["test"]["sensitivity"])
    assert overlap.against_clean([paper]).empty
    assert overlap.sensitivity_by_overlap([]).empty


def test_regions_partition_the_image():
    pixels = np.full((2, 32, 32), 200, np.uint8)
    lungs = np.zeros((2, 32, 32), bool)
    lungs[:, 8:20, 4:12] = True
    border = regions.cover(pixels, "border only")
    assert (border[:, 4:28, 4:28] == 0).all()
    assert (border[:, :4] == 200).all()
    assert (border > 0).sum() == 2 * (32**2 - 24**2)
    hidden = regions.cover(pixels, "centre blacked out")
    assert (hidden == 0).sum() == 2 * 16**2
    assert (hidden[:, 8:24, 8:24] == 0).all()
    only, without = regions.cover(pixels, "lungs only", lungs), regions.cover(pixels, "lungs hidden", lungs)
    assert (only + without == pixels).all()
    assert ((only > 0) == lungs).all()
    assert (regions.cover(pixels, "whole image") == pixels).all()
    with pytest.raises(DataError, match="needs a lung mask"):
        regions.cover(pixels, "lungs only")
    with pytest.raises(ParameterError, match="unknown region"):
        regions.cover(pixels, "heart")
    with pytest.raises(ParameterError, match="border"):
        regions.frame(32, 0.5)


def test_phantoms_know_their_lungs():
    table = dose.phantoms(0.5, 4, 0)
    assert regions.has_mask(table).all()
    assert (regions.lung_masks(table, 32) == masks(table["path"].tolist(), 32)[0]).all()


@pytest.mark.real_data
def test_published_masks_fit_their_images(real_data):
    rows = eligible(load_edition("open"))
    masked = rows[regions.has_mask(rows)]
    assert len(masked) > 100
    assert set(masked["source"]) == {"ieee8023"}
    share = regions.lung_masks(masked.head(20), 64).mean(axis=(1, 2))
    assert ((share > 0.05) & (share < 0.8)).all()
    with pytest.raises(DataError, match="no lung mask"):
        regions.lung_masks(rows[~regions.has_mask(rows)].head(1), 64)


def test_the_site_of_a_phantom_is_the_one_it_was_rendered_with(monkeypatch):
    paths = dose.phantoms(0.0, 20, 1)["path"].tolist()
    drawn = []

    def recorded(*arguments):
        drawn.append(draw_site(*arguments))
        return drawn[-1]

    monkeypatch.setattr(
        sys.modules["cxrlib.images.phantom.render"], "draw_site", recorded
    )  # the package has a function render
    for path in paths:
        render([path], 16)
    assert 0 < sum(drawn) < len(drawn) == len(paths)
    assert dose.sites(paths).tolist() == drawn
    at_one = dose.phantoms(1.0, 5, 1)
    assert (dose.sites(at_one["path"].tolist()) == (at_one["label"] == "covid")).all()


def test_histograms_and_thumbnails():
    pixels = np.zeros((2, 16, 16), np.uint8)
    pixels[1, :8] = 255
    assert features.histograms(pixels, 4).tolist() == [[1, 0, 0, 0], [0.5, 0, 0, 0.5]]
    assert features.thumbnails(pixels, 2)[1].tolist() == [1, 1, 0, 0]
    with pytest.raises(ParameterError, match="must divide"):
        features.thumbnails(pixels, 5)


@pytest.fixture(scope="module")
def response() -> pd.DataFrame:
    return dose.dose_response(per_class=60, doses=(0.0, 0.5, 1.0))


def test_probes_of_the_border_follow_the_dose(response):
    label = response[response["target"] == "COVID-19"].set_index(["input", "confounding"])
    for name in ("border only", "histogram", "lungs hidden"):
        part = label.loc[name]
        assert part.loc[0.0, "low"] <= 0.5 <= part.loc[0.0, "high"], f"{name}: no shortcut, no skill"
        assert part.loc[0.0, "bacc"] < part.loc[0.5, "bacc"] < part.loc[1.0, "bacc"]
        assert part.loc[1.0, "bacc"] > 0.8
    assert label["truth"].groupby("confounding").first().tolist() == [0.5, 0.75, 1.0]


def test_the_site_of_a_negative_is_told_where_there_are_two(response):
    site = response[(response["target"] == "site") & (response["input"] == "border only")].set_index("confounding")
    assert site.loc[0.0, "low"] > 0.7
    assert 1.0 not in site.index, "at full confounding every negative comes from one site"


def _made(effect: float, origin_effect: float) -> tuple[Sample, np.ndarray]:
    """Features whose first column holds the label in collection a, and whose second holds the collection."""
    rng = np.random.default_rng(0)
    n = 120
    label = np.tile([0, 1], n // 2)
    origin = np.repeat(["a", "b"], n // 2)
    x = rng.normal(size=(n, 5))
    x[:, 0] += effect * label * np.where(origin == "a", 1, -1)
    x[:, 1] += origin_effect * (origin == "b")
    table = pd.DataFrame(
        {
            "label": np.where(label == 1, "covid", "non_covid"),
            "component": np.arange(n) // 2 * 2 + label,
            "origin": origin,
            "population": "adult",
        }
    )
    return Sample(np.zeros((n, 8, 8), np.uint8), table), x


def test_what_does_not_travel_shows_in_the_external_test():
    sample, x = _made(4.0, 0.0)
    table = external.external_table(sample, x).set_index(["train", "test"])
    assert table.loc[("a", "a"), "kind"] == "internal"
    assert table.loc[("a", "a"), "auroc"] > 0.95
    assert table.loc[("a", "b"), "kind"] == "external"
    assert table.loc[("a", "b"), "auroc"] < 0.05, "learned in a, reversed in b"
    assert table.loc[("all adults", "a"), "kind"] == "partly internal"
    inside, outside = external.drop_outside(table.reset_index())
    assert inside > 0.9 > 0.1 > outside
    assert set(external.by_test(table.reset_index())["train"]) == {"a", "b", "all adults"}


def test_a_component_of_the_test_set_is_never_trained_on():
    sample, x = _made(0.0, 0.0)
    table = sample.table.assign(component=np.r_[np.arange(60), np.arange(60)])  # every component lies in both
    with pytest.raises(DataError):
        external.external_table(Sample(sample.pixels[:0], table.iloc[:0]), x[:0])
    found = external.external_table(Sample(sample.pixels, table), x)
    assert "external" not in set(found["kind"]), "nothing is left to train on"


@pytest.mark.parametrize(("effect", "told"), [(0.0, False), (3.0, True)])
def test_the_origin_probe_tells_only_what_there_is(effect, told):
    sample, x = _made(0.0, effect)
    (row,) = probes.origin_probe({"whole image": x}, sample).to_dict("records")
    assert row["chance"] == 0.5
    assert row["images"] == 60
    assert (row["low"] > row["chance"]) is told


def test_folds_keep_components_whole():
    labels, groups = np.tile([0, 1], 20), np.repeat(np.arange(20), 2)
    for train, test in probes.folds(labels, groups):
        assert not set(groups[train]) & set(groups[test])
    with pytest.raises(DataError, match="fewer than"):
        probes.folds(np.r_[np.ones(3), np.zeros(37)], np.r_[np.zeros(3), np.arange(37)].astype(int))


def test_the_sample_is_seeded_and_bounded(monkeypatch):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.02")
    rows = eligible(load_edition("phantom"))
    assert set(rows["origin"]) == {"site 0", "site 1"}
    first, again, other = (draw_sample(rows, 32, 10, seed) for seed in (0, 0, 1))
    assert first.table["image_id"].tolist() == again.table["image_id"].tolist() != other.table["image_id"].tolist()
    assert first.table.groupby(["origin", "label"]).size().max() <= 10
    with pytest.raises(ParameterError, match="at least 10"):
        draw_sample(rows, 32, 2, 0)


def _results() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    crossing = pd.DataFrame(
        {"cohort": COHORT, "protocol": ["paper", "clean"], "test_covid": [40, 40], "covid_overlap": [39, 0]}
    )
    pairs = pd.DataFrame(
        {"protocol": ["paper", "paper"], "difference": [0.1, 0.2], "found": [8, 9], "found_clean": [4, 1]}
    )
    label = pd.DataFrame(
        {
            "input": ["whole image", "border only"],
            "bacc": [0.9, 0.8],
            "bacc_low": [0.85, 0.7],
            "bacc_high": [0.95, 0.85],
        }
    )
    origin = pd.DataFrame(
        {"input": ["whole image"], "origins": [3], "bacc": [0.7], "low": [0.6], "high": [0.8], "chance": [1 / 3]}
    )
    return crossing, pairs, label, origin


def test_the_answer_follows_the_results():
    crossing, pairs, label, origin = _results()
    first, second = answer(crossing, pairs, label, origin)
    assert "39 of the 40" in first
    assert "+0.150" in first
    assert "0.800 [0.700, 0.850]" in second
    assert "more than chance" in second
    assert "can be told" in second
    assert overlap_sentence(crossing.assign(covid_overlap=[12, 0]), pairs) != first
    assert "-0.150" in overlap_sentence(crossing, pairs.assign(difference=-pairs["difference"]))
    assert "neither" not in first
    assert "1 of them neither" in overlap_sentence(crossing, pairs.assign(found=[0, 9], found_clean=[0, 1]))
    assert "no pair of recorded runs" in overlap_sentence(crossing, pairs.iloc[:0])
    assert "no more than chance" in shortcut_sentence(label.assign(bacc_low=[0.85, 0.45]), origin)
    assert "cannot be told" in shortcut_sentence(label, origin.assign(low=0.3))
    assert "one origin" in shortcut_sentence(label, origin.iloc[:0])
