"""Figures and tables of the chapter on losses: each `plot_` function is paired with the one that makes its data."""

from collections.abc import Callable
from functools import partial
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from scipy.special import expit, logit
from torch import Tensor

from cxrlib.analysis.beta.theory import OVERLAPPING, fit_logistic
from cxrlib.figures.style import CLASS_COLOURS, PALETTE, by_weight, weight_ticks
from cxrlib.losses.weighted import cross_entropy, linear_probability_loss, mae, mse, weighted_cross_entropy
from cxrlib.paper.tables import TABLE_1, TABLE_2

CURVE_BETAS = (0.25, 0.5, 0.75, 1.0, 2.0, 4.0)
KERAS_EPSILON = 1e-7  # to which the released code clips probabilities
_Loss = Callable[[Tensor, Tensor], Tensor]  # of log-odds and labels, for every image by itself
EQUATIONS: dict[str, _Loss] = {
    "MSE, Eq. (1)": lambda z, y: _each(mse, z, y),
    "MAE, Eq. (2)": lambda z, y: _each(mae, z, y),
    "CE, Eq. (3)": partial(cross_entropy, reduction="none"),
    "released baseline": partial(linear_probability_loss, reduction="none"),
}


def equation_curves() -> pd.DataFrame:
    """Each unweighted loss of one positive image over its log-odds: loss, log_odds, probability, value, gradient (by them)."""
    z = np.linspace(-8, 8, 241)
    return pd.concat([_curve(loss, z, 1).assign(loss=name) for name, loss in EQUATIONS.items()], ignore_index=True)


def plot_equation_curves(curves: pd.DataFrame) -> Figure:
    """Left: the losses of a positive image over its predicted probability; right: how hard each pushes its log-odds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    dashes = dict(zip(EQUATIONS, ((1, 1), (4, 2), "", ""), strict=True))
    shared = {"hue": "loss", "style": "loss", "dashes": dashes, "errorbar": None}
    shown = curves.assign(pull=-curves["gradient"])[::-1]  # dashed lines on top
    sns.lineplot(shown, x="probability", y="value", **shared, ax=left)
    sns.lineplot(shown, x="log_odds", y="pull", **shared, legend=False, ax=right)
    left.set(xlabel="predicted probability of COVID", ylabel="loss of a COVID image", ylim=(0, 4), xlim=(0, 1))
    right.set(xlabel="log-odds of COVID", ylabel="downhill gradient by the log-odds")
    return figure


def beta_curves() -> pd.DataFrame:
    """Eq. (4) over the predicted probability, for a positive and a negative image and each beta.

    Columns: beta, label, log_odds, probability, value, gradient (by the log-odds).
    """
    z, loss = logit(np.linspace(0.005, 0.995, 199)), partial(weighted_cross_entropy, reduction="none")
    cases = product(CURVE_BETAS, (1, 0))
    parts = [_curve(partial(loss, beta=b), z, label).assign(beta=b, label=label) for b, label in cases]
    return pd.concat(parts, ignore_index=True)


def plot_beta_curves(curves: pd.DataFrame) -> Figure:
    """Eq. (4) and its gradient: COVID images above (every beta its own curve), non-COVID below (one curve for all)."""
    panels = {
        ("probability", "value"): {"xlabel": "p", "ylabel": "loss"},
        ("log_odds", "gradient"): {"xlabel": "log-odds of COVID", "ylabel": "gradient by the log-odds"},
    }
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.0), layout="constrained")
    for row, (label, title) in zip(axes, ((1, "COVID"), (0, "non-COVID")), strict=True):
        part = curves[curves["label"] == label]
        for axis, ((x, y), labels) in zip(row, panels.items(), strict=True):
            if label:
                sns.lineplot(part, x=x, y=y, **by_weight(part["beta"]), legend=y == "value", ax=axis)
            else:
                sns.lineplot(part, x=x, y=y, color="black", ax=axis)
            axis.set(title=title, **labels)
    for axis in axes[:, 0]:
        axis.set_ylim(0, 6)
    axes[0, 1].set_ylim(-4.2, 0)
    axes[1, 1].set_ylim(0, 4.2)
    return figure


def stability_table() -> pd.DataFrame:
    """Eq. (4) with beta = 1 for a non-COVID image that the network gets wrong by these log-odds, computed in three ways.

    Ways: "from logits" (this library), "as printed" (sigmoid, then log), "clipped" (the released code: the probability is
    clipped to 1e-7 from 0 and 1 first); for each the loss and its gradient by the log-odds, in float32. `exact` is the true
    loss; its gradient is 1, to within exp(-odds).
    """
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "from logits": lambda z: weighted_cross_entropy(z, torch.tensor([0]), 1.0),
        "as printed": lambda z: -(1 - z.sigmoid()).log().sum(),
        "clipped": lambda z: -(1 - z.sigmoid().clip(KERAS_EPSILON, 1 - KERAS_EPSILON)).log().sum(),
    }
    rows = []
    for size in (4, 20, 100):
        row = {"log-odds": float(size), "exact": float(np.logaddexp(0.0, size))}
        for name, way in ways.items():
            z = torch.tensor([float(size)], requires_grad=True)
            row[f"{name}: loss"] = (loss := way(z)).item()
            row[f"{name}: gradient"] = torch.autograd.grad(loss, z)[0].item()
        rows.append(row)
    return pd.DataFrame(rows)


def balance_table() -> pd.DataFrame:
    """The paper's training sets (Table I): the beta that would balance them, and the positives' share of the weight at 1 and 0.75."""
    cohorts = pd.DataFrame(TABLE_1)
    table = cohorts[cohorts["test_covid"].notna()][["cohort", "train_covid", "train_non_covid"]].reset_index(drop=True)
    positives, negatives = table["train_covid"], table["train_non_covid"]
    for beta in (1.0, 0.75):
        table[f"share at β = {beta:g}"] = beta * positives / (beta * positives + negatives)
    table["balancing β"] = negatives / positives
    return table.rename(columns={"train_covid": "COVID", "train_non_covid": "non-COVID"})


def printed_effect() -> pd.DataFrame:
    """Table II's pairs of rows that differ in beta alone: what 0.75 changes in the printed rates."""
    rows = pd.DataFrame(TABLE_2)
    keys = ["cohort", "model", "pretraining"]
    without, weighted = (rows[rows["beta"].isna() == none].set_index(keys) for none in (True, False))
    changes = {f"change in {name}": weighted[name] - without[name] for name in ("sensitivity", "specificity", "bacc")}
    return pd.DataFrame(changes).loc[without.index].reset_index()


def plot_overlapping(table: pd.DataFrame) -> Figure:
    """Left: the two classes with each fitted boundary; right: the threshold on eta beside 1 / (1 + beta)."""
    betas, colours = table["beta"], sns.color_palette("viridis", len(table))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    x, beta = np.linspace(-4, 4, 401), np.geomspace(betas.min(), betas.max(), 200)
    for positive, name, label in ((True, "covid", "positive"), (False, "non_covid", "negative")):
        left.fill_between(x, OVERLAPPING.density(x, positive), color=CLASS_COLOURS[name], alpha=0.25)
        left.plot(x, OVERLAPPING.density(x, positive), color=CLASS_COLOURS[name], label=label)
    for colour, row in zip(colours, table.itertuples(), strict=True):
        left.axvline(row.fitted_boundary, color=colour, linestyle="--" if row.beta == 1 else "-", lw=1.5)
    left.set(xlabel="x", ylabel="density times prevalence", ylim=(0, None))
    right.plot(beta, 1 / (1 + beta), color="black", label="1 / (1 + β)")
    right.scatter(betas, table["fitted_threshold"], c=colours, zorder=3, label="population")
    right.scatter(betas, table["sample_threshold"], marker="x", color=PALETTE["grey"], zorder=3, label="sample")
    right.set(xlabel="β", ylabel="posterior at the fitted boundary", ylim=(0, 1))
    weight_ticks(right, betas)
    for axis in (left, right):
        axis.legend()
    return figure


def separable_curves(x: npt.ArrayLike, labels: npt.ArrayLike) -> pd.DataFrame:
    """The fitted q(x) of each beta on separable data, around the gap: beta, x, q."""
    near = np.linspace(-1.5, 1.5, 301)
    fits = {beta: fit_logistic(x, labels, beta, ridge=1e-5) for beta in CURVE_BETAS}
    parts = [pd.DataFrame({"beta": beta, "x": near, "q": expit(a * near + b)}) for beta, (a, b) in fits.items()]
    return pd.concat(parts, ignore_index=True)


def plot_separable(curves: pd.DataFrame, x: npt.ArrayLike, labels: npt.ArrayLike) -> Figure:
    """Separable points (ticks) and the fitted probability for each beta: the curves all cross 1/2 in the gap."""
    points, truth = np.asarray(x), np.asarray(labels)
    figure, axis = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    sns.lineplot(curves, x="x", y="q", **by_weight(curves["beta"]), ax=axis)
    for label, name, height in ((1, "covid", 1.06), (0, "non_covid", -0.06)):
        inside = points[(truth == label) & (np.abs(points) <= curves["x"].max())]
        axis.plot(inside, np.full(len(inside), height), "|", color=CLASS_COLOURS[name], ms=9)
    axis.axhline(0.5, color=PALETTE["grey"], lw=0.8)
    axis.set(xlabel="x", ylabel="fitted probability q", ylim=(-0.12, 1.12))
    return figure


def _curve(loss: _Loss, z: npt.NDArray[np.float64], label: int) -> pd.DataFrame:
    odds = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    value = loss(odds, torch.full((len(z),), label))
    (gradient,) = torch.autograd.grad(value.sum(), odds)
    columns = {"log_odds": odds, "probability": odds.sigmoid(), "value": value, "gradient": gradient}
    return pd.DataFrame({name: tensor.detach().numpy() for name, tensor in columns.items()})


def _each(loss: Callable[[Tensor, Tensor], Tensor], z: Tensor, y: Tensor) -> Tensor:
    """A batch mean's value for every sample by itself."""
    return torch.stack([loss(p[None], t[None]) for p, t in zip(z.sigmoid(), y, strict=True)])
