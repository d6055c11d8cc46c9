"""Two toy problems with a known posterior, on which Eq. (4) is solved live.

Pointwise, Eq. (4) weighs -beta eta log q - (1 - eta) log(1 - q), where eta is the true probability of the positive
class and q the prediction. Its minimum is at q = beta eta / (beta eta + 1 - eta), that is

    logit q = logit eta + log beta,    q = 1/2  <=>  eta = 1 / (1 + beta).

So beta shifts the log-odds by a constant: with the decision rule q > 1/2 it is a choice of threshold on eta, and
nothing else, wherever the model can represent the shift. On separable data eta is 0 or 1 and there is nothing to
shift: the boundary is decided by the penalty that keeps the weights finite.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor

from cxrlib.errors import ParameterError
from cxrlib.losses.weighted import weighted_cross_entropy

Floats = npt.NDArray[np.float64]
BETAS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


@dataclass(frozen=True)
class GaussianProblem:
    """Two classes, each a unit-variance Gaussian on a line: means -distance/2 and +distance/2.

    prevalence: share of positives. The posterior is logistic in x, so a logistic model can be exactly right:
    logit eta(x) = distance x + logit prevalence.
    """

    distance: float
    prevalence: float

    def __post_init__(self) -> None:
        if not self.distance > 0 or not 0 < self.prevalence < 1:
            raise ParameterError("a toy problem needs a distance above 0 and a prevalence between 0 and 1.")

    def posterior(self, x: npt.ArrayLike) -> Floats:
        """eta(x), the probability of the positive class at x."""
        return expit(self.log_odds(x))

    def log_odds(self, x: npt.ArrayLike) -> Floats:
        """logit eta(x)."""
        return self.distance * np.asarray(x, np.float64) + np.log(self.prevalence / (1 - self.prevalence))

    def density(self, x: npt.ArrayLike, positive: bool) -> Floats:
        """Density at x of one class, times that class's share."""
        mean, share = (self.distance / 2, self.prevalence) if positive else (-self.distance / 2, 1 - self.prevalence)
        return share * np.exp(-((np.asarray(x, np.float64) - mean) ** 2) / 2) / np.sqrt(2 * np.pi)

    def boundary(self, beta: float) -> float:
        """Where the minimiser of Eq. (4) says 1/2: eta(x) = 1 / (1 + beta)."""
        return float(-(np.log(beta) + np.log(self.prevalence / (1 - self.prevalence))) / self.distance)

    def sample(self, size: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """A draw of `size` points and their labels, 1 for the positive class."""
        generator = np.random.default_rng(seed)
        labels = (generator.random(size) < self.prevalence).astype(np.int64)
        return generator.normal(self.distance * (labels - 0.5)), labels

    def population(self, points: int = 2001) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """The whole distribution as weighted points: x, label and weight, [2 points] each.

        An even grid over eight standard deviations beyond each mean; on it the sums of these smooth integrands are
        exact to rounding error.
        """
        x = np.linspace(-self.distance / 2 - 8, self.distance / 2 + 8, points)
        weights = np.concatenate([self.density(x, False), self.density(x, True)])
        return np.tile(x, 2), np.repeat([0, 1], points), weights / weights.sum()


OVERLAPPING = GaussianProblem(distance=2.0, prevalence=0.3)


@dataclass(frozen=True)
class LogisticFit:
    """A logistic model on a line, log-odds = slope x + intercept, fitted with Eq. (4)."""

    slope: float
    intercept: float

    @property
    def boundary(self) -> float:
        """Where the model says 1/2."""
        return -self.intercept / self.slope

    def probability(self, x: npt.ArrayLike) -> Floats:
        """q(x)."""
        return expit(self.slope * np.asarray(x, np.float64) + self.intercept)


def fit_logistic(
    x: npt.ArrayLike, labels: npt.ArrayLike, beta: float, weights: npt.ArrayLike | None = None, ridge: float = 0.0
) -> LogisticFit:
    """Minimise Eq. (4) plus ridge/2 slope^2 over slope and intercept, by full-batch L-BFGS in float64.

    x: [N]; labels: [N], 0 or 1; weights: [N], how much each point counts (default: 1/N each). Separable data have no
    minimum without a ridge: the slope grows for ever. Raises ParameterError for them.
    """
    points, target = torch.as_tensor(np.asarray(x, np.float64)), torch.as_tensor(np.asarray(labels, np.int64))
    share = torch.full_like(points, 1 / len(points)) if weights is None else torch.as_tensor(np.asarray(weights))
    if ridge <= 0 and _separable(points, target):
        raise ParameterError("separable data have no minimum of the cross-entropy: give a ridge above 0.")
    coefficients = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [coefficients], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        losses = weighted_cross_entropy(coefficients[0] * points + coefficients[1], target, beta, reduction="none")
        value = (share * losses).sum() + ridge / 2 * coefficients[0] ** 2
        value.backward()
        return value

    solver.step(objective)
    return LogisticFit(*coefficients.detach().tolist())


def overlapping_table(
    problem: GaussianProblem = OVERLAPPING, betas: Sequence[float] = BETAS, size: int = 20_000, seed: int = 0
) -> pd.DataFrame:
    """What each beta does on the overlapping problem, fitted to the population and to a sample, beside theory.

    One row a beta: the threshold on eta and the boundary that theory gives, both fitted boundaries, the threshold on
    eta that the population's boundary implies, and the population's sensitivity and specificity there.
    """
    x, labels, weights = problem.population()
    drawn, truth = problem.sample(size, seed)
    rows = []
    for beta in betas:
        fitted = fit_logistic(x, labels, beta, weights)
        rows.append(
            {
                "beta": beta,
                "theory_threshold": 1 / (1 + beta),
                "fitted_threshold": float(problem.posterior(fitted.boundary)),
                "theory_boundary": problem.boundary(beta),
                "fitted_boundary": fitted.boundary,
                "sample_boundary": fit_logistic(drawn, truth, beta).boundary,
                "slope": fitted.slope,
                **_rates(x, labels, weights, fitted.boundary),
            }
        )
    return pd.DataFrame(rows)


def separable_sample(
    size: int = 400, gap: float = 1.0, prevalence: float = 0.3, seed: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Points of two classes with an empty stretch of width `gap` around 0 between them.

    The distance from the stretch is exponential with mean 1, and the nearest point of each class touches it.
    """
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
    rows = []
    for beta in betas:
        fitted = fit_logistic(points, truth, beta, ridge=ridge)
        wrong = int(((points > fitted.boundary) != (truth == 1)).sum())
        place = (fitted.boundary - low) / (high - low)
        rows.append({"beta": beta, "slope": fitted.slope, "boundary": fitted.boundary, "place": place, "errors": wrong})
    return pd.DataFrame(rows)


def _rates(x: Floats, labels: npt.NDArray[np.int64], weights: Floats, boundary: float) -> dict[str, float]:
    positive, called = labels == 1, x > boundary
    return {
        "sensitivity": float(weights[positive & called].sum() / weights[positive].sum()),
        "specificity": float(weights[~positive & ~called].sum() / weights[~positive].sum()),
    }


def _separable(x: Tensor, labels: Tensor) -> bool:
    positive, negative = x[labels == 1], x[labels == 0]
    if not len(positive) or not len(negative):
        return True
    return bool(positive.min() >= negative.max() or positive.max() <= negative.min())
