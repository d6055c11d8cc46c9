"""A weight is a threshold: the shift of the log-odds by log beta, checked where the probability is known.

Eq. (4) is smallest, pointwise, at logit q = logit eta + log beta, so q > 1/2 means eta > 1 / (1 + beta): Elkan's
(2001) threshold for a miss that costs beta times a false alarm. Post-hoc logit adjustment (Menon et al., 2021,
their section 4.1, with tau = 1) subtracts the log-odds of the training prevalence, and so decides as a weight of
negatives over positives would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit, logit

from cxrlib.analysis.toy import BETAS, OVERLAPPING, GaussianProblem, fit_logistic
from cxrlib.errors import ParameterError
from cxrlib.losses.weighted import weighted_cross_entropy

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-10
"""How far the pointwise minimiser of Eq. (4), found numerically, may lie from the formula, in log-odds."""
FIT_TOLERANCE = 1e-5
"""The same for a logistic model fitted to a whole population by quadrature."""


def threshold(beta: npt.ArrayLike) -> Floats:
    """1 / (1 + beta): the threshold on the probability of COVID that the weight stands for."""
    return 1 / (1 + _positive("beta", beta))


def weight(threshold_on_eta: npt.ArrayLike) -> Floats:
    """(1 - t) / t: the weight whose decisions at one half are those of threshold t on the probability."""
    t = np.asarray(threshold_on_eta, np.float64)
    if not ((t > 0) & (t < 1)).all():
        raise ParameterError("a threshold must lie between 0 and 1 for a weight to stand for it.")
    return (1 - t) / t


def moved(logits: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Log-odds of a plain network with the threshold moved: logits + log beta, to be cut at 0."""
    return np.asarray(logits, np.float64) + np.log(_positive("beta", beta))


def logit_adjusted(logits: npt.ArrayLike, prevalence: float, tau: float = 1.0) -> Floats:
    """Post-hoc logit adjustment (Menon et al., 2021): log-odds minus tau times those of the training prevalence."""
    if not 0 < prevalence < 1:
        raise ParameterError(f"prevalence = {prevalence} is not allowed: it must lie between 0 and 1.")
    return np.asarray(logits, np.float64) - tau * float(logit(prevalence))


def balancing_weight(prevalence: float) -> float:
    """Negatives over positives: the weight whose decisions logit adjustment with tau = 1 shares."""
    return float(np.exp(-logit(prevalence)))


def pointwise_minimiser(eta: npt.ArrayLike, beta: float, steps: int = 60) -> Floats:
    """The log-odds that minimise the expected Eq. (4) where the probability of COVID is eta, found numerically.

    eta: float [N] in (0, 1). Bisects the derivative of `cxrlib.losses.weighted.weighted_cross_entropy`, taken by automatic
    differentiation in float64, on [-40, 40]; the formula is not used.
    """
    share = torch.as_tensor(np.asarray(eta, np.float64))
    low, high = torch.full_like(share, -40.0), torch.full_like(share, 40.0)
    ones, zeros = torch.ones_like(share, dtype=torch.int64), torch.zeros_like(share, dtype=torch.int64)
    for _ in range(steps):
        z = ((low + high) / 2).requires_grad_()
        positive, negative = (weighted_cross_entropy(z, y, beta, reduction="none") for y in (ones, zeros))
        (slope,) = torch.autograd.grad((share * positive + (1 - share) * negative).sum(), z)
        rising = slope > 0
        middle = z.detach()
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return ((low + high) / 2).numpy()


def check_known_eta(
    betas: Sequence[float] = BETAS, problem: GaussianProblem = OVERLAPPING, points: int = 199
) -> pd.DataFrame:
    """Theory against numbers where eta is known, one row a beta.

    `pointwise`: the largest error of `pointwise_minimiser` on an even grid of eta, in log-odds; `fitted`: the largest
    error of a logistic model's log-odds, fitted to the whole population by quadrature, over four standard deviations;
    `threshold` and `fitted_threshold`: 1 / (1 + beta) and the eta at which the fitted model says one half.
    """
    eta = np.linspace(0, 1, points + 2)[1:-1]
    x, labels, weights = problem.population()
    near = np.linspace(-4, 4, 81)
    rows = []
    for beta in betas:
        fit = fit_logistic(x, labels, beta, weights)
        rows.append(
            {
                "beta": beta,
                "pointwise": float(np.abs(pointwise_minimiser(eta, beta) - moved(logit(eta), beta)).max()),
                "fitted": float(np.abs(fit.slope * near + fit.intercept - moved(problem.log_odds(near), beta)).max()),
                "threshold": float(threshold(beta)),
                "fitted_threshold": float(problem.posterior(fit.boundary)),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class UnequalProblem:
    """Two Gaussian classes of unequal spread on a line: the log-odds are a parabola, no straight line fits them.

    Negatives have mean 0 and standard deviation 1, positives mean `distance` and standard deviation `spread`.
    """

    distance: float = 1.0
    spread: float = 2.5
    prevalence: float = 0.3

    def log_odds(self, x: npt.ArrayLike) -> Floats:
        """logit eta(x)."""
        points = np.asarray(x, np.float64)
        difference = (points**2 - ((points - self.distance) / self.spread) ** 2) / 2
        return difference - np.log(self.spread) + float(logit(self.prevalence))

    def population(self, points: int = 4001) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """The whole distribution as weighted points x, label and weight, [2 points] each, on an even grid."""
        x = np.linspace(self.distance - 10 * self.spread, self.distance + 10 * self.spread, points)
        negative = np.exp(-(x**2) / 2)
        positive = np.exp(-(((x - self.distance) / self.spread) ** 2) / 2) / self.spread
        weights = np.concatenate([(1 - self.prevalence) * negative, self.prevalence * positive])
        return np.tile(x, 2), np.repeat([0, 1], points), weights / weights.sum()


UNEQUAL = UnequalProblem()


def misspecified_table(betas: Sequence[float] = BETAS, problem: UnequalProblem = UNEQUAL) -> pd.DataFrame:
    """The same population fit where a straight line cannot be the log-odds: here beta is more than a threshold.

    One row a beta: the fitted slope (theory would keep it at that of beta = 1), the boundary of the weighted fit,
    that of the plain fit with its threshold moved, and the share of the population that the two decide differently.
    """
    x, labels, weights = problem.population()
    plain = fit_logistic(x, labels, 1.0, weights)
    rows = []
    for beta in betas:
        fit = fit_logistic(x, labels, beta, weights)
        cut = -(plain.intercept + np.log(beta)) / plain.slope
        differ = (fit.probability(x) > 0.5) != (expit(moved(plain.slope * x + plain.intercept, beta)) > 0.5)
        rows.append(
            {
                "beta": beta,
                "slope": fit.slope,
                "boundary": fit.boundary,
                "moved_boundary": float(cut),
                "decided_differently": float(weights[differ].sum()),
            }
        )
    return pd.DataFrame(rows)


def _positive(name: str, value: npt.ArrayLike) -> Floats:
    array = np.asarray(value, np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ParameterError(f"{name} must be positive and finite.")
    return array
