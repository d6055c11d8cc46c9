"""Leakage and shortcuts: overlap on a made-up table, the regions' geometry, probes on phantoms of known probes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis import sources
from cxrlib.analysis.shortcuts import external, overlap, probes
from cxrlib.analysis.shortcuts.sample import composition, draw, eligible, load
from cxrlib.data.editions import load_edition
from cxrlib.data.masks import has_mask, lung_masks
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError
from cxrlib.images.phantom import masks
from cxrlib.images.store import open_store
from cxrlib.records.record import Record
from tests.builders import make_record


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
    distances = pd.DataFrame({"kind": "u", "distance": [8, 9, 39, 40], "pairs": [1, 2, 0, 4]})
    assert overlap.threshold_table(distances, (8, 9, 39, 40))["u"].tolist() == [1, 3, 3, 7]


def _dead(**changes) -> Record:
    record = make_record(**changes)
    return replace(record, metrics={**record.metrics, "degenerate": "it learned nothing"})


def test_runs_are_compared_with_the_same_run_under_clean():
    runs = [
        make_record(2.0, n=900, protocol=name, noise_seed=k) for k, name in enumerate(("paper", "clean", "released"))
    ]
    dead = [_dead(protocol=name, seed=1) for name in ("paper", "clean")]
    table = overlap.against_clean([*runs, *dead])
    assert table["protocol"].tolist() == ["paper", "released"]
    assert table.attrs["degenerate"] == 1
    paper, clean = (run.metrics["test"] for run in runs[:2])
    assert table.loc[0, "sensitivity_difference"] == pytest.approx(paper["sensitivity"] - clean["sensitivity"])
    assert table.loc[0, "auroc_clean"] == pytest.approx(clean["auroc"])
    assert "1." in overlap.pairs_sentence(table)
    assert "No pair" in overlap.pairs_sentence(overlap.against_clean(runs[:1]))


def test_regions_partition_the_image():
    pixels = np.full((2, 32, 32), 200, np.uint8)
    lungs = np.zeros((2, 32, 32), bool)
    lungs[:, 8:20, 4:12] = True
    border = probes.cover(pixels, "border only")
    assert (border[:, 4:28, 4:28] == 0).all()
    assert (border[:, :4] == 200).all()
    assert (border > 0).sum() == 2 * (32**2 - 24**2)
    hidden = probes.cover(pixels, "centre blacked out")
    assert (hidden == 0).sum() == 2 * 16**2
    assert (hidden[:, 8:24, 8:24] == 0).all()
    only, without = probes.cover(pixels, "lungs only", lungs), probes.cover(pixels, "lungs hidden", lungs)
    assert (only + without == pixels).all()
    assert ((only > 0) == lungs).all()
    assert (probes.cover(pixels, "whole image") == pixels).all()
    with pytest.raises(DataError, match="needs a lung mask"):
        probes.cover(pixels, "lungs only")


def test_phantoms_know_their_lungs():
    table = probes.phantoms(0.5, 4).assign(image_id="p", collection="phantom")
    assert has_mask(table).all()
    assert (lung_masks(table, 32) == masks(table["path"].tolist(), 32)[0]).all()


@pytest.mark.real_data
def test_published_masks_fit_their_images(real_data):
    rows = eligible(load_edition("open"))
    masked = rows[has_mask(rows)]
    assert len(masked) > 100
    assert set(masked["source"]) == {"ieee8023"}
    share = lung_masks(masked.head(20), 64).mean(axis=(1, 2))
    assert ((share > 0.05) & (share < 0.8)).all()
    with pytest.raises(DataError, match="no lung mask"):
        lung_masks(rows[~has_mask(rows)].head(1), 64)


def test_histograms_count_every_pixel():
    pixels = np.zeros((2, 16, 16), np.uint8)
    pixels[1, :8] = 255
    assert probes.histograms(pixels, 4).tolist() == [[1, 0, 0, 0], [0.5, 0, 0, 0.5]]


@pytest.fixture(scope="module")
def response() -> pd.DataFrame:
    return probes.known_confounding(load_edition("open"), per_class=60, levels=(0.0, 1.0))


@pytest.mark.slow
def test_probes_of_the_border_follow_the_confounding(response):
    label = response[response["target"] == "COVID-19"].set_index(["input", "confounding"])
    for name in ("border only", "histogram", "lungs hidden"):
        part = label.loc[name]
        assert part.loc[0.0, "bacc_low"] <= 0.5 <= part.loc[0.0, "bacc_high"], f"{name}: no shortcut, no skill"
        assert part.loc[1.0, "bacc"] > 0.8
    assert label["truth"].groupby("confounding").first().tolist() == [0.5, 1.0]


@pytest.mark.slow
def test_the_site_of_a_negative_is_told_where_there_are_two(response):
    site = response[(response["target"] == "site") & (response["input"] == "border only")].set_index("confounding")
    assert site.loc[0.0, "bacc_low"] > 0.7
    assert 1.0 not in site.index, "at full confounding every negative comes from one site"


def _made(effect: float, origin_effect: float) -> tuple[Samples, np.ndarray]:
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
    return Samples(np.zeros((n, 8, 8), np.uint8), label, table), x


def test_what_does_not_carry_over_shows_in_the_external_test():
    sample, x = _made(4.0, 0.0)
    table = external.external_table(sample, x).set_index(["train", "test"])
    assert table.loc[("a", "a"), "kind"] == "internal"
    assert table.loc[("a", "a"), "auroc"] > 0.95
    assert table.loc[("a", "b"), "kind"] == "external"
    assert table.loc[("a", "b"), "auroc"] < 0.05, "learned in a, reversed in b"
    assert table.loc[("all adults", "a"), "kind"] == "partly internal"
    means = table.groupby("kind")["auroc"].mean()
    assert means["internal"] > 0.9 > 0.1 > means["external"]


def test_a_component_of_the_test_set_is_never_trained_on():
    sample, x = _made(0.0, 0.0)
    table = sample.table.assign(component=np.r_[np.arange(60), np.arange(60)])  # every component lies in both
    with pytest.raises(DataError):
        external.external_table(Samples(sample.pixels[:0], sample.labels[:0], table.iloc[:0]), x[:0])
    found = external.external_table(Samples(sample.pixels, sample.labels, table), x)
    assert "external" not in set(found["kind"]), "nothing is left to train on"


@pytest.mark.parametrize(("effect", "told"), [(0.0, False), (3.0, True)])
def test_the_origin_probe_tells_only_what_there_is(effect, told):
    sample, x = _made(0.0, effect)
    table = probes.origin_probe({"whole image": x}, sample)
    (row,) = table.to_dict("records")
    assert row["chance"] == 0.5
    assert row["images"] == 60
    assert (row["bacc_low"] > row["chance"]) is told
    sentence = probes.origin_sentence(table.assign(panel=probes.PANELS[2]))
    assert ("can be told" in sentence) is told
    assert "one origin" in probes.origin_sentence(table.assign(panel="other"))


def test_the_mean_over_classes_resamples_components():
    values, groups = np.r_[np.zeros(50), np.ones(50)], np.r_[np.zeros(50), np.ones(50)]
    assert probes.mean_over_classes(values, np.zeros(100), groups) == (0.5, 0.0, 1.0), (
        "two components: it can be either"
    )
    assert probes.mean_over_classes(values, groups, groups) == (0.5, 0.5, 0.5), "within its class each is certain"
    _, low, high = probes.mean_over_classes(values, np.zeros(100), np.arange(100))
    assert 0.35 < low < 0.5 < high < 0.65


def test_the_sample_is_seeded_and_bounded(monkeypatch):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.02")
    rows = eligible(load_edition("phantom"))
    assert set(rows["origin"]) == {"site 0", "site 1"}
    first, again, other = (draw(rows, 10, seed) for seed in (0, 0, 1))
    assert first["image_id"].tolist() == again["image_id"].tolist() != other["image_id"].tolist()
    assert composition(first)["images"].max() <= 10
    loaded = load(first, open_store(first, 32))
    assert loaded.table["image_id"].tolist() == first["image_id"].tolist()
    assert (loaded.labels == (first["label"] == "covid")).all()
    with pytest.raises(DataError, match="one class"):
        draw(rows[rows["label"] == "covid"], 10, 0)


def _results() -> tuple[pd.DataFrame, ...]:
    measures = ["overall", "within_source", "within_projection", "source_among_negatives"]
    crossed = pd.DataFrame({
        "design": "cross-fitted", "sources": "all", "measure": measures, "value": [0.9, 0.55, 0.5, 0.95],
        "value_low": [0.85, 0.5, 0.4, 0.9], "value_high": [0.95, 0.6, 0.6, 0.97],
    })  # fmt: skip
    records = pd.DataFrame({
        "protocol": ["clean", "clean", "paper"], "runs": [3, 2, 9], "overall": [0.9, 0.8, 1], "within_source": [0.5, 0.6, 1],
    })  # fmt: skip
    crossing = pd.DataFrame(
        {"cohort": probes.COHORT, "protocol": ["paper", "clean"], "test_covid": [40, 40], "covid_overlap": [39, 0]}
    )
    seen = {"bacc": [0.9, 0.8], "bacc_low": [0.85, 0.7], "bacc_high": [0.95, 0.85]}
    probed = pd.DataFrame({"panel": probes.PANELS[0], "input": ["whole image", "border only"], **seen})
    return records, crossed, crossing, probed


def test_the_answer_follows_the_results():
    records, crossed, crossing, probed = _results()
    first, second = sources.source_sentence(records, crossed), probes.leak_sentence(crossing, probed)
    assert "more by the source than by the disease" in first
    assert "0.55 [0.50, 0.60] over pairs of one source" in first
    assert "in 5 runs recorded under the clean protocol the AUROC is 0.850 overall and 0.550" in first
    assert "39 of the 40" in second
    assert "0.800 [0.700, 0.850], more than chance" in second
    alone = pd.DataFrame({"source": ["a"], "positives": [9], "value": [0.63], "value_low": [0.5], "value_high": [0.7]})
    assert "In a the projection alone ranks with an AUROC of 0.63" in sources.projection_sentence(
        crossed.assign(sources="a"), alone
    )
    high = crossed.assign(value_high=0.99)
    assert "rank by both" in sources.source_sentence(records.iloc[:0], high)
    assert "no run recorded" in sources.source_sentence(records.iloc[:0], high)
    assert "no more than chance" in probes.leak_sentence(crossing, probed.assign(bacc_low=0.45))
    assert "130 + 130 for 0.6" in sources.power_sentence(237, 79)
