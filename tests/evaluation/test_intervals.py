"""Intervals: Clopper-Pearson against binomial tails, the bootstrap against a plain loop."""

import time

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from cxrlib.evaluation.intervals import AREAS, bootstrap, clopper_pearson, weighted_auprc, weighted_auroc, weighted_bacc


def bootstrap_by_patient(labels, scores, groups, statistic, **settings):
    """One statistic's interval."""
    return bootstrap(labels, scores, groups, {"value": statistic}, **settings)["value"][1:]


def test_clopper_pearson_of_the_papers_forty():
    low, high = clopper_pearson([40, 39], 40)
    np.testing.assert_allclose(low, [0.912, 0.868], atol=5e-4)
    np.testing.assert_allclose(high, [1.0, 0.999], atol=5e-4)


def test_clopper_pearson_cuts_exact_tails():
    low, high = clopper_pearson(7, 40)
    assert binom.sf(6, 40, low) == pytest.approx(0.025)
    assert binom.cdf(7, 40, high) == pytest.approx(0.025)


def test_no_trials_say_nothing():
    low, high = clopper_pearson([0, 0, 5], [0, 5, 5])
    assert low[:2].tolist() == [0.0, 0.0]
    assert high[0] == 1.0
    assert high[2] == 1.0
    assert 0 < low[2] < 1


def sample(size=300, patients=120, seed=0):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, patients, size)
    labels = (groups % 5 == 0).astype(int)
    return labels, np.round(generator.normal(size=size) + labels, 1), groups


def test_weighted_statistics_are_scikit_learns():
    labels, scores, _ = sample()
    weights = np.random.default_rng(1).integers(0, 3, (6, len(labels))).astype(np.float32)
    y = labels == 1
    theirs = {
        weighted_auroc: [roc_auc_score(y, scores, sample_weight=w) for w in weights],
        weighted_auprc: [average_precision_score(y, scores, sample_weight=w) for w in weights],
    }
    for ours, values in theirs.items():
        np.testing.assert_allclose(ours(y, scores, weights), values, rtol=1e-10)
    called = scores > 0.5
    values = [balanced_accuracy_score(y, called, sample_weight=w) for w in weights]
    np.testing.assert_allclose(weighted_bacc(y, called, weights), values, rtol=1e-10)


def test_a_draw_without_a_class_is_nan():
    y, scores = np.array([True, False, False]), np.array([0.9, 0.1, 0.2])
    weights = np.array([[0, 1, 2], [1, 0, 0], [1, 1, 1]], np.float32)
    for values in (
        weighted_auroc(y, scores, weights),
        weighted_auprc(y, scores, weights),
        weighted_bacc(y, scores > 0.5, weights),
    ):
        assert np.isnan(values).tolist() == [True, True, False]


def test_the_bootstrap_is_a_loop_over_patients():
    labels, scores, groups = sample()
    seen: list[np.ndarray] = []

    def spy(y, x, weights):
        seen.append(weights)
        return weighted_auroc(y, x, weights)

    low, high = bootstrap_by_patient(labels, scores, groups, spy, draws=200, seed=3)
    weights = np.concatenate(seen[:-1])  # the last are the data as they are
    assert weights.shape == (200, len(labels))
    for patient in np.unique(groups):  # a patient's images are drawn together
        assert (np.ptp(weights[:, groups == patient], axis=1) == 0).all()
    first = np.unique(groups, return_index=True)[1]
    positive = labels[first] == 1
    assert (weights[:, first][:, positive].sum(axis=1) == positive.sum()).all()
    assert (weights[:, first][:, ~positive].sum(axis=1) == (~positive).sum()).all()
    plain = [roc_auc_score(np.repeat(labels, w.astype(int)), np.repeat(scores, w.astype(int))) for w in weights]
    np.testing.assert_allclose([low, high], np.quantile(plain, [0.025, 0.975]), rtol=1e-10)


def test_the_bootstrap_agrees_with_theory_for_independent_images():
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], [400, 400])
    called = generator.random(800) < np.where(labels == 1, 0.8, 0.1)
    low, high = bootstrap_by_patient(
        labels, called, np.arange(800), lambda y, x, w: weighted_bacc(y, x > 0.5, w), draws=4000, seed=1
    )
    rates = called[:400].mean(), called[400:].mean()
    error = np.sqrt(sum(r * (1 - r) / 400 for r in rates)) / 2
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_same_seed_same_interval():
    labels, scores, groups = sample()
    one = bootstrap(labels, scores, groups, AREAS, seed=5)
    assert one == bootstrap(labels, scores, groups, AREAS, seed=5) != bootstrap(labels, scores, groups, AREAS, seed=6)
    assert one["auroc"][1:] == bootstrap_by_patient(labels, scores, groups, weighted_auroc, seed=5)
    assert one == bootstrap(labels, scores, [f"patient {g:03d}" for g in groups], AREAS, seed=5)


def test_a_missing_class_gives_nan():
    assert np.isnan(bootstrap_by_patient([1, 1], [0.1, 0.2], [0, 1], weighted_auroc)).all()
    mixed = [0, 0, 1]  # a draw of patient 1 alone lacks the negative, which shares patient 0 with a positive
    assert np.isnan(bootstrap_by_patient([1, 0, 1], [0.1, 0.2, 0.3], mixed, weighted_auroc)).all()


def test_a_thousand_draws_on_the_papers_test_set_take_seconds():
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], [40, 3000])
    scores, groups = generator.normal(size=3040) + labels, generator.integers(0, 2500, 3040)
    begun = time.process_time()
    bootstrap(labels, scores, groups, {**AREAS, "b": lambda y, x, w: weighted_bacc(y, x > 0.5, w)}, draws=1000)
    assert time.process_time() - begun < 10


def test_runs_are_drawn_with_the_components_and_widen_the_interval():
    rng = np.random.default_rng(0)
    labels, groups = np.r_[np.ones(30, int), np.zeros(70, int)], np.arange(100) // 2
    one = labels + rng.normal(size=100)
    other = labels + rng.normal(0, 3, size=100)
    first, second, both = (bootstrap(labels, x, groups, AREAS, 300)["auroc"] for x in (one, other, np.c_[one, other]))
    assert both[0] == pytest.approx((first[0] + second[0]) / 2)
    assert both[2] - both[1] > first[2] - first[1]
