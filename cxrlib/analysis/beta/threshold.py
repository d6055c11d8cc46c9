"""A weight is a threshold: the shift of the log-odds by log beta, checked where the probability is known.

Eq. (4) is smallest, pointwise, at logit q = logit eta + log beta, so q > 1/2 means eta > 1 / (1 + beta): Elkan's (2001)
threshold for a miss that costs beta times a false alarm. Post-hoc logit adjustment (Menon et al., 2021, their section 4.1,
with tau = 1) subtracts the log-odds of the training prevalence, and so decides as a weight of negatives over positives.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import logit

from cxrlib.analysis.simulated import BETAS, OVERLAPPING, UNEQUAL, Floats, GaussianProblem, fit_logistic
from cxrlib.errors import ParameterError
from cxrlib.losses.weighted import weighted_cross_entropy

TOLERANCE = 1e-10
"""How far the pointwise minimiser of Eq. (4), found numerically, may lie from the formula, in log-odds."""
FIT_TOLERANCE = 1e-5
"""The same for a logistic model fitted to a whole population by quadrature."""


def threshold(beta: npt.ArrayLike) -> Floats:
    """1 / (1 + beta): the threshold on the probability of COVID that the weight stands for; its inverse is (1 - t) / t."""
    return 1 / (1 + _positive(beta))


def moved(logits: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Log-odds of an unweighted network with the threshold moved: logits + log beta, to be cut at 0."""
    return np.asarray(logits, np.float64) + np.log(_positive(beta))


def pointwise_minimiser(eta: npt.ArrayLike, beta: float, steps: int = 60) -> Floats:
    """The log-odds that minimise the expected Eq. (4) where the probability of COVID is eta, found numerically.

    eta: float [N] in (0, 1). Bisects the derivative of `losses.weighted.weighted_cross_entropy`, taken by automatic
    differentiation in float64, on [-40, 40]; the formula is not used.
    """
    share = torch.as_tensor(np.asarray(eta, np.float64))
    low, high = torch.full_like(share, -40.0), torch.full_like(share, 40.0)
    ones, zeros = torch.ones_like(share, dtype=torch.int64), torch.zeros_like(share, dtype=torch.int64)
    for _ in range(steps):
        z = ((low + high) / 2).requires_grad_()
        positive, negative = (weighted_cross_entropy(z, y, beta, reduction="none") for y in (ones, zeros))
        (slope,) = torch.autograd.grad((share * positive + (1 - share) * negative).sum(), z)
        middle = z.detach()
        low, high = torch.where(slope > 0, low, middle), torch.where(slope > 0, middle, high)
    return ((low + high) / 2).numpy()


def check_known_eta(betas: Sequence[float] = BETAS, problem: GaussianProblem = OVERLAPPING) -> pd.DataFrame:
    """Theory against numbers where eta is known, one row a beta.

    `pointwise`: the largest error of `pointwise_minimiser` on an even grid of eta, in log-odds; `fitted`: the largest
    error of a logistic model's log-odds, fitted to the whole population by quadrature, over four standard deviations;
    `threshold` and `fitted_threshold`: 1 / (1 + beta) and the eta at which the fitted model says one half.
    """
    eta, near, (x, labels, weights) = np.linspace(0, 1, 201)[1:-1], np.linspace(-4, 4, 81), problem.population()
    rows = []
    for beta in betas:
        slope, intercept = fit_logistic(x, labels, beta, weights)
        row = {"beta": beta, "pointwise": np.abs(pointwise_minimiser(eta, beta) - moved(logit(eta), beta)).max()}
        row["fitted"] = np.abs(slope * near + intercept - moved(problem.log_odds(near), beta)).max()
        row |= {"threshold": float(threshold(beta)), "fitted_threshold": float(problem.posterior(-intercept / slope))}
        rows.append(row)
    return pd.DataFrame(rows)


def misspecified_table(betas: Sequence[float] = BETAS, problem: GaussianProblem = UNEQUAL) -> pd.DataFrame:
    """The same fit where a straight line cannot be the log-odds: here beta is more than a threshold.

    One row a beta: the fitted slope (theory would keep it at that of beta = 1), the boundary of the weighted fit, that of
    the unweighted fit with its threshold moved, and the share of the population that the two decide differently.
    """
    x, labels, weights = problem.population()
    slope, intercept = fit_logistic(x, labels, 1.0, weights)
    rows = []
    for beta in betas:
        a, b = fit_logistic(x, labels, beta, weights)
        cuts = {"boundary": -b / a, "moved_boundary": -(intercept + float(np.log(beta))) / slope}
        differ = (a * x + b > 0) != (moved(slope * x + intercept, beta) > 0)
        rows.append({"beta": beta, "slope": a, **cuts, "decided_differently": float(weights[differ].sum())})
    return pd.DataFrame(rows)


def _positive(beta: npt.ArrayLike) -> Floats:
    array = np.asarray(beta, np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ParameterError("beta must be positive and finite.")
    return array
