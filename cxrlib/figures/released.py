"""Figures of the chapter on the released code: its loss, where it stops learning, and each factor's effect."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.released import FACTORS, METRICS, WEIGHTS
from cxrlib.figures.results import MODELS
from cxrlib.figures.style import PALETTE

_COLOURS = {
    "cross-entropy, Eq. (3)": PALETTE["blue"],
    "weighted, Eq. (4), β = 0.75": PALETTE["green"],
    "linear, as released": PALETTE["red"],
}


def plot_losses(table: pd.DataFrame) -> Figure:
    """Value and slope of the three losses over the log-odds of a COVID image (`released.loss_table`)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for axis, column in zip(axes, ("value", "slope"), strict=True):
        for name, part in table.groupby("loss", sort=False):
            axis.plot(part["logit"], part[column], color=_COLOURS[str(name)], label=name)
        axis.axvline(0, color=PALETTE["grey"], linewidth=1)
        axis.set(xlabel="log-odds of COVID for a COVID image", title=column)
    axes[0].legend(loc="upper right")
    return figure


def plot_learning_time(table: pd.DataFrame) -> Figure:
    """Time to unlearn a confident mistake, on a log scale (`released.learning_table`)."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    for name, part in table[table["start"] > 0].groupby("loss", sort=False):
        axis.plot(part["start"], part["time"], color=_COLOURS[str(name)], label=name)
    axis.set(yscale="log", xlabel="initial log-odds of the wrong class", ylabel="time to log-odds of 0 (gradient flow)")
    axis.legend()
    return figure


def plot_effects(pairs: pd.DataFrame) -> Figure:
    """Paired differences of each factor: a point a pair of runs, a panel a metric (`released.factor_pairs`)."""
    order = [factor.name for factor in FACTORS]
    figure, axes = plt.subplots(1, len(METRICS), figsize=(11.0, 3.4), sharey=True, layout="constrained")
    for axis, metric in zip(axes, METRICS, strict=True):
        part = pairs[pairs["metric"] == metric]
        if len(part):
            sns.stripplot(
                part, x="difference", y="factor", order=order, color=PALETTE["blue"], jitter=False, size=7, ax=axis
            )
        else:
            axis.text(0.5, 0.5, "no pair recorded", transform=axis.transAxes, ha="center")
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=metric, xlabel="treated − control", ylabel="", ylim=(len(order) - 0.5, -0.5))
        axis.set_yticks(range(len(order)), [name.replace(": ", ":\n", 1) for name in order])
    return figure


def plot_by_weight(table: pd.DataFrame) -> Figure:
    """Released minus paper, row by row, with and without the weight (`released.by_weight`)."""
    rows = table.assign(
        row=[f"{r.cohort} · {MODELS[r.model]} · {r.pretraining} · seed {r.seed}" for r in table.itertuples()]
    )
    order = sorted(set(rows["row"]))
    figure, axes = plt.subplots(
        1, len(METRICS), figsize=(11.0, 1.6 + 0.35 * max(len(order), 2)), sharey=True, layout="constrained"
    )
    marks = dict(zip(WEIGHTS.values(), ((PALETTE["red"], "o"), (PALETTE["green"], "s")), strict=True))
    for axis, metric in zip(axes, METRICS, strict=True):
        for weight, (colour, marker) in marks.items():
            part = rows[(rows["metric"] == metric) & (rows["weight"] == weight)]
            places = [order.index(row) for row in part["row"]]
            axis.plot(part["difference"], places, marker, color=colour, markerfacecolor="none", label=weight)
        axis.axvline(0, color="black", linewidth=1)
        axis.locator_params(axis="x", nbins=4)
        axis.set(title=metric, xlabel="released − paper", ylim=(max(len(order), 1) - 0.5, -0.5))
        axis.set_yticks(range(len(order)), order)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
