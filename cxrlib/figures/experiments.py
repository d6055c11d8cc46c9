"""Figures of chapter 5: one run, and the whole of Table II."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.analysis.pairs import METRICS
from cxrlib.analysis.single_run import confusion_table, curve_table
from cxrlib.analysis.table_2 import paper_row, row_name
from cxrlib.figures.style import (
    NARROW,
    PALETTE,
    PAPER_COLOUR,
    PROTOCOL_COLOURS,
    WIDE,
    legend_below,
    points_with_ends,
    strip_panels,
)  # fmt: skip
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

MARKERS = {"resnet50": "o", "acnn": "^", "squeezenet": "s", "vgg19": "D"}
_ROW = ["cohort", "model", "pretraining", "beta", "recipe"]


def plot_history(record: Record) -> Figure:
    """Training and validation loss by epoch, with the epoch the protocol keeps."""
    history = record.history
    figure, axis = plt.subplots(figsize=WIDE)
    for column, label, colour in (("train_loss", "training", "blue"), ("valid_loss", "validation", "orange")):
        axis.plot(history["epoch"] + 1, history[column], marker="o", label=label, color=PALETTE[colour])
    kept = int(history.loc[history["kept"], "epoch"].iloc[0]) + 1
    axis.axvline(kept, color=PALETTE["grey"], linestyle="--", label=f"epoch {kept}, which is used")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axis.legend()
    return figure


def plot_confusion(record: Record) -> Figure:
    """Confusion matrix: shaded by the share of its true class, labelled with counts."""
    counts = confusion_table(record)
    shares = counts.div(counts.sum(axis=1), axis=0)
    figure, axis = plt.subplots(figsize=NARROW)
    sns.heatmap(
        shares, annot=counts, fmt="d", cmap="Blues", vmin=0, vmax=1, cbar_kws={"label": "share of the true class"}, ax=axis
    )  # fmt: skip
    return figure


def plot_curves(record: Record) -> Figure:
    """ROC and precision-recall curves with the operating points at 0.5 and at the threshold tuned on validation data."""
    figure, (left, right) = _curve_axes()
    _draw_curves(left, right, record, color=PALETTE["blue"])
    for label, key, marker in (("threshold 0.5", "test", "o"), ("tuned on validation", "test_tuned", "s")):
        m, style = record.metrics[key], {"color": PALETTE["red"], "mfc": "none", "ms": 9, "mew": 2}
        left.plot(1 - m["specificity"], m["sensitivity"], marker, label=label, **style)
        if m["tp"] + m["fp"]:
            right.plot(m["sensitivity"], m["tp"] / (m["tp"] + m["fp"]), marker, **style)
    if (row := paper_row(record.config)) is not None:
        left.plot(1 - row.specificity, row.sensitivity, "x", color=PAPER_COLOUR, label="paper", ms=9, mew=2)
    left.legend(loc="lower right")
    return figure


def plot_main_curves(records: Sequence[Record]) -> Figure:
    """ROC and precision-recall curves of several records: colour by protocol, solid with a weight, dotted without."""
    figure, (left, right) = _curve_axes()
    for record in records:
        c = record.config
        label = f"{c.protocol}, β {beta_text(c.beta)}"
        known = {line.get_label() for line in left.lines}
        style = {"color": PROTOCOL_COLOURS[c.protocol], "linestyle": ":" if c.beta is None else "-", "linewidth": 1.2}
        _draw_curves(left, right, record, label=None if label in known else label, **style)
    left.legend(loc="lower right", fontsize=9)
    return figure


def _curve_axes() -> tuple[Figure, tuple[plt.Axes, plt.Axes]]:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.4), layout="constrained")
    ends = (-0.02, 1.02)
    left.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity", xlim=ends, ylim=ends)
    right.set(title="precision-recall", xlabel="recall (sensitivity)", ylabel="precision", xlim=ends, ylim=ends)
    return figure, (left, right)


def _draw_curves(left: plt.Axes, right: plt.Axes, record: Record, label: str | None = None, **style: Any) -> None:
    points = curve_table(record)
    for axis, curve, drawn in ((left, "ROC", "default"), (right, "precision-recall", "steps-post")):
        part = points[points["curve"] == curve]
        axis.plot(part["x"], part["y"], drawstyle=drawn, label=label, **style)


def plot_table_2(table: pd.DataFrame) -> Figure:
    """Sensitivity, specificity, bACC and AUROC within source by row: points by protocol with intervals, crosses as printed.

    `table` comes from `analysis.table_2.table_2`; rows without a sound run under any protocol are left out.
    """
    sound = table[table["runs"] > table["degenerate"]]
    rows = list(dict.fromkeys(row_name(row) for row in sound.itertuples()))
    place = {row: len(rows) - 1 - k for k, row in enumerate(rows)}
    metrics = ("sensitivity", "specificity", "bacc", "within_source")
    figure, axes = plt.subplots(1, 4, figsize=(12.0, 0.42 * len(rows) + 1.4), sharey=True, layout="constrained")
    for axis, metric in zip(axes, metrics, strict=True):
        for k, (protocol, colour) in enumerate(PROTOCOL_COLOURS.items()):
            part = sound[sound["protocol"] == protocol]
            y = [place[row_name(row)] + 0.22 * (1 - k) for row in part.itertuples()]
            points_with_ends(axis, part[metric], part[f"{metric}_low"], part[f"{metric}_high"], y, color=colour)
        if metric != "within_source":
            first = sound.drop_duplicates(_ROW)
            y = [place[row_name(row)] for row in first.itertuples()]
            axis.plot(first[f"paper_{metric}"], y, "x", color=PAPER_COLOUR)
        else:
            axis.axvline(0.5, color="0.6", linewidth=1)
        axis.set_title(name(metric), fontsize=10)
    axes[0].set_yticks(list(place.values()), list(place), fontsize=9)
    legend_below(figure, PROTOCOL_COLOURS, printed=True)
    return figure


def plot_plane(table: pd.DataFrame) -> Figure:
    """Sensitivity over specificity, a point a cell: colour by protocol, marker by network, crosses as printed.

    Lines of equal balanced accuracy lie behind them.
    """
    sound = table[table["runs"] > table["degenerate"]]
    figure, axis = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    ends = np.array([0.0, 1.0])
    for level in (0.5, 0.6, 0.7, 0.8, 0.9):
        axis.plot(ends, 2 * level - ends, color="0.85", linewidth=0.8, zorder=0)
        axis.annotate(f"bACC {level:g}", (1.0, 2 * level - 1), fontsize=8, color="0.4", ha="right", va="bottom")
    for (protocol, model), part in sound.groupby(["protocol", "model"], sort=False):
        axis.plot(
            part["specificity"], part["sensitivity"], MARKERS[str(model)], color=PROTOCOL_COLOURS[str(protocol)],
            label=f"{protocol}, {name(model)}", mfc="none", ms=8, mew=1.6,
        )  # fmt: skip
    first = table.drop_duplicates(_ROW)
    axis.plot(first["paper_specificity"], first["paper_sensitivity"], "x", color=PAPER_COLOUR, label="as printed")
    lowest = min([0.9, *sound["specificity"], *first["paper_specificity"].dropna()])
    axis.set(xlabel="specificity", ylabel="sensitivity", xlim=(lowest - 0.01, 1.003), ylim=(-0.03, 1.03))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def histories(records: Sequence[Record]) -> pd.DataFrame:
    """Loss by epoch of records with the paper's weight or none: panel, protocol, weight, seed, epoch, losses, kept."""
    parts = [
        record.history.assign(
            panel=f"{name(record.config.model)}, {name(record.config.pretraining)}",
            protocol=record.config.protocol, weight=beta_text(record.config.beta), seed=record.config.seed,
        )
        for record in records
        if record.config.protocol in PROTOCOL_COLOURS and record.config.beta in (None, 0.75)
    ]  # fmt: skip
    columns = ["panel", "protocol", "weight", "seed", "epoch", "train_loss", "valid_loss", "kept"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def plot_histories(table: pd.DataFrame) -> Figure:
    """Validation loss by epoch, a panel a network and start: colour by protocol, dotted without the weight.

    Losses of different weights and protocols are not the same function, so that only the course of each line counts.
    """
    panels = sorted(table["panel"].unique())
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    size = (max(3.7 * columns, 6.5), 2.7 * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for (protocol, weight, _), line in table[table["panel"] == panel].groupby(["protocol", "weight", "seed"]):
            style = {"color": PROTOCOL_COLOURS[str(protocol)], "linestyle": ":" if weight == "none" else "-"}
            axis.plot(line["epoch"] + 1, line["valid_loss"], linewidth=0.9, **style)
            best = line[line["kept"]]
            axis.plot(best["epoch"] + 1, best["valid_loss"], "o", color=style["color"], ms=3)
        axis.set_title(panel, fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("validation loss", fontsize=10)
    legend_below(figure, PROTOCOL_COLOURS, {"β 0.75": "-", "no β": ":"})
    return figure


def plot_effects(differences: pd.DataFrame, noise: pd.DataFrame) -> Figure:
    """Every paired difference by contrast: a point a pair, coloured by protocol, a bar at the mean.

    The grey band holds 95 % of the differences between two SqueezeNet runs that differ in their seed alone (`noise`: from
    `analysis.effects.retraining_noise`, protocol clean).
    """
    noise = noise[(noise["protocol"] == "clean") & (noise["model"] == "squeezenet")]
    bands = {name(row.metric): float(row.band) for row in noise.itertuples()}
    panels = {name(metric): differences[differences["metric"] == metric] for metric in METRICS}
    rows = {contrast: contrast for contrast in differences["contrast"]}
    return strip_panels(panels, rows, "contrast", "protocol", PROTOCOL_COLOURS, bands)
