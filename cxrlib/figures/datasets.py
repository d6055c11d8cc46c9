"""Figures of the chapter on data; they draw the tables of `analysis.datasets`."""

from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from cxrlib.data.cohorts import COHORTS
from cxrlib.data.schema import LABELS
from cxrlib.figures.style import CLASS_COLOURS, PALETTE, PAPER_COLOUR, WIDE
from cxrlib.images.hashing import THRESHOLD
from cxrlib.images.store import ImageStore
from cxrlib.names import name

_KINDS = {"linked by the publisher": PALETTE["green"], "same patient": PALETTE["orange"], "unlinked": PALETTE["grey"]}
_LINKS = {
    "same picture": PALETTE["red"],
    "same patient": PALETTE["orange"],
    "other link": PALETTE["yellow"],
    "none": PALETTE["green"],
}


def plot_answer(links: pd.DataFrame, sources: pd.DataFrame) -> Figure:
    """Left: COVID-19 test images by what links them to training, a bar a cohort and protocol. Right: sources by label."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1.15, 1))
    bars = links.assign(bar=links["cohort"].map(lambda c: COHORTS[c].title) + ", " + links["protocol"])
    wide = bars.pivot_table(index="bar", columns="link", values="images", sort=False, fill_value=0)
    wide = wide.reindex(columns=list(_LINKS), fill_value=0)[::-1]
    table = sources.set_index("source")[list(LABELS)].sort_values(["covid", "non_covid"]).rename(columns=name)
    style = {"width": 0.75, "linewidth": 0}
    wide.plot.barh(stacked=True, color=_LINKS, ax=left, **style)
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
    ends = np.array([points[["width", "height"]].min().min(), points[["width", "height"]].max().max()])
    sns.scatterplot(points, x="width", y="height", hue="source", style="source", s=22, alpha=0.6, linewidth=0, ax=axis)
    axis.plot(ends, ends, color="black", linewidth=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="width [px]", ylabel="height [px]")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        scale.set_major_formatter(ScalarFormatter())
        scale.set_minor_locator(NullLocator())
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1.01, 1), title="", frameon=False)
    return figure


def plot_grey_levels(table: pd.DataFrame) -> Figure:
    """Mean histograms, a line a source, a panel a class."""
    grid = sns.relplot(
        table.assign(label=table["label"].map(name)), x="level", y="share", hue="source", style="source", col="label",
        kind="line", dashes=True, height=3.6, aspect=1.1,
    )  # fmt: skip
    grid.set(xlabel="grey level after min-max", ylabel="share of pixels")
    grid.set_titles("{col_name}")
    return grid.figure


def plot_class_balance(table_1: pd.DataFrame) -> Figure:
    """Training images per class of `datasets.table_1_beside_ours`: bars are its first protocol, black marks the paper."""
    ours = table_1[table_1["protocol"] == table_1["protocol"].iloc[0]].set_index("cohort")
    figure, axis = plt.subplots(figsize=(WIDE[0], 4.2))
    place = np.arange(len(ours))
    for shift, label, text in ((-0.2, "covid", "COVID-19 / diseased"), (0.2, "non_covid", "non-COVID / healthy")):
        axis.bar(place + shift, ours[f"train_{label}"].astype(int), 0.4, color=CLASS_COLOURS[label], label=text)
        axis.scatter(
            place + shift, ours[f"paper_train_{label}"].astype(int), marker="_", s=500, color=PAPER_COLOUR, zorder=3,
            label="the paper" if label == "covid" else None,
        )  # fmt: skip
    axis.set(yscale="log", xlabel="", ylabel="training images")
    titles = [COHORTS[cohort].title.replace(" + ", " +\n").replace(", ", ",\n") for cohort in ours.index]
    axis.set_xticks(place, titles, fontsize=8)
    axis.legend(frameon=False, ncols=3, loc="upper left", markerscale=0.5)
    axis.set_ylim(top=axis.get_ylim()[1] * 4)
    return figure


def plot_distances(distribution: pd.DataFrame) -> Figure:
    """Pairs of images at each Hamming distance, logarithmic, a line a kind; the threshold is marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    for kind, colour in _KINDS.items():
        part = distribution[(distribution["kind"] == kind) & (distribution["pairs"] > 0)]
        axis.plot(part["distance"], part["pairs"], ".-", color=colour, label=kind, markersize=4, linewidth=1)
    axis.axvline(THRESHOLD, color="black", linewidth=1, linestyle="--", label=f"threshold: {THRESHOLD} bits")
    axis.set(yscale="log", xlabel="Hamming distance of two 256-bit perceptual hashes", ylabel="pairs of images")
    axis.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return figure
