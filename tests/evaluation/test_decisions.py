"""The arithmetic of costs and calibration, by counting and against libraries."""

import dcurves
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from cxrlib.evaluation import decisions


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y = (rng.random(400) < 0.25).astype(int)
    return y, np.round(rng.normal(1.5 * y - 1.2, 1.0), 2)  # rounded: with ties


@given(st.floats(-4, 4))
def test_operating_points_are_those_of_the_confusion_matrix(cut):
    rng = np.random.default_rng(3)
    y = (rng.random(120) < 0.3).astype(int)
    z = np.round(rng.normal(y, 1.0), 1)
    tp, fp = (z[y == 1] > cut).mean(), (z[y == 0] > cut).mean()
    assert decisions.Roc.of(y, z).at(cut) == pytest.approx((tp, 1 - fp))


def test_net_benefit_is_the_published_formula(predictions):
    y, z = predictions
    p, n = expit(z), len(y)
    table = decisions.decision_curve(y, p, [0.1, 0.25, 0.5])
    for row in table.itertuples():
        tp, fp = ((p >= row.threshold) & (y == 1)).sum(), ((p >= row.threshold) & (y == 0)).sum()
        odds = row.threshold / (1 - row.threshold)
        assert row.model == pytest.approx(tp / n - fp / n * odds)
        assert row.all == pytest.approx(y.mean() - (1 - y.mean()) * odds)
    assert (table["none"] == 0).all()


def test_decision_curves_are_a_librarys(predictions):
    y, z = predictions
    thresholds = np.array([0.05, 0.12, 0.3, 0.55, 0.8])
    ours = decisions.decision_curve(y, expit(z), thresholds)
    theirs = dcurves.dca(pd.DataFrame({"y": y, "p": expit(z)}), "y", ["p"], thresholds=thresholds)
    for ours_name, name in (("model", "p"), ("all", "all"), ("none", "none")):
        expected = theirs[theirs["model"] == name].sort_values("threshold")["net_benefit"]
        assert ours[ours_name].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-12)


def test_the_outlook_by_counting(predictions):
    y, z = predictions
    missed, alarmed = (y == 1) & (z <= 0), (y == 0) & (z > 0)
    shown = decisions.outlook(decisions.Roc.of(y, z), y.mean(), 1.0, y.mean(), 7, 2)
    assert (shown["fn"], shown["fp"]) == pytest.approx((1000 * missed.mean(), 1000 * alarmed.mean()))
    assert shown["cost"] == pytest.approx(1000 * (7 * missed.mean() + 2 * alarmed.mean()))
    assert shown["asked_beta"] == pytest.approx(3.5)


def test_cost_curve_is_the_lower_envelope(predictions):
    y, z = predictions
    roc = decisions.Roc.of(y, z)
    curve = decisions.cost_curve(roc).iloc[::20]
    for pc, best in zip(curve["pc"], curve["best"], strict=True):
        assert best == pytest.approx(
            min((1 - s) * pc + (1 - t) * (1 - pc) for s, t in zip(roc.sensitivity, roc.specificity, strict=True))
        )
    assert (curve["best"] <= curve["trivial"] + 1e-12).all()


def test_on_calibrated_probabilities_the_weight_asked_for_is_the_cheapest():
    t = np.linspace(0.005, 0.995, 100)  # one score a stratum of 200 images, calibrated by construction
    positives = np.round(200 * t).astype(int)
    y = np.concatenate([np.r_[np.ones(k, int), np.zeros(200 - k, int)] for k in positives])
    roc, trained = decisions.Roc.of(y, np.repeat(logit(t), 200)), float(y.mean())
    for prevalence, fn, fp in ((trained, 1, 1), (0.1, 10, 1), (0.7, 1, 3)):
        beta = decisions.outlook(roc, trained, 1.0, prevalence, fn, fp)["asked_beta"]
        shown = decisions.outlook(roc, trained, beta, prevalence, fn, fp)
        assert shown["asked_beta"] == beta and shown["cost"] == pytest.approx(shown["best_cost"], abs=1e-6)
        other = decisions.outlook(roc, trained, 30 * beta, prevalence, fn, fp)
        assert other["cost"] > shown["best_cost"] + 10


def test_ece_and_reliability_by_hand():
    y, p = np.array([0, 1, 1, 1]), np.array([0.11, 0.14, 0.81, 0.89])
    table = decisions.reliability(y, p)
    np.testing.assert_allclose(table.to_numpy(), [[2, 0.125, 0.5], [2, 0.85, 1.0]])
    assert decisions.expected_calibration_error(y, p) == pytest.approx(0.5 * 0.375 + 0.5 * 0.15)
    assert decisions.reliability(y, p, mass=True)["images"].tolist() == [1, 1, 1, 1]


def test_temperature_is_found_again_and_is_scikit_learns():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, 20_000)
    y = (rng.random(20_000) < expit(z)).astype(int)
    assert decisions.fit_temperature(y, 3 * z) == pytest.approx(3, rel=0.03)
    model = LogisticRegression().fit(z[:500, None], y[:500])
    scaled = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(z[:, None], y)
    ours = decisions.fit_temperature(y, model.decision_function(z[:, None]))
    expected = expit(model.decision_function(z[:5, None]) / ours)
    np.testing.assert_allclose(scaled.predict_proba(z[:5, None])[:, 1], expected, rtol=1e-3)
