"""The weight as a threshold where the probability is known: what theory says, found again by minimising Eq. (4)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from cxrlib.analysis.beta import theory
from cxrlib.analysis.beta.theory import (
    BETAS,
    OVERLAPPING,
    UNEQUAL,
    GaussianProblem,
    fit_linear,
    fit_logistic,
    overlapping_table,
    separable_sample,
    separable_table,
)
from cxrlib.losses.weighted import weighted_cross_entropy


def test_equivalence_holds_to_the_stated_tolerance():
    check = theory.check_known_eta()
    assert check["pointwise"].max() <= theory.TOLERANCE
    assert check["fitted"].max() <= theory.FIT_TOLERANCE
    assert (check["fitted_threshold"] - check["threshold"]).abs().max() <= theory.FIT_TOLERANCE


def test_a_wrong_loss_would_be_noticed(monkeypatch):
    real = theory.weighted_cross_entropy
    monkeypatch.setattr(theory, "weighted_cross_entropy", lambda z, y, b, reduction: real(z, y, b**1.001, reduction))
    assert theory.check_known_eta(betas=(0.25, 4.0))["pointwise"].min() > theory.TOLERANCE


def test_a_misspecified_model_parts_from_the_threshold():
    table = theory.misspecified_table((0.25, 1.0, 4.0)).set_index("beta")
    assert table.loc[1.0, "decided_differently"] == 0
    assert (table.loc[[0.25, 4.0], "decided_differently"] > 0.01).all()
    assert abs(table.loc[4.0, "slope"] - table.loc[1.0, "slope"]) > 0.05


@given(st.floats(0.01, 100))
def test_a_moved_logit_is_zero_at_the_weights_threshold(beta):
    assert float(theory.moved(logit(1 / (1 + beta)), beta)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("problem", [OVERLAPPING, UNEQUAL])
def test_the_posterior_is_bayes_rule(problem):
    x = np.linspace(-3, 3, 13)
    positive, negative = problem.density(x, True), problem.density(x, False)
    np.testing.assert_allclose(problem.posterior(x), positive / (positive + negative), rtol=1e-9)
    assert quad(lambda t: problem.density(t, True), -40, 40)[0] == pytest.approx(problem.prevalence)


def test_pixels_share_the_distance():
    x, labels = OVERLAPPING.sample(4000, seed=0, pixels=16)
    assert x.shape == (4000, 16)
    apart = x[labels == 1].mean(axis=0) - x[labels == 0].mean(axis=0)
    assert np.linalg.norm(apart) == pytest.approx(2.0, abs=0.1)
    assert labels.mean() == pytest.approx(OVERLAPPING.prevalence, abs=0.02)


def test_the_population_has_the_problems_moments():
    x, labels, weights = OVERLAPPING.population()
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 1].sum() == pytest.approx(OVERLAPPING.prevalence, rel=1e-9)
    assert (weights * x)[labels == 1].sum() / OVERLAPPING.prevalence == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("problem", [OVERLAPPING, GaussianProblem(3.0, 0.05)])
@pytest.mark.parametrize("beta", [0.25, 0.75, 4.0])
def test_the_population_boundary_is_the_theoretical_one(problem, beta):
    """Tolerance 1e-5 on the threshold and on the slope: the solver's, since the quadrature is exact."""
    x, labels, weights = problem.population()
    slope, intercept = fit_logistic(x, labels, beta, weights)
    assert float(problem.posterior(-intercept / slope)) == pytest.approx(1 / (1 + beta), abs=1e-5)
    assert slope == pytest.approx(problem.distance, abs=1e-5)


def test_the_fit_is_scikit_learns():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4 == 0
    x = rng.normal(size=(200, 5)) + 0.5 * y[:, None]
    ours = fit_linear(x, y.astype(int), lambda z, target: weighted_cross_entropy(z, target, 2.5), ridge=0.05)
    model = LogisticRegression(C=1 / (0.05 * len(x)), class_weight={0: 1.0, 1: 2.5}, tol=1e-10, max_iter=1000)
    model.fit(x, y.astype(int))
    np.testing.assert_allclose(ours, [*model.coef_[0], model.intercept_[0]], atol=1e-4)


def test_a_sample_comes_near_and_beta_trades_sensitivity_for_specificity():
    table = overlapping_table(size=5000, seed=0)
    assert table["beta"].tolist() == list(BETAS)
    assert (table["sample_threshold"] - table["theory_threshold"]).abs().max() < 0.06
    assert table["sensitivity"].is_monotonic_increasing and table["specificity"].is_monotonic_decreasing
    np.testing.assert_allclose(table["fitted_threshold"], table["theory_threshold"], atol=1e-5)
    few = [overlapping_table(betas=(0.75,), size=500, seed=seed)["sample_threshold"].item() for seed in (1, 1, 2)]
    assert few[0] == few[1] != few[2]


def test_on_separable_data_the_boundary_hardly_moves():
    x, labels = separable_sample(gap=1.0, seed=0)
    table = separable_table(x, labels)
    assert (table["errors"] == 0).all() and table["place"].between(0.4, 0.6).all()
    moved, overlapping = np.ptp(table["boundary"]), np.log(BETAS[-1] / BETAS[0]) / OVERLAPPING.distance
    assert moved < 0.1 * overlapping
    assert np.ptp(separable_table(x, labels, ridge=1e-8)["boundary"]) < 0.6 * moved  # and less the steeper the fit


def test_the_separable_sample_has_the_gap_it_names():
    x, labels = separable_sample(size=100, gap=0.8, seed=4)
    assert labels.sum() == 30
    assert (x[labels == 0].max(), x[labels == 1].min()) == pytest.approx((-0.4, 0.4))
