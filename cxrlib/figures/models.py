"""Figures of the chapter on models: parameters by part, atrous sampling, what each network sees and costs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxrlib.figures.style import PALETTE, PAPER_COLOUR
from cxrlib.networks.classifier import TRUNKS, build_network
from cxrlib.networks.counting import PAPER_COUNTS, paper_counts
from cxrlib.networks.receptive_field import effective_field, receptive_field, share_within, support

NAMES = {"resnet50": "ResNet-50", "squeezenet": "SqueezeNet 1.1", "acnn": "ACNN", "vgg19": "VGG-19"}
_PART_COLOURS = ("blue", "sky", "green", "red", "orange", "purple", "grey", "brown")


def plot_parameters(table: pd.DataFrame) -> Figure:
    """Trainable parameters of each network by part, stacked, with the paper's counts (`counting.counts_by_part`)."""
    wide = table.pivot_table(index="model", columns="part", values="parameters", aggfunc="sum", fill_value=0)
    wide = wide.loc[[name for name in NAMES if name in wide.index]]
    figure, axis = plt.subplots(figsize=(8.5, 3.6))
    left = np.zeros(len(wide))
    for part, colour in zip(sorted(wide, key=lambda name: -wide[name].max()), _PART_COLOURS * 2, strict=False):
        axis.barh([NAMES[m] for m in wide.index], wide[part] / 1e6, left=left, color=PALETTE[colour], label=part)
        left += wide[part].to_numpy() / 1e6
    for claim in PAPER_COUNTS[:2]:
        axis.plot(claim.count / 1e6, claim.what, "x", color=PAPER_COLOUR, ms=9, mew=2)
    axis.plot([], [], "x", color=PAPER_COLOUR, ms=9, mew=2, label="as printed")
    axis.invert_yaxis()
    axis.set(xlabel="trainable parameters, millions")
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def atrous_table(rates: tuple[int, ...] = (1, 2, 3)) -> pd.DataFrame:
    """Pixels that a 3x3 kernel reads at each rate, relative to its centre: rate, row, column."""
    steps = (-1, 0, 1)
    return pd.DataFrame(
        [(r, r * i, r * j) for r in rates for i in steps for j in steps], columns=["rate", "row", "column"]
    )


def plot_atrous(table: pd.DataFrame) -> Figure:
    """The pixels read at each rate on a grid, with the square they span (`atrous_table`)."""
    rates = sorted(table["rate"].unique())
    figure, axes = plt.subplots(1, len(rates), figsize=(3.0 * len(rates), 3.3), layout="constrained")
    for axis, rate in zip(axes, rates, strict=True):
        part = table[table["rate"] == rate]
        grid = np.arange(-4.5, 5.0)
        axis.hlines(grid, -4.5, 4.5, color=PALETTE["grey"], linewidth=0.5)
        axis.vlines(grid, -4.5, 4.5, color=PALETTE["grey"], linewidth=0.5)
        for row, column in zip(part["row"], part["column"], strict=True):
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=PALETTE["blue"]))
        axis.add_patch(Rectangle((-rate - 0.5, -rate - 0.5), 2 * rate + 1, 2 * rate + 1, fill=False, linewidth=2))
        axis.set(
            title=f"rate {rate}: spans {2 * rate + 1} x {2 * rate + 1}",
            aspect="equal",
            xlim=(-4.6, 4.6),
            ylim=(4.6, -4.6),
        )
        axis.axis("off")
    return figure


def field_table() -> pd.DataFrame:
    """Receptive field of each trunk from its layers: model, size (pixels a side), stride (pixels)."""
    with torch.device("meta"):
        fields = {model: receptive_field(make()) for model, make in TRUNKS.items()}
    return pd.DataFrame([{"model": NAMES[m], "receptive field": f.size, "stride": f.stride} for m, f in fields.items()])


def seen_by_acnn(size: int = 161, draws: int = 2) -> tuple[pd.DataFrame, np.ndarray]:
    """What ACNN's centre feature can see and mostly sees, on a `size` x `size` input.

    A table over the distance from the centre (distance in pixels, share of the absolute gradient within it, and
    whether the geometry reaches it), and the effective field, float32 [size, size], for the map.
    """
    trunk = build_network("acnn", 32, seed=0).trunk
    reached = support(trunk, size)
    field = effective_field(trunk, size, draws=draws)
    share = share_within(field)
    row = reached[size // 2, size // 2 :]
    table = pd.DataFrame(
        {"distance": np.arange(len(row)), "share within": share[: len(row)].numpy(), "reached": row.numpy()}
    )
    return table, field.numpy()


def plot_field(table: pd.DataFrame, field: np.ndarray, frame: int = 256) -> Figure:
    """ACNN's receptive field in a frame of `frame` pixels, the effective field as a map, and its share by distance."""
    size = 2 * int(table.loc[table["reached"], "distance"].max()) + 1
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.0, 3.6), layout="constrained")
    left.add_patch(Rectangle((0, 0), frame, frame, fill=False, linewidth=2))
    left.add_patch(Rectangle(((frame - size) / 2, (frame - size) / 2), size, size, color=PALETTE["blue"], alpha=0.4))
    left.plot(frame / 2, frame / 2, "k+")
    left.set(title=f"{size} of {frame} pixels", aspect="equal", xlim=(-5, frame + 5), ylim=(frame + 5, -5))
    left.axis("off")
    middle.imshow(np.log10(np.maximum(field / field.max(), 1e-6)), cmap="viridis")
    middle.set(title="log10 of the mean gradient")
    middle.axis("off")
    right.plot(table["distance"], table["share within"], color=PALETTE["blue"])
    right.axvline((size - 1) / 2, color=PALETTE["grey"], linestyle="--")
    right.set(xlabel="half-width of the square, pixels", ylabel="share of the gradient within", ylim=(0, 1.02))
    return figure


def plot_cost(table: pd.DataFrame) -> Figure:
    """Parameters against multiply-accumulates an image, a point a network (`cost.cost_table`)."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    for row, colour in zip(table.itertuples(), ("blue", "green", "red"), strict=False):
        axis.scatter(row.parameters / 1e6, row.macs / 1e9, s=40 + row.activation_mib, color=PALETTE[colour], alpha=0.7)
        axis.annotate(
            NAMES[str(row.model)], (row.parameters / 1e6, row.macs / 1e9), xytext=(10, 8), textcoords="offset points"
        )
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="trainable parameters, millions",
        ylabel="multiply-accumulates an image, billions",
    )
    axis.margins(0.25)
    return figure


def nearest_counts() -> pd.DataFrame:
    """For each count of the paper the three parts that come nearest (`counting.paper_counts`)."""
    return paper_counts().groupby("paper", sort=False).head(3).reset_index(drop=True)
