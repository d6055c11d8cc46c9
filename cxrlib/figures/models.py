"""Figures of the chapter on models: blocks, parameters by part and head, what each network sees and costs."""

from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from cxrlib.figures.style import MODEL_COLOURS, PALETTE, PAPER_COLOUR
from cxrlib.names import name
from cxrlib.networks.counting import BLOCKS, PAPER_COUNTS

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
    wide = table.assign(bar=table["model"].map(name) + heads).pivot_table(
        index="bar", columns="part", values="parameters", fill_value=0, sort=False
    )
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
