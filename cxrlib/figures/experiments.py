"""Figures of chapters 3, 5 and 6: the networks, one run, the whole of Table II, and the paper's claims as paired differences."""

from collections.abc import Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
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
from cxrlib.networks.counting import BLOCKS, PAPER_COUNTS
from cxrlib.records.record import Record

_ROW = ["cohort", "model", "pretraining", "beta", "recipe"]
_PART_COLOURS = ("blue", "sky", "green", "red", "orange", "purple", "grey", "brown")


def plot_blocks(table: pd.DataFrame) -> Figure:
    """The three blocks of `block_table`, a panel each; the identity arc of a residual block on its right."""
    figure, axes = plt.subplots(1, len(BLOCKS), figsize=(10.2, 4.4), layout="constrained")
    for axis, (model, (title, _, rows, join)) in zip(axes, BLOCKS.items(), strict=True):
        axis.text(0, 0, "$x$", ha="center", va="center")
        for depth, part in table[table["model"] == model].groupby("row"):
            for x, layer in zip((-1.15, 1.15) if len(part) > 1 else (0.0,), part.itertuples(), strict=True):
                _arrow(axis, (x * depth / len(rows), -depth - 0.32 + 0.17 * (depth == 0)), (x, -depth - 0.68))
                colour = PALETTE["sky"] if layer.rate == 1 else PALETTE["orange"]
                box = FancyBboxPatch((x - 1, -depth - 1.3), 2, 0.6, "round,pad=0", fc=(*colour, 0.35), ec="black")
                axis.add_patch(box)
                rate = f", rate {layer.rate}" if layer.rate > 1 else ""
                text = f"{layer.kernel}×{layer.kernel}{rate}\n{layer.channels_in} → {layer.channels_out}"
                axis.text(x, -depth - 1, text, ha="center", va="center", fontsize="x-small")
                if depth == len(rows) - 1:
                    _arrow(axis, (x, -depth - 1.32), (0.1 * x, -depth - 1.8))
        last = -len(rows) - 1
        axis.text(0, last, join, ha="center", va="center", bbox={"boxstyle": "circle", "facecolor": "white"})
        _arrow(axis, (0, last - 0.2), (0, last - 0.7))
        if join == "+":
            axis.plot([0.2, 1.5, 1.5], [0, 0, last], color="black", linewidth=1.2)
            _arrow(axis, (1.5, last), (0.25, last))
            axis.text(1.6, last / 2, "$x$")
            axis.text(0.12, last - 0.5, "$H(x) = F(x) + x$", fontsize="small")
        axis.set(xlim=(-2.4, 2.4), ylim=(-4.9, 0.3), title=f"{name(model)}: {title}")
        axis.axis("off")
    return figure


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0})


def plot_parameters(table: pd.DataFrame) -> Figure:
    """Trainable parameters of the paper's networks by part, a bar a head, with its counts (`counting.counts_by_part`)."""
    table = table[table["model"].isin(BLOCKS)]
    heads = table["head"].map(lambda head: f", {name(head)}" + " head" * (head == "released"))
    bars = table.assign(bar=table["model"].map(name) + heads)
    wide = bars.pivot_table(index="bar", columns="part", values="parameters", fill_value=0, sort=False)
    order = sorted(wide, key=lambda part: -wide[part].max())
    colours = dict(zip(order, map(PALETTE.get, _PART_COLOURS * 2), strict=False))
    axis = (wide[order] / 1e6).plot.barh(stacked=True, color=colours, width=0.8, linewidth=0, figsize=(8.5, 3.6))
    for (what, printed, *_), label in zip(PAPER_COUNTS[:2], ("as printed", None), strict=True):
        place = wide.index.get_loc(f"{what}, released head")
        axis.plot(printed / 1e6, place, "x", color=PAPER_COLOUR, ms=9, mew=2, label=label)
    axis.invert_yaxis()
    axis.set(xlabel="trainable parameters, millions", ylabel="")
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return cast(Figure, axis.figure)


def plot_atrous(table: pd.DataFrame) -> Figure:
    """The pixels read at each rate, with the square they span (`atrous_table`)."""
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 3.0), layout="constrained")
    edges = {"xticks": np.arange(-4.5, 5), "yticks": np.arange(-4.5, 5), "xticklabels": [], "yticklabels": []}
    for axis, (rate, part) in zip(axes, table.groupby("rate"), strict=True):
        side = 2 * rate + 1
        axis.scatter(part["column"], part["row"], marker="s", s=170, color=PALETTE["blue"])
        axis.add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, edgecolor="black", linewidth=2))
        axis.set(title=f"rate {rate}: spans {side} x {side}", aspect="equal", **edges)
    return figure


def plot_field(table: pd.DataFrame, field: np.ndarray) -> Figure:
    """ACNN's receptive field in a frame of 256 pixels, the effective field as a map, and its share by distance."""
    size = 2 * int(table.loc[table["reached"], "distance"].max()) + 1
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.0, 3.6), layout="constrained")
    left.add_patch(Rectangle((0, 0), 256, 256, fill=False, edgecolor="black", linewidth=2))
    left.add_patch(Rectangle((128 - size / 2, 128 - size / 2), size, size, color=PALETTE["blue"], alpha=0.4))
    left.plot(128, 128, "k+")
    left.set(title=f"{size} of 256 pixels", aspect="equal", xlim=(-5, 261), ylim=(261, -5))
    middle.imshow(np.log10(np.maximum(field / field.max(), 1e-6)), cmap="viridis")
    middle.set(title="log10 of the mean gradient")
    for axis in (left, middle):
        axis.axis("off")
    right.plot(table["distance"], table["share within"], color=PALETTE["blue"])
    right.axvline((size - 1) / 2, color=PALETTE["grey"], linestyle="--")
    right.set(xlabel="half-width of the square, pixels", ylabel="share of the gradient within", ylim=(0, 1.02))
    return figure


def plot_cost(table: pd.DataFrame) -> Figure:
    """Parameters against multiply-accumulates an image, a point a network; its area grows with the activations kept."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    for row in table.itertuples():
        place = (row.parameters / 1e6, row.macs / 1e9)
        axis.scatter(*place, s=40 + row.activation_mib, color=MODEL_COLOURS[str(row.model)], alpha=0.7)
        axis.annotate(name(row.model), place, xytext=(10, 8), textcoords="offset points")
    axis.set(xscale="log", yscale="log", xlabel="trainable parameters, millions")
    axis.set_ylabel("multiply-accumulates an image, billions")
    axis.margins(0.25)
    return figure


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
        colour = PROTOCOL_COLOURS.get(c.protocol, PALETTE["blue"])
        style = {"color": colour, "linestyle": ":" if c.beta is None and not single else "-"}
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
    shown = sound.assign(network=sound["model"].map(name))
    markers = dict(zip(map(name, MODEL_COLOURS), "so^D", strict=True))
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
