"""Figures of the chapter on running the study: what a cell cost, and the grid on more GPUs."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.figures.style import PALETTE


def plot_costs(table: pd.DataFrame) -> Figure:
    """Wall time, training speed and peak memory of every recorded cell by network (`scaling.costs`)."""
    panels = {
        "minutes": ("wall_s", 60.0),
        "training images a second": ("images_per_s", 1.0),
        "peak memory (GiB)": ("peak_memory_mib", 1024.0),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(10.0, 3.4), layout="constrained")
    for axis, (label, (column, unit)) in zip(axes, panels.items(), strict=True):
        if len(table):
            values = table.assign(shown=table[column] / unit)
            sns.stripplot(values, x="model", y="shown", hue="machine", ax=axis, legend=axis is axes[0], size=6)
            axis.set_ylim(bottom=0)
        else:
            axis.text(0.5, 0.5, "no run recorded", transform=axis.transAxes, ha="center")
        axis.set(xlabel="", ylabel="", title=label)
    if len(table):
        sns.move_legend(axes[0], "best", title=None, fontsize="x-small")
    return figure


def plot_scaling(table: pd.DataFrame) -> Figure:
    """Hours for the grid over the number of GPUs, beside perfect division of the work (`scaling.scaling`)."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    if len(table):
        work = float(table["hours"].iloc[0]) * float(table["gpus"].iloc[0])
        axis.plot(
            table["gpus"], work / table["gpus"], color=PALETTE["grey"], linestyle="--", label="work shared evenly"
        )
        axis.plot(table["gpus"], table["hours"], color=PALETTE["blue"], marker="o", label="computed schedule")
        axis.set(xscale="log", yscale="log")
        axis.legend()
    else:
        axis.text(0.5, 0.5, "no run recorded: nothing to compute from", transform=axis.transAxes, ha="center")
    axis.set(xlabel="GPUs, each as fast as the machine of the records", ylabel="hours (computed, not run)")
    return figure
