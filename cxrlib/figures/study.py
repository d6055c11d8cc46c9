"""Figures of chapters 11 to 13: data of one's own, the whole study, the benchmark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.figures.style import CLASS_COLOURS, PALETTE, WIDE, intervals
from cxrlib.names import name


def plot_division(counts: pd.DataFrame) -> Figure:
    """Images of each part and class; `counts` as `Division.counts` gives them."""
    figure, axis = plt.subplots(figsize=WIDE)
    sns.barplot(counts, x="part", y="images", hue="label", palette=CLASS_COLOURS, errorbar=None, ax=axis)
    for bars in axis.containers:
        axis.bar_label(bars)  # type: ignore[arg-type]
    axis.set(xlabel="part", ylabel="images")
    axis.legend(title=None)
    return figure


def plot_association(table: pd.DataFrame) -> Figure:
    """Balanced accuracy of each attribute that is no picture; `table` as `data.check.association` gives it."""
    figure, axis = plt.subplots(figsize=(8.0, 3.2))
    sns.barplot(table, y="attribute", x="bacc", color=PALETTE["sky"], ax=axis)
    if len(table):
        axis.axvline(float(table["chance"].iloc[0]), color=PALETTE["red"], linestyle="--", label="99 % of chance")
        axis.legend(loc="lower right")
    axis.axvline(0.5, color=PALETTE["grey"])
    axis.set(xlim=(0, 1), xlabel="balanced accuracy of the label guessed without the picture", ylabel="")
    return figure


def plot_against_baseline(table: pd.DataFrame) -> Figure:
    """Network beside thumbnail baseline with 95 % intervals; `table` as `new_data.report.against_baseline` gives it."""
    figure, axis = plt.subplots(figsize=WIDE)
    shown = table.rename(columns={"low": "value_low", "high": "value_high"})
    for shift, (who, rows) in zip((-0.1, 0.1), shown.groupby("by", sort=False), strict=False):
        intervals(axis, rows, "value", np.arange(len(rows)) + shift, upright=True, capsize=4, label=str(who))
    metrics = table["metric"].unique()
    axis.set_xticks(range(len(metrics)), metrics)
    axis.set(ylim=(-0.02, 1.02), ylabel="on the test part")
    axis.legend()
    return figure


def plot_cost(costs: pd.DataFrame, hours: pd.DataFrame) -> Figure:
    """Minutes of every recorded cell by network (`scaling.costs`), and hours of the grid by workers (`scaling.hours`)."""
    figure, (cells, grid) = plt.subplots(1, 2, figsize=(10.0, 3.8), layout="constrained")
    if len(costs):
        shown = costs.assign(minutes=costs["seconds"] / 60, network=costs["model"].map(name))
        cells.set_yscale("log")
        sns.swarmplot(shown, x="network", y="minutes", hue="machine", ax=cells, size=3, warn_thresh=1)
        sns.move_legend(cells, "lower center", bbox_to_anchor=(0.5, 1.1), title=None, fontsize="x-small")
        even = hours["hours"].iloc[0] * hours["workers"].iloc[0] / hours["workers"]
        grid.plot(hours["workers"], even, color=PALETTE["grey"], linestyle="--", label="work shared evenly")
        grid.plot(hours["workers"], hours["hours"], color=PALETTE["blue"], marker="o", label="and the longest chain")
        grid.set(xscale="log", yscale="log", xticks=hours["workers"], xticklabels=hours["workers"])
        grid.minorticks_off()
        grid.legend(fontsize="small")
    else:
        for axis in (cells, grid):
            axis.text(0.5, 0.5, "no run recorded", transform=axis.transAxes, ha="center")
    cells.set(xlabel="", ylabel="minutes", title="one recorded cell")
    grid.set(xlabel="workers, each as fast as the machines left", ylabel="hours", title="the whole grid, computed")
    return figure


SHOWN = 12  # recorded networks


def plot_results(table: pd.DataFrame) -> Figure:
    """AUROC over all images, within source and for the source, with 95 % intervals; `table` as `score.results_table` gives it.

    All submissions (red) and, of the recorded networks (blue), those with the highest AUROC.
    """
    rows = pd.concat([table[table["by"] == "submitted"], table[table["by"] == "recorded"].head(SHOWN)])
    rows = rows.assign(place=range(len(rows)))
    figure, axes = plt.subplots(1, 3, figsize=(13, 1.2 + 0.32 * len(rows)), sharey=True, layout="constrained")
    for axis, column in zip(axes, ("auroc", "within_source", "source_among_negatives"), strict=True):
        for by, part in rows.groupby("by"):
            intervals(axis, part, column, part["place"], color=PALETTE["red" if by == "submitted" else "blue"])
        axis.axvline(0.5, color=PALETTE["grey"], linestyle=":")
        axis.set_title(name(column), fontsize=10)
        axis.set_xlim(0.2, 1.02)
    axes[0].set_yticks(rows["place"], rows["name"].str.removeprefix("cpu-open-"), fontsize=8)
    axes[0].invert_yaxis()
    return figure
