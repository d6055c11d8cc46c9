"""Toy problems: what theory says beta does, found again by minimising Eq. (4)."""

import numpy as np
import pytest
from scipy.integrate import quad

from cxrlib.analysis.toy import (
    BETAS,
    OVERLAPPING,
    GaussianProblem,
    fit_logistic,
    overlapping_table,
    separable_sample,
    separable_table,
)
from cxrlib.errors import ParameterError


def test_the_posterior_is_bayes_rule():
    x = np.linspace(-3, 3, 13)
    positive, negative = OVERLAPPING.density(x, True), OVERLAPPING.density(x, False)
    np.testing.assert_allclose(OVERLAPPING.posterior(x), positive / (positive + negative), rtol=1e-12)
    assert quad(lambda t: OVERLAPPING.density(t, True), -12, 12)[0] == pytest.approx(OVERLAPPING.prevalence)


def test_the_population_has_the_problems_moments():
    x, labels, weights = OVERLAPPING.population()
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 1].sum() == pytest.approx(OVERLAPPING.prevalence, rel=1e-9)
    assert (weights * x)[labels == 1].sum() / OVERLAPPING.prevalence == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("problem", [OVERLAPPING, GaussianProblem(1.0, 0.5), GaussianProblem(3.0, 0.05)])
@pytest.mark.parametrize("beta", [0.25, 0.75, 1.0, 4.0])
def test_the_population_boundary_is_the_theoretical_one(problem, beta):
    """Tolerance 1e-5 on the threshold and on the slope: the solver's, since the quadrature is exact."""
    x, labels, weights = problem.population()
    fitted = fit_logistic(x, labels, beta, weights)
    assert fitted.boundary == pytest.approx(problem.boundary(beta), abs=1e-5)
    assert float(problem.posterior(fitted.boundary)) == pytest.approx(1 / (1 + beta), abs=1e-5)
    assert fitted.slope == pytest.approx(problem.distance, abs=1e-5)
    grid = np.linspace(-2, 2, 9)
    eta = problem.posterior(grid)
    np.testing.assert_allclose(fitted.probability(grid), beta * eta / (beta * eta + 1 - eta), atol=1e-5)


def test_a_sample_comes_near():
    table = overlapping_table(betas=(0.25, 0.75, 4.0), size=20_000, seed=0)
    assert (table["sample_boundary"] - table["theory_boundary"]).abs().max() < 0.06
    again = overlapping_table(betas=(0.75,), size=2000, seed=1)["sample_boundary"].item()
    assert again == overlapping_table(betas=(0.75,), size=2000, seed=1)["sample_boundary"].item()
    assert again != overlapping_table(betas=(0.75,), size=2000, seed=2)["sample_boundary"].item()


def test_beta_trades_sensitivity_for_specificity():
    table = overlapping_table(size=200)
    assert table["beta"].tolist() == list(BETAS)
    assert table["sensitivity"].is_monotonic_increasing
    assert table["specificity"].is_monotonic_decreasing
    np.testing.assert_allclose(table["fitted_threshold"], table["theory_threshold"], atol=1e-5)


def test_on_separable_data_the_boundary_hardly_moves():
    x, labels = separable_sample(gap=1.0, seed=0)
    table = separable_table(x, labels)
    assert (table["errors"] == 0).all()
    assert table["place"].between(0.4, 0.6).all()
    moved = np.ptp(table["boundary"])
    overlapping = OVERLAPPING.boundary(BETAS[0]) - OVERLAPPING.boundary(BETAS[-1])
    assert moved < 0.1 * overlapping
    assert np.ptp(separable_table(x, labels, ridge=1e-8)["boundary"]) < 0.6 * moved  # and less the steeper the fit


def test_the_separable_sample_has_the_gap_it_names():
    x, labels = separable_sample(size=100, gap=0.8, prevalence=0.2, seed=4)
    assert labels.sum() == 20
    assert x[labels == 0].max() == pytest.approx(-0.4)
    assert x[labels == 1].min() == pytest.approx(0.4)


def test_separable_data_without_a_ridge_are_refused():
    x, labels = separable_sample()
    with pytest.raises(ParameterError, match="ridge"):
        fit_logistic(x, labels, 0.75)
    with pytest.raises(ParameterError, match="ridge"):
        fit_logistic(x, np.zeros_like(labels), 0.75)
    with pytest.raises(ParameterError, match="prevalence"):
        GaussianProblem(1.0, 1.0)
