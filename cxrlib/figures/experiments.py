"""Figures of chapters 5 and 6: one run, the whole of Table II, and the paper's claims as paired differences."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.analysis.effects import AS_PRINTED, CLAIMS
from cxrlib.analysis.experiments import confusion_table, curve_table, paper_row, row_name
from cxrlib.analysis.pairs import METRICS
from cxrlib.figures.style import (
    MODEL_COLOURS,
    PALETTE,
    PAPER_COLOUR,
    PROTOCOL_COLOURS,
    WIDE,
    intervals,
    legend_below,
    strip_panels,
)  # fmt: skip
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

_ROW = ["cohort", "model", "pretraining", "beta", "recipe"]


def plot_history(record: Record) -> Figure:
    """Training and validation loss by epoch, with the epoch the protocol keeps."""
    history = record.history.set_index(record.history["epoch"] + 1)
    kept = history.index[history["kept"]][0]
    figure, axis = plt.subplots(figsize=WIDE)
    losses = history.rename(columns={"train_loss": "training", "valid_loss": "validation"})
    losses[["training", "validation"]].plot(marker="o", xlabel="epoch", ylabel="loss", ylim=(0, None), ax=axis)
    axis.axvline(kept, color=PALETTE["grey"], linestyle="--", label=f"epoch {kept}, which is used")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    return figure


def plot_confusion(record: Record) -> Figure:
    """Confusion matrix: shaded by the share of its true class, labelled with counts."""
    counts = confusion_table(record)
    shares, bar = counts.div(counts.sum(axis=1), axis=0), {"label": "share of the true class"}
    figure, axis = plt.subplots(figsize=(5.0, 4.0))
    sns.heatmap(shares, annot=counts, fmt="d", cmap="Blues", vmin=0, vmax=1, cbar_kws=bar, ax=axis)
    return figure


def plot_curves(records: Sequence[Record]) -> Figure:
    """ROC and precision-recall curves of records: colour by protocol, of several the ones without a weight dotted.

    Of a single one also the operating points at 0.5, at the threshold tuned on validation data, and as printed.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), layout="constrained")
    single = len(records) == 1
    for record in records:
        c, points = record.config, curve_table(record)
        colour, dashes = (
            PROTOCOL_COLOURS.get(c.protocol, PALETTE["blue"]),
            ":" if c.beta is None and not single else "-",
        )
        style = {"color": colour, "linestyle": dashes}
        for axis, (title, drawn) in zip(axes, (("ROC", "default"), ("precision-recall", "steps-post")), strict=True):
            part = points[points["curve"] == title]
            axis.plot(part["x"], part["y"], drawstyle=drawn, label=f"{c.protocol}, β {beta_text(c.beta)}", **style)
            axis.set(title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for label, key, marker in (("threshold 0.5", "test", "o"), ("tuned on validation", "test_tuned", "s")):
        for record in records if single else ():
            m, style = record.metrics[key], {"color": PALETTE["red"], "mfc": "none", "ms": 9, "mew": 2}
            axes[0].plot(1 - m["specificity"], m["sensitivity"], marker, label=label, **style)
            if m["tp"] + m["fp"]:
                axes[1].plot(m["sensitivity"], m["tp"] / (m["tp"] + m["fp"]), marker, **style)
    if single and (row := paper_row(records[0].config)) is not None:
        axes[0].plot(1 - row.specificity, row.sensitivity, "x", color=PAPER_COLOUR, label="paper", ms=9, mew=2)
    axes[0].set(xlabel="1 - specificity", ylabel="sensitivity")
    axes[1].set(xlabel="recall (sensitivity)", ylabel="precision")
    legend_below(figure)
    return figure


def plot_table_2(table: pd.DataFrame) -> Figure:
    """Sensitivity, specificity, bACC and AUROC within source by row: points by protocol with intervals, crosses as printed.

    `table` comes from `analysis.experiments.table_2`; rows without a sound run under any protocol are left out.
    """
    sound = table[table["runs"] > table["degenerate"]]
    places, rows = pd.factorize(np.array([row_name(row) for row in sound.itertuples()], dtype=object))
    sound = sound.assign(place=places)
    metrics = ("sensitivity", "specificity", "bacc", "within_source")
    figure, axes = plt.subplots(1, 4, figsize=(12.0, 0.42 * len(rows) + 1.4), sharey=True, layout="constrained")
    for axis, metric in zip(axes, metrics, strict=True):
        for shift, (protocol, colour) in zip((-0.22, 0.0, 0.22), PROTOCOL_COLOURS.items(), strict=True):
            part = sound[sound["protocol"] == protocol]
            intervals(axis, part, metric, part["place"] + shift, color=colour, label=protocol)
        if metric == "within_source":
            axis.axvline(0.5, color="0.6", linewidth=1)
        else:
            first = sound.drop_duplicates("place")
            axis.plot(first[f"paper_{metric}"], first["place"], "x", color=PAPER_COLOUR, label="as printed")
        axis.set_title(name(metric), fontsize=10)
    axes[0].set_yticks(range(len(rows)), rows, fontsize=9)
    axes[0].invert_yaxis()
    legend_below(figure)
    return figure


def plot_plane(table: pd.DataFrame) -> Figure:
    """Sensitivity over specificity, a point a cell, crosses as printed, before lines of equal balanced accuracy."""
    sound, first = table[table["runs"] > table["degenerate"]], table.drop_duplicates(_ROW)
    figure, axis = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    for level in (0.5, 0.6, 0.7, 0.8, 0.9):
        axis.axline((1, 2 * level - 1), slope=-1, color="0.85", linewidth=0.8, zorder=0)
        axis.annotate(f"bACC {level:g}", (1.0, 2 * level - 1), fontsize=8, color="0.4", ha="right", va="bottom")
    shown, markers = (
        sound.assign(network=sound["model"].map(name)),
        dict(zip(map(name, MODEL_COLOURS), "so^D", strict=True)),
    )
    kinds = {"hue": "protocol", "palette": PROTOCOL_COLOURS, "style": "network", "markers": markers}
    sns.scatterplot(shown, x="specificity", y="sensitivity", **kinds, s=70, alpha=0.8, ax=axis)
    axis.plot(first["paper_specificity"], first["paper_sensitivity"], "x", color=PAPER_COLOUR, label="as printed")
    lowest = min([0.9, *sound["specificity"], *first["paper_specificity"].dropna()])
    axis.set(xlim=(lowest - 0.01, 1.003), ylim=(-0.03, 1.03))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def plot_histories(table: pd.DataFrame) -> Figure:
    """Validation loss by epoch, a panel a network and start: colour by protocol, dotted without the weight."""
    table = table.assign(epoch=table["epoch"] + 1)
    shared = {"x": "epoch", "y": "valid_loss", "hue": "protocol", "palette": PROTOCOL_COLOURS}
    lines = {"style": "weight", "dashes": {"0.75": "", "none": (1, 1)}, "units": "run", "estimator": None}
    free, size = {"sharex": False, "sharey": False}, {"height": 2.8, "aspect": 1.25}
    grid = sns.relplot(table, kind="line", **shared, **lines, col="panel", col_wrap=3, facet_kws=free, **size)
    for panel, axis in grid.axes_dict.items():
        kept = table[table["kept"] & (table["panel"] == panel)]
        sns.scatterplot(kept, **shared, s=20, legend=False, ax=axis)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid.set_axis_labels("epoch", "validation loss").set_titles("{col_name}")
    return grid.figure


def plot_effects(differences: pd.DataFrame, noise: pd.DataFrame) -> Figure:
    """Every paired difference by contrast: a point a pair, coloured by protocol, a bar at the mean.

    The grey band holds 95 % of the differences between two SqueezeNet runs that differ in their seed alone (`noise`: from
    `analysis.effects.retraining_noise`, protocol clean).
    """
    noise = noise[(noise["protocol"] == "clean") & (noise["model"] == "squeezenet")]
    bands = {name(row.metric): float(row.band) for row in noise.itertuples()}
    panels = {name(metric): differences[differences["metric"] == metric] for metric in METRICS}
    rows = differences["contrast"].unique().tolist()
    return strip_panels(panels, "contrast", rows, "protocol", PROTOCOL_COLOURS, bands)


def plot_claims(table: pd.DataFrame) -> Figure:
    """Paired differences by claim: one point a pair, coloured by origin (as printed, or a protocol of our records)."""
    labels = {}
    for claim in CLAIMS:
        sides = [beta_text(v) if claim.field == "beta" else name(v) for v in (claim.treated, claim.control)]
        where = f" ({', '.join(map(name, claim.where.values()))})" if claim.where else ""
        labels[claim.name] = f"{name(claim.metric)}: {claim.field.replace('beta', 'β')} {' − '.join(sides)}{where}"
    colours = {AS_PRINTED: PAPER_COLOUR} | PROTOCOL_COLOURS
    shown = table.assign(claim=table["claim"].map(labels))
    figure = strip_panels({"": shown}, "claim", list(labels.values()), "origin", colours)
    figure.set_figwidth(8.0)
    figure.axes[0].set_xlabel("difference in the metric")
    return figure
