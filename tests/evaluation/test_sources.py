"""Within one source, and the source among negatives: against counts of pairs by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxrlib.evaluation.sources import KEYS, source_among_negatives, within_source


def _made(seed: int = 0) -> pd.DataFrame:
    """A score that reads the source alone: a and b have both classes, c has negatives only."""
    generator = np.random.default_rng(seed)
    sources = np.repeat(["a", "b", "c"], [40, 20, 140])
    labels = np.where(sources == "c", 0, generator.random(200) < 0.6).astype(int)
    logit = 3.0 * (sources == "a") + 2.0 * (sources == "b") + generator.normal(size=200)
    return pd.DataFrame({"label": labels, "logit": logit, "source": sources, "component": np.arange(200)})


def test_pairs_of_one_source_are_compared_and_no_others():
    rows = _made()
    found = within_source(rows, draws=200)
    won = pairs = 0.0
    for _, part in rows[rows["source"] != "c"].groupby("source"):
        x, y = part["logit"].to_numpy(), part["label"].to_numpy()
        difference = x[y == 1][:, None] - x[y == 0][None]
        won, pairs = won + (difference > 0).sum() + (difference == 0).sum() / 2, pairs + difference.size
    assert tuple(found) == KEYS
    assert found["value"] == pytest.approx(won / pairs)
    assert found["low"] < found["value"] < found["high"]
    assert found["positives"] + found["negatives"] == 60, "the source without COVID-19 takes no part"
    assert found["sources"] == 2
    assert all(value is None or type(value) in (int, float) for value in found.values())


def test_a_score_that_reads_the_source_is_found_out():
    rows = _made()
    assert roc_auc_score(rows["label"], rows["logit"]) > 0.8
    assert within_source(rows, draws=200)["low"] < 0.5
    among, negative = source_among_negatives(rows, draws=200), rows[rows["label"] == 0]
    assert among["value"] == pytest.approx(roc_auc_score(negative["source"] != "c", negative["logit"]))
    assert among["low"] > 0.9
    assert (among["negatives"], among["sources"]) == (140, 2)


def test_images_of_one_patient_widen_the_interval():
    rows = (_made(), _made().assign(component=np.repeat(np.arange(50), 4)))
    alone, together = (within_source(part, draws=400) for part in rows)
    assert together["value"] == alone["value"]
    assert together["high"] - together["low"] != alone["high"] - alone["low"]


def test_nothing_to_compare_gives_none():
    rows = pd.DataFrame({"label": [1, 1, 0, 0], "logit": [4, 3, 2, 1], "source": list("aabb"), "component": range(4)})
    apart, among = within_source(rows), source_among_negatives(rows)
    assert (apart["value"], apart["low"], apart["sources"], apart["positives"]) == (None, None, 0, 0)
    assert (among["value"], among["positives"], among["negatives"]) == (None, 0, 2)


def test_several_seeds_are_averaged_and_widen_the_interval():
    rows = _made()
    scores = rows["logit"].to_numpy()
    other = scores + np.random.default_rng(1).normal(0, 3, 200)
    both = within_source(rows, np.c_[scores, other], draws=400)
    each = [within_source(rows, x, draws=400) for x in (scores, other)]
    assert both["value"] == pytest.approx(np.mean([found["value"] for found in each]))
    alike = within_source(rows, np.c_[scores, scores], draws=400)
    assert alike == each[0], "a seed that changes nothing changes no interval"
