"""Metrics: against scikit-learn on random cases, against the paper's own rows, and where they are undefined."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from cxrlib.errors import DataError
from cxrlib.evaluation import metrics
from cxrlib.evaluation.metrics import gain, point_values, summary, tune_threshold
from cxrlib.paper import tables as paper

PROBABILITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.500001, 0.75, 0.9, 1.0]) | st.floats(0, 1)
CASES = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 1)), hnp.arrays(np.float64, n, elements=PROBABILITIES)
    )
)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_rates_equal_scikit_learns(case):
    y, p = case
    positive = (p > 0.5).astype(int)
    found = summary(y, p)
    (tn, fp), (fn, tp) = sk.confusion_matrix(y, positive, labels=[0, 1])
    assert tuple(found[name] for name in ("tp", "fn", "tn", "fp")) == (tp, fn, tn, fp)
    theirs = {
        "sensitivity": sk.recall_score(y, positive, zero_division=np.nan),
        "specificity": sk.recall_score(y, positive, pos_label=0, zero_division=np.nan),
        "precision": sk.precision_score(y, positive, zero_division=np.nan),
        "npv": sk.precision_score(y, positive, pos_label=0, zero_division=np.nan),
        "accuracy": sk.accuracy_score(y, positive),
        "ppcr": positive.mean(),
    }
    for name, value in theirs.items():
        assert (found[name] is None) == math.isnan(value) == (name in found["undefined"])
        assert found[name] is None or found[name] == pytest.approx(value, rel=1e-12)
    if 0 < y.sum() < len(y):
        assert found["bacc"] == pytest.approx(sk.balanced_accuracy_score(y, positive), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_summary_equals_scikit_learns_and_is_json(case):
    y, p = case
    found = summary(y, p, groups=np.arange(len(y)), draws=20)
    json.dumps(found, allow_nan=False)
    assert found["tp"] + found["fn"] + found["tn"] + found["fp"] == found["n"] == len(y)
    if 0 < y.sum() < len(y):
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(y, p))
        assert found["auprc"] == pytest.approx(sk.average_precision_score(y, p))
        assert found["auroc_low"] <= found["auroc_high"]
        assert found["sensitivity_low"] <= found["sensitivity"] <= found["sensitivity_high"]
    for name in (*metrics.RATES, *metrics.RANKED):
        assert (found[name] is None) == (name in found["undefined"])


def test_no_positives_is_none_with_a_reason_not_zero():
    found = summary([0, 0, 0], [0.1, 0.7, 0.2])
    for name in ("sensitivity", "bacc", "auroc", "auprc"):
        assert found[name] is None
        assert found[f"{name}_low"] is None
        assert found["undefined"][name] == "there are no positive images"
    assert found["specificity"] == pytest.approx(2 / 3)
    assert found["precision"] == 0.0
    assert summary([1, 1], [0.9, 0.2])["undefined"]["bacc"] == "there are no negative images"
    assert summary([], [])["undefined"]["accuracy"] == "there are no images"


def test_a_tie_at_the_threshold_is_non_covid():
    found = point_values([1, 0], [0.5, 0.5])
    assert tuple(found[name] for name in ("tp", "fn", "tn", "fp")) == (0, 1, 1, 0)


def test_scores_rank_where_probabilities_saturate():
    y, z = np.array([1, 0, 1, 0]), np.array([60.0, 50.0, 55.0, -3.0])
    p = 1 / (1 + np.exp(-z))
    assert summary(y, p)["auroc"] == pytest.approx(0.75)  # 50, 55 and 60 are all 1.0 as probabilities
    assert summary(y, p, scores=z)["auroc"] == 1.0


def test_groups_widen_the_interval_of_repeated_images():
    generator = np.random.default_rng(1)
    y = np.repeat(generator.integers(0, 2, 60), 8)
    p = 1 / (1 + np.exp(-(np.repeat(generator.normal(size=60), 8) + y)))
    alone, together = summary(y, p, groups=np.arange(480)), summary(y, p, groups=np.arange(480) // 8)
    width = [found["auroc_high"] - found["auroc_low"] for found in (alone, together)]
    assert width[1] > 2 * width[0]


def test_ppcr_as_defined_cannot_be_the_papers_column():
    rows = pd.DataFrame(paper.TABLE_2 + paper.BASELINES)
    tp, tn = rows["sensitivity"] * paper.TEST_COVID, rows["specificity"] * paper.TEST_NON_COVID
    total = paper.TEST_COVID + paper.TEST_NON_COVID
    defined = (tp + paper.TEST_NON_COVID - tn) / total
    assert defined.max() < 0.25 < rows["ppcr"].min()
    assert (((tp + tn) / total - rows["ppcr"]).abs() < 1.5e-4).sum() == 20


def test_the_papers_best_row_by_counts():
    row = paper.find_row("combined", "resnet50", "imagenet", 0.75)
    assert row is not None
    labels, probabilities = np.r_[np.ones(40), np.zeros(3000)], np.r_[np.ones(48), np.zeros(2992)]
    found = summary(labels, probabilities)
    assert found["bacc"] == pytest.approx(row.bacc, abs=5e-5) and found["accuracy"] == pytest.approx(row.ppcr, abs=5e-5)
    assert found["ppcr"] == pytest.approx(48 / 3040) and found["sensitivity_low"] == pytest.approx(0.912, abs=5e-4)


def test_gain_is_relative_and_reproduces_nineteen_of_twenty():
    rows = pd.DataFrame(paper.TABLE_2)
    computed = 100 * gain(rows["bacc"], rows["ppcr"])
    wrong = rows[np.abs(computed - rows["gain"]) > 0.0101]
    assert list(zip(wrong["cohort"], wrong["model"], wrong["pretraining"], strict=True)) == [
        ("combined", "resnet50", "chestxray")
    ]
    assert gain(paper.REFERENCE.bacc, paper.REFERENCE.ppcr) == 0.0


def test_a_tuned_threshold_sits_in_the_middle_of_the_best_gap():
    assert tune_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)
    assert tune_threshold([0, 1, 0, 1], [0.125, 0.375, 0.625, 0.875]) == 0.25  # 0.25 and 0.75 tie: the lower
    assert tune_threshold([0, 1, 0, 1], [0.125, 0.25, 0.625, 0.875]) == 0.75  # the wider plateau
    assert tune_threshold([1, 0], [0.0, 1.0]) == 1.0  # nothing better than calling all negative
    assert tune_threshold([0, 1], [0.3, 0.3 + 2**-54]) == 0.3  # neighbouring floats


@settings(max_examples=150, deadline=None)
@given(CASES)
def test_no_threshold_beats_the_tuned_one(case):
    y, p = case
    assume(0 < y.sum() < len(y))
    tuned = tune_threshold(y, p)
    assert 0 <= tuned <= 1
    tried = np.concatenate([p, [0.0, 1.0], (p[1:] + p[:-1]) / 2])
    best = max(point_values(y, p, threshold=at)["bacc"] for at in tried)
    assert point_values(y, p, threshold=tuned)["bacc"] == pytest.approx(best, abs=1e-12)


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match="labels must be"):
        summary([0, 2], [0.1, 0.2])
    with pytest.raises(DataError, match="not a number"):
        summary([0, 1], [0.1, np.nan])
    with pytest.raises(DataError, match="probabilities"):
        summary([0, 1], [0.1, 1.2])
    with pytest.raises(DataError, match="do not fit"):
        summary([0, 1], [0.1])
    with pytest.raises(DataError, match="scores"):
        summary([0, 1], [0.1, 0.2], scores=[1.0, np.inf])
    with pytest.raises(DataError, match="both classes"):
        tune_threshold([1, 1], [0.1, 0.2])
