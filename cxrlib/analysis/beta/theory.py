"""A weight is a threshold: simulated classes with a known posterior, on which Eq. (4) is minimised in seconds.

Pointwise, Eq. (4) is smallest at logit q = logit eta + log beta, where eta is the true probability of the positive class and
q the prediction. So q > 1/2 means eta > 1 / (1 + beta): Elkan's (2001) threshold for a miss that costs beta times a false
alarm, wherever the model can represent the shift. On separable data eta is 0 or 1 and there is nothing to shift: the boundary
is decided by the penalty that keeps the weights finite. Post-hoc logit adjustment (Menon et al., 2021, their section 4.1, with
tau = 1) subtracts the log-odds of the training prevalence, and so decides as a weight of negatives over positives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit, logit
from scipy.stats import norm
from torch import Tensor

from cxrlib.evaluation.intervals import Floats
from cxrlib.losses.weighted import weighted_cross_entropy

Labels = npt.NDArray[np.int64]
BETAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
TOLERANCE = 1e-10  # how far the numerical pointwise minimiser of Eq. (4) may lie from the formula, in log-odds
FIT_TOLERANCE = 1e-5  # the same for a logistic model fitted to a whole population by quadrature


@dataclass(frozen=True)
class GaussianProblem:
    """Two Gaussian classes on a line, negatives N(-distance/2, 1) and positives N(distance/2, spread^2).

    prevalence: share of positives. With spread 1 the log-odds are a straight line, so a logistic model can be exactly
    right; with another they are a parabola, and it cannot.
    """

    distance: float
    prevalence: float
    spread: float = 1.0

    def density(self, x: npt.ArrayLike, positive: bool) -> Floats:
        """Density at x of one class, times that class's share."""
        share, sign, scale = (self.prevalence, 1, self.spread) if positive else (1 - self.prevalence, -1, 1.0)
        return share * norm.pdf(np.asarray(x, np.float64), sign * self.distance / 2, scale)

    def log_odds(self, x: npt.ArrayLike) -> Floats:
        """logit eta(x)."""
        points, half = np.asarray(x, np.float64), self.distance / 2
        squares = (points + half) ** 2 - ((points - half) / self.spread) ** 2
        return squares / 2 - np.log(self.spread) + float(logit(self.prevalence))

    def posterior(self, x: npt.ArrayLike) -> Floats:
        """eta(x), the probability of the positive class at x."""
        return expit(self.log_odds(x))

    def sample(self, size: int, seed: int, pixels: int = 1) -> tuple[Floats, Labels]:
        """A draw of `size` points, [size, pixels], and their labels; the distance is spread over the pixels evenly."""
        generator = np.random.default_rng(seed)
        labels = (generator.random(size) < self.prevalence).astype(np.int64)
        centre, scale = self.distance * (labels - 0.5) / pixels**0.5, np.where(labels, self.spread, 1.0)
        return generator.normal(centre[:, None], scale[:, None], (size, pixels)), labels

    def population(self, points: int = 4001) -> tuple[Floats, Labels, Floats]:
        """The whole distribution as weighted points x, label and weight, [2 points] each, on an even grid.

        It ends ten standard deviations beyond the means; sums over it are exact to rounding error.
        """
        reach = self.distance / 2 + 10 * max(self.spread, 1.0)
        x = np.linspace(-reach, reach, points)
        weights = np.concatenate([self.density(x, False), self.density(x, True)])
        return np.tile(x, 2), np.repeat([0, 1], points), weights / weights.sum()


OVERLAPPING, UNEQUAL = GaussianProblem(2.0, 0.3), GaussianProblem(1.0, 0.3, spread=2.5)


def moved(logits: npt.ArrayLike, beta: npt.ArrayLike) -> Floats:
    """Log-odds of an unweighted network with the threshold moved to 1 / (1 + beta): logits + log beta, to be cut at 0."""
    return np.asarray(logits, np.float64) + np.log(np.asarray(beta, np.float64))


def fit_linear(
    features: npt.ArrayLike, labels: npt.ArrayLike, loss: Callable[[Tensor, Tensor], Tensor], ridge: float = 0.0
) -> Floats:
    """Coefficients [D + 1], the intercept last, of the log-odds that minimise `loss` plus ridge/2 |slopes|^2.

    features: [N, D]; labels: [N]; loss: (log-odds float64 [N], labels) -> scalar, convex. Full-batch L-BFGS in float64.
    """
    x, y = torch.as_tensor(np.asarray(features, np.float64)), torch.as_tensor(np.asarray(labels, np.int64))
    w = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [w], max_iter=500, tolerance_grad=1e-11, tolerance_change=1e-15, history_size=20, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        value = loss(x @ w[:-1] + w[-1], y) + ridge / 2 * w[:-1].square().sum()
        value.backward()
        return value

    solver.step(objective)
    return w.detach().numpy().copy()


def fit_logistic(
    x: npt.ArrayLike, labels: npt.ArrayLike, beta: float, weights: npt.ArrayLike | None = None, ridge: float = 0.0
) -> tuple[float, float]:
    """Slope and intercept of the log-odds on a line that minimise Eq. (4) plus ridge/2 slope^2.

    x: [N] or [N, 1]; labels (0, 1): [N]; weights: what each point counts (default: 1/N). Separable data need a ridge.
    """
    points, y = np.asarray(x, np.float64).reshape(-1, 1), np.asarray(labels, np.int64)
    share = torch.full((len(y),), 1 / len(y)) if weights is None else torch.as_tensor(np.asarray(weights))
    loss = lambda z, target: (share * weighted_cross_entropy(z, target, beta, reduction="none")).sum()  # noqa: E731
    slope, intercept = fit_linear(points, y, loss, ridge)
    return float(slope), float(intercept)


def pointwise_minimiser(eta: npt.ArrayLike, beta: float) -> Floats:
    """The log-odds that minimise the expected Eq. (4) where the probability of COVID is eta, float [N] in (0, 1).

    Found by bisecting the automatic derivative of the loss in float64 on [-40, 40]; the formula is not used.
    """
    share = torch.as_tensor(np.asarray(eta, np.float64))
    low, high = torch.full_like(share, -40.0), torch.full_like(share, 40.0)
    ones, zeros = torch.ones_like(share, dtype=torch.int64), torch.zeros_like(share, dtype=torch.int64)
    for _ in range(60):
        z = ((low + high) / 2).requires_grad_()
        positive, negative = (weighted_cross_entropy(z, y, beta, reduction="none") for y in (ones, zeros))
        (slope,) = torch.autograd.grad((share * positive + (1 - share) * negative).sum(), z)
        middle = z.detach()
        low, high = torch.where(slope > 0, low, middle), torch.where(slope > 0, middle, high)
    return ((low + high) / 2).numpy()


def check_known_eta(betas: Sequence[float] = BETAS) -> pd.DataFrame:
    """Theory against numbers where eta is known, one row a beta.

    `pointwise`: the largest error of `pointwise_minimiser` on an even grid of eta, in log-odds; `fitted`: that of a logistic
    model fitted to the whole population, over four standard deviations; `fitted_threshold`: the eta where it says one half.
    """
    eta, near, (x, labels, weights) = np.linspace(0, 1, 201)[1:-1], np.linspace(-4, 4, 81), OVERLAPPING.population()
    rows = []
    for beta in betas:
        slope, intercept = fit_logistic(x, labels, beta, weights)
        pointwise = np.abs(pointwise_minimiser(eta, beta) - moved(logit(eta), beta)).max()
        fitted = np.abs(slope * near + intercept - moved(OVERLAPPING.log_odds(near), beta)).max()
        rows.append((beta, pointwise, fitted, 1 / (1 + beta), float(OVERLAPPING.posterior(-intercept / slope))))
    return pd.DataFrame(rows, columns=["beta", "pointwise", "fitted", "threshold", "fitted_threshold"])


def misspecified_table(betas: Sequence[float] = BETAS) -> pd.DataFrame:
    """The same fit where a straight line cannot be the log-odds: here beta is more than a threshold.

    One row a beta: the fitted slope, the boundary of the weighted fit and of the unweighted one with its threshold moved, and
    the share of the population that the two decide differently.
    """
    x, labels, weights = UNEQUAL.population()
    slope, intercept = fit_logistic(x, labels, 1.0, weights)
    rows = []
    for beta in betas:
        a, b = fit_logistic(x, labels, beta, weights)
        differ = (a * x + b > 0) != (moved(slope * x + intercept, beta) > 0)
        rows.append((beta, a, -b / a, float(-moved(intercept, beta) / slope), float(weights[differ].sum())))
    return pd.DataFrame(rows, columns=["beta", "slope", "boundary", "moved_boundary", "decided_differently"])


def overlapping_table(betas: Sequence[float] = BETAS, size: int = 20_000, seed: int = 0) -> pd.DataFrame:
    """What each beta does on overlapping classes, fitted to the population and to a sample, beside theory; a row a beta."""
    problem, rows = OVERLAPPING, []
    x, labels, weights = problem.population()
    drawn, truth = problem.sample(size, seed)
    of_class = [np.where(labels == c, weights, 0) / weights[labels == c].sum() for c in (0, 1)]
    for beta in betas:
        slope, intercept = fit_logistic(x, labels, beta, weights)
        a, b = fit_logistic(drawn[:, 0], truth, beta)
        boundary = -intercept / slope
        caught = x > boundary
        thresholds = 1 / (1 + beta), slope, problem.posterior(boundary), problem.posterior(-b / a), boundary
        rows.append((beta, *thresholds, of_class[1][caught].sum(), of_class[0][~caught].sum()))
    columns = ["beta", "theory_threshold", "slope", "fitted_threshold", "sample_threshold", "fitted_boundary"]
    return pd.DataFrame(rows, columns=[*columns, "sensitivity", "specificity"]).astype(float)


def separable_sample(size: int = 400, gap: float = 1.0, seed: int = 0) -> tuple[Floats, Labels]:
    """Points [size], 30 % positive, with an empty stretch of width `gap` around 0; the nearest of each class touches it."""
    labels = (np.arange(size) < round(0.3 * size)).astype(np.int64)
    away = np.random.default_rng(seed).exponential(size=size)
    for side in (0, 1):
        away[labels == side] -= away[labels == side].min()
    return (2 * labels - 1) * (gap / 2 + away), labels


def separable_table(x: npt.ArrayLike, labels: npt.ArrayLike, ridge: float = 1e-5) -> pd.DataFrame:
    """What each beta does on separable data: slope, boundary, where it lies in the gap (0 to 1), errors."""
    points, truth = np.asarray(x, np.float64), np.asarray(labels, np.int64)
    low, high = points[truth == 0].max(), points[truth == 1].min()
    fits = [(beta, *fit_logistic(points, truth, beta, ridge=ridge)) for beta in BETAS]
    table = pd.DataFrame(fits, columns=["beta", "slope", "b"])
    boundary = -table.pop("b") / table["slope"]
    errors = [int(((points > cut) != (truth == 1)).sum()) for cut in boundary]
    return table.assign(boundary=boundary, place=(boundary - low) / (high - low), errors=errors)
