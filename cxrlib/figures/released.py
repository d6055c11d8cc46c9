"""Figures of chapter 8: the released loss, where it stops learning, and each difference's effect."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.pairs import METRICS
from cxrlib.analysis.released import FACTORS
from cxrlib.figures.style import MODEL_COLOURS, PALETTE, strip_panels
from cxrlib.names import name

_COLOURS = {
    "cross-entropy, Eq. (3)": PALETTE["blue"],
    "weighted, Eq. (4), β = 0.75": PALETTE["green"],
    "linear, as released": PALETTE["red"],
}


def plot_losses(table: pd.DataFrame) -> Figure:
    """Value and slope of the three losses over the log-odds of a COVID image (`released.loss_table`)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for axis, column in zip(axes, ("value", "gradient"), strict=True):
        sns.lineplot(table, x="log_odds", y=column, hue="loss", palette=_COLOURS, legend=column == "value", ax=axis)
        axis.axvline(0, color=PALETTE["grey"], linewidth=1)
        axis.set(
            xlabel="log-odds of COVID for a COVID image", ylabel="", title="slope" if column == "gradient" else "value"
        )
    return figure


def plot_learning_time(table: pd.DataFrame) -> Figure:
    """Time to unlearn a confident mistake, on a log scale (`released.learning_table`)."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    sns.lineplot(table[table["start"] > 0], x="start", y="time", hue="loss", palette=_COLOURS, ax=axis)
    axis.set(yscale="log", xlabel="initial log-odds of the wrong class", ylabel="time to log-odds of 0 (gradient flow)")
    return figure


def plot_factors(differences: pd.DataFrame) -> Figure:
    """Paired differences of each factor, treated minus control, a point a pair of runs, a panel a metric (`released.factor_differences`)."""
    factors = [factor for factor in FACTORS if factor in set(differences["factor"])]
    rows = {factor: factor.replace(": ", ":\n", 1) for factor in factors}
    table = differences.assign(model=differences["model"].map(name), factor=differences["factor"].map(rows))
    panels = {name(metric): table[table["metric"] == metric] for metric in METRICS}
    colours = {name(model): colour for model, colour in MODEL_COLOURS.items()}
    figure = strip_panels(panels, "factor", list(rows.values()), "model", colours)
    for axis in figure.axes:
        axis.set_xlabel("treated − control")
    return figure


def plot_loss_effect(effect: pd.DataFrame) -> Figure:
    """Released minus paper without the weight and with it, a line a run, a panel a metric (`released.loss_effect`)."""
    figure, axes = plt.subplots(1, len(METRICS), figsize=(12.0, 3.4), layout="constrained")
    for axis, metric in zip(axes, METRICS, strict=True):
        lines = effect.loc[effect["metric"] == metric, ["without", "with"]].to_numpy().T
        axis.plot([0, 1], lines, marker="o", color=PALETTE["blue"], alpha=0.6)
        axis.axhline(0, color="black", linewidth=1)
        axis.set_xticks([0, 1], ["no β:\nlosses differ", "β 0.75:\nsame loss"], fontsize=9)
        axis.set(title=name(metric), xlim=(-0.3, 1.3))
    axes[0].set_ylabel("released − paper")
    return figure
