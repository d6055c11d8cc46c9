"""Simulated data with a known posterior, on which Eq. (4) is minimised in seconds.

Pointwise, Eq. (4) weighs -beta eta log q - (1 - eta) log(1 - q), where eta is the true probability of the positive class
and q the prediction. Its minimum is at logit q = logit eta + log beta, so q = 1/2 where eta = 1 / (1 + beta): with the
decision rule q > 1/2 a weight is a choice of threshold on eta, wherever the model can represent the shift. On separable
data eta is 0 or 1 and there is nothing to shift: the boundary is decided by the penalty that keeps the weights finite.
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

from cxrlib.errors import ParameterError
from cxrlib.losses.weighted import weighted_cross_entropy

Floats = npt.NDArray[np.float64]
BETAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


def fit_linear(
    features: npt.ArrayLike, loss: Callable[[Tensor], Tensor], ridge: float = 0.0, start: Floats | None = None
) -> Floats:
    """Coefficients [D + 1], the intercept last, of the log-odds that minimise `loss` plus ridge/2 |slopes|^2.

    features: [N, D]; loss: log-odds float64 [N] -> scalar, convex; by full-batch L-BFGS in float64 from `start` (zeros).
    """
    x = torch.as_tensor(np.asarray(features, np.float64))
    w = torch.tensor(np.zeros(x.shape[1] + 1) if start is None else start.copy(), requires_grad=True)
    solver = torch.optim.LBFGS(
        [w], max_iter=500, tolerance_grad=1e-11, tolerance_change=1e-15, history_size=20, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        value = loss(x @ w[:-1] + w[-1]) + ridge / 2 * w[:-1].square().sum()
        value.backward()
        return value

    solver.step(objective)
    return w.detach().numpy().copy()


@dataclass(frozen=True)
class GaussianProblem:
    """Two Gaussian classes on a line, negatives N(-distance/2, 1) and positives N(distance/2, spread^2).

    prevalence: share of positives. With spread 1 the log-odds are a straight line, so a logistic model can be exactly
    right; with another they are a parabola, and it cannot.
    """

    distance: float
    prevalence: float
    spread: float = 1.0

    def __post_init__(self) -> None:
        if not (self.distance > 0 and 0 < self.prevalence < 1 and self.spread > 0):
            raise ParameterError(
                "simulated classes need a distance and a spread above 0 and a prevalence between 0 and 1."
            )

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

    def sample(self, size: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """A draw of `size` points and their labels, 1 for the positive class."""
        generator = np.random.default_rng(seed)
        labels = (generator.random(size) < self.prevalence).astype(np.int64)
        return generator.normal(self.distance * (labels - 0.5), np.where(labels, self.spread, 1.0)), labels

    def population(self, points: int = 4001) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """The whole distribution as weighted points x, label and weight, [2 points] each, on an even grid.

        The grid ends ten standard deviations beyond the means; on it the sums of these smooth integrands are exact to
        rounding error.
        """
        reach = self.distance / 2 + 10 * max(self.spread, 1.0)
        x = np.linspace(-reach, reach, points)
        weights = np.concatenate([self.density(x, False), self.density(x, True)])
        return np.tile(x, 2), np.repeat([0, 1], points), weights / weights.sum()


OVERLAPPING, UNEQUAL = GaussianProblem(2.0, 0.3), GaussianProblem(1.0, 0.3, spread=2.5)


def fit_logistic(
    x: npt.ArrayLike, labels: npt.ArrayLike, beta: float, weights: npt.ArrayLike | None = None, ridge: float = 0.0
) -> tuple[float, float]:
    """Slope and intercept of the log-odds on a line that minimise Eq. (4) plus ridge/2 slope^2.

    x: [N]; labels: [N], 0 or 1; weights: [N], how much each point counts (default: 1/N each). Separable data have no
    minimum without a ridge, the slope grows for ever: ParameterError.
    """
    points, y = np.asarray(x, np.float64), np.asarray(labels, np.int64)
    positive, negative = points[y == 1], points[y == 0]
    separable = (
        not len(positive) or not len(negative) or positive.min() >= negative.max() or positive.max() <= negative.min()
    )
    if ridge <= 0 and separable:
        raise ParameterError("separable data have no minimum of the cross-entropy: give a ridge above 0.")
    share = torch.full((len(y),), 1 / len(y)) if weights is None else torch.as_tensor(np.asarray(weights))
    target = torch.as_tensor(y)
    loss = lambda z: (share * weighted_cross_entropy(z, target, beta, reduction="none")).sum()  # noqa: E731
    slope, intercept = fit_linear(points[:, None], loss, ridge)
    return float(slope), float(intercept)


def overlapping_table(
    problem: GaussianProblem = OVERLAPPING, betas: Sequence[float] = BETAS, size: int = 20_000, seed: int = 0
) -> pd.DataFrame:
    """What each beta does on overlapping classes, fitted to the population and to a sample, beside theory; a row a beta."""
    x, labels, weights = problem.population()
    drawn, truth = problem.sample(size, seed)
    positive, rows = labels == 1, []
    for beta in betas:
        slope, intercept = fit_logistic(x, labels, beta, weights)
        of_sample = fit_logistic(drawn, truth, beta)
        caught = x > -intercept / slope
        row = {"beta": beta, "theory_threshold": 1 / (1 + beta), "slope": slope}
        row["fitted_threshold"] = float(problem.posterior(-intercept / slope))
        row["sample_threshold"] = float(problem.posterior(-of_sample[1] / of_sample[0]))
        row["fitted_boundary"] = -intercept / slope
        row["sensitivity"] = float(weights[positive & caught].sum() / weights[positive].sum())
        rows.append(row | {"specificity": float(weights[~positive & ~caught].sum() / weights[~positive].sum())})
    return pd.DataFrame(rows)


def separable_sample(
    size: int = 400, gap: float = 1.0, prevalence: float = 0.3, seed: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Points of two classes with an empty stretch of width `gap` around 0; the nearest of each class touches it."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(size) < round(prevalence * size)).astype(np.int64)
    away = generator.exponential(size=size)
    for side in (0, 1):
        away[labels == side] -= away[labels == side].min()
    return (2 * labels - 1) * (gap / 2 + away), labels


def separable_table(
    x: npt.ArrayLike, labels: npt.ArrayLike, betas: Sequence[float] = BETAS, ridge: float = 1e-5
) -> pd.DataFrame:
    """What each beta does on separable data: slope, boundary, where it lies in the gap (0 to 1), errors."""
    points, truth = np.asarray(x, np.float64), np.asarray(labels, np.int64)
    low, high = points[truth == 0].max(), points[truth == 1].min()
    table = pd.DataFrame(
        [(b, *fit_logistic(points, truth, b, ridge=ridge)) for b in betas], columns=["beta", "slope", "b"]
    )
    boundary = -table.pop("b") / table["slope"]
    errors = [int(((points > cut) != (truth == 1)).sum()) for cut in boundary]
    return table.assign(boundary=boundary, place=(boundary - low) / (high - low), errors=errors)
