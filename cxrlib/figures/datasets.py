"""Figures of the chapter on data; they draw the tables of `analysis.datasets`."""

from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from cxrlib.data.cohorts import COHORTS
from cxrlib.data.readers.base import LABELS
from cxrlib.figures.style import CLASS_COLOURS, PALETTE, PAPER_COLOUR, WIDE
from cxrlib.images.hashing import THRESHOLD
from cxrlib.images.store import ImageStore
from cxrlib.names import name

_KINDS = {"linked by the publisher": PALETTE["green"], "same patient": PALETTE["orange"], "unlinked": PALETTE["grey"]}
_LINKS = {"same picture": "red", "same patient": "orange", "other link": "yellow", "none": "green"}


def plot_answer(links: pd.DataFrame, sources: pd.DataFrame) -> Figure:
    """Left: COVID-19 test images by what links them to training, a bar a cohort and protocol. Right: sources by label."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1.15, 1))
    bars = links.assign(bar=links["cohort"].map(lambda c: COHORTS[c].title) + ", " + links["protocol"])
    wide = bars.pivot_table(index="bar", columns="link", values="images", sort=False, fill_value=0)
    wide = wide.reindex(columns=list(_LINKS), fill_value=0)[::-1]
    table = sources.set_index("source")[list(LABELS)].sort_values(["covid", "non_covid"]).rename(columns=name)
    style = {"width": 0.75, "linewidth": 0}
    wide.plot.barh(stacked=True, color=[PALETTE[colour] for colour in _LINKS.values()], ax=left, **style)
    table.plot.barh(color=[CLASS_COLOURS[label] for label in LABELS], ax=right, **style)
    left.set(xlabel="COVID-19 test images", ylabel="", title="In the training set as well?")
    left.set_yticklabels([shorten(text, 46, placeholder="…").replace(" + ", " +\n") for text in wide.index])
    right.set(xscale="symlog", xlabel="images", ylabel="", title="Label by source")
    for axis in (left, right):
        axis.tick_params(axis="y", labelsize=8)
        axis.legend(title="", frameon=False, ncols=2, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    figure.tight_layout()
    return figure


def plot_samples(rows: pd.DataFrame, store: ImageStore) -> Figure:
    """Fig. 1: a row of images for each class and source of `rows`, titled with class, source and licence."""
    groups = list(rows.groupby(["label", "source"]))
    width = max(len(group) for _, group in groups)
    figure, axes = plt.subplots(len(groups), width, figsize=(1.7 * width, 2.05 * len(groups)), squeeze=False)
    for line, ((label, source), group) in zip(axes, groups, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, image in zip(line, store.take(group["image_id"]), strict=False):
            axis.imshow(image, vmin=0, vmax=255)
        terms = sorted(group["licence"].unique())
        more = f" and {len(terms) - 1} more" if len(terms) > 1 else ""
        text = f"{name(label)} · {source} · {shorten(terms[0], 70, placeholder=' …')}{more}"
        line[0].set_title(text, fontsize=9, loc="left")
    figure.subplots_adjust(wspace=0.04, hspace=0.22, left=0, right=1, top=0.97, bottom=0)
    return figure


def plot_image_sizes(sizes: pd.DataFrame) -> Figure:
    """Width against height, both logarithmic, a colour a source; the diagonal is a square image."""
    figure, axis = plt.subplots(figsize=(7.0, 5.0))
    points = sizes.astype({"width": float, "height": float})
    sns.scatterplot(points, x="width", y="height", hue="source", style="source", s=22, alpha=0.6, linewidth=0, ax=axis)
    axis.axline((1000, 1000), (2000, 2000), color="black", linewidth=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="width [px]", ylabel="height [px]")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        scale.set_major_formatter(ScalarFormatter())
        scale.set_minor_locator(NullLocator())
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1.01, 1), title="", frameon=False)
    return figure


def plot_grey_levels(table: pd.DataFrame) -> Figure:
    """Mean histograms, a line a source, a panel a class."""
    shown, lines = table.assign(label=table["label"].map(name)), {"hue": "source", "style": "source"}
    grid = sns.relplot(shown, x="level", y="share", **lines, col="label", kind="line", height=3.6, aspect=1.1)
    return grid.set_axis_labels("grey level after min-max", "share of pixels").set_titles("{col_name}").figure


def plot_class_balance(table_1: pd.DataFrame) -> Figure:
    """Training images per class of `datasets.table_1_beside_ours`: bars are its first protocol, black marks the paper."""
    ours = table_1[table_1["protocol"] == table_1["protocol"].iloc[0]]
    titles = [COHORTS[cohort].title.replace(" + ", " +\n").replace(", ", ",\n") for cohort in ours["cohort"]]
    classes = {"covid": "COVID-19 / diseased", "non_covid": "non-COVID / healthy"}
    bars, marks = (
        ours[[f"{prefix}train_{label}" for label in classes]]
        .astype(int)
        .set_axis(titles)
        .set_axis(classes.values(), axis=1)
        for prefix in ("", "paper_")
    )
    figure, axis = plt.subplots(figsize=(WIDE[0], 4.2))
    bars.plot.bar(color=[CLASS_COLOURS[label] for label in classes], width=0.8, rot=0, fontsize=8, ax=axis)
    for shift, text in zip((-0.2, 0.2), marks, strict=True):
        label = "the paper" if shift < 0 else None
        axis.scatter(np.arange(len(marks)) + shift, marks[text], marker="_", s=500, color=PAPER_COLOUR, label=label)
    axis.set(yscale="log", xlabel="", ylabel="training images")
    axis.legend(frameon=False, ncols=3, loc="upper left", markerscale=0.5)
    axis.set_ylim(top=axis.get_ylim()[1] * 4)
    return figure


def plot_distances(distribution: pd.DataFrame) -> Figure:
    """Pairs of images at each Hamming distance, logarithmic, a line a kind; the threshold is marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    shown = distribution[distribution["pairs"] > 0]
    sns.lineplot(shown, x="distance", y="pairs", hue="kind", palette=_KINDS, marker=".", mew=0, linewidth=1, ax=axis)
    axis.axvline(THRESHOLD, color="black", linewidth=1, linestyle="--", label=f"threshold: {THRESHOLD} bits")
    axis.set(yscale="log", xlabel="Hamming distance of two 256-bit perceptual hashes", ylabel="pairs of images")
    axis.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return figure
