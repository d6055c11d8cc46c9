"""Figures of chapter 11, on data of one's own."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.figures.style import CLASS_COLOURS, PALETTE, WIDE, intervals


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
