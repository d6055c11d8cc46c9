"""One shared style: seaborn, a colour-blind-safe palette, sizes that fit the page, and the pieces that several figures draw."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_COLOURS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "yellow", "sky")
PALETTE = dict(zip(_COLOURS, sns.color_palette("colorblind"), strict=True))
CLASS_COLOURS = {"covid": PALETTE["red"], "non_covid": PALETTE["blue"]}
PROTOCOL_COLOURS = {"released": PALETTE["orange"], "paper": PALETTE["purple"], "clean": PALETTE["green"]}
MODEL_COLOURS = dict(zip(("squeezenet", "resnet50", "acnn", "vgg19"), PALETTE.values(), strict=False))
PAPER_COLOUR = "black"  # whatever the paper printed
WIDE = (8.0, 4.0)  # inches


def use_style() -> None:
    """Set seaborn's and matplotlib's defaults for every figure of the book."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font="DejaVu Sans")
    matplotlib.rcParams.update({
        "figure.figsize": WIDE, "figure.dpi": 110, "savefig.bbox": "tight", "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlelocation": "left", "image.cmap": "gray", "svg.hashsalt": "cxrlib",
    })  # fmt: skip


def legend_below(figure: Figure) -> None:
    """One legend under all panels in place of the panels' own."""
    entries: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
        if (legend := axis.get_legend()) is not None:
            legend.remove()
    if entries:
        figure.legend(handles=[*entries.values()], labels=[*entries], loc="outside lower center", ncols=6, fontsize=9)


def by_weight(betas: pd.Series) -> dict[str, Any]:
    """What makes seaborn draw a line a weight, from dark to light, dashed for 1; `betas`: each row's weight, from low to high."""
    texts = betas.map("{:g}".format).rename("β")
    dashes = {text: (4, 2) if text == "1" else "" for text in texts.unique()}
    return {"hue": texts, "style": texts, "palette": "viridis", "dashes": dashes}


def weight_ticks(axis: Axes, betas: Iterable[float]) -> None:
    """A logarithmic axis of weights with a tick at each of `betas`."""
    axis.set_xscale("log")
    axis.set_xticks(list(betas), [f"{beta:g}" for beta in betas])
    axis.minorticks_off()


def intervals(
    axis: Axes, table: pd.DataFrame, value: str, places: npt.ArrayLike, upright: bool = False, **style: Any
) -> None:
    """Points of column `value` with the ends in `value`_low and `value`_high, horizontal or `upright`.

    An end that is missing or on the wrong side is not drawn.
    """
    middle, low, high = (table[column] for column in (value, f"{value}_low", f"{value}_high"))
    ends = np.nan_to_num(np.clip([middle - low, high - middle], 0, None))
    x, y, along = (places, middle, "yerr") if upright else (middle, places, "xerr")
    axis.errorbar(x, y, **{along: ends, "fmt": "o", "markersize": 5, "elinewidth": 1.5} | style)


def strip_panels(
    panels: Mapping[str, pd.DataFrame], row: str, rows: Sequence[str], hue: str, colours: Mapping[str, Any],
    bands: Mapping[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Paired differences as points: a panel a frame, a line for each of `rows` (values of column `row`), coloured by `hue`.

    Frames have `difference`. With `bands` (half-widths by panel) a grey band lies around 0 and a bar marks each line's mean.
    """
    size = (12.0, 0.28 * sum(text.count("\n") + 1 for text in rows) + 0.2 * len(rows) + 1.3)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, layout="constrained", squeeze=False)
    used = [text for text in colours if any((table[hue] == text).any() for table in panels.values())]
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        shown = {"data": table.astype({"difference": float}), "x": "difference", "y": row, "order": rows, "ax": axis}
        if len(table):
            sns.swarmplot(**shown, hue=hue, hue_order=used, palette=colours, dodge=True, size=3.5, warn_thresh=1)
        axis.axvline(0, color="0.3", linewidth=1, zorder=1)
        if bands is not None and len(table):
            sns.pointplot(**shown, errorbar=None, color="black", linestyle="", marker="|", markersize=18, zorder=5)
            axis.axvspan(-bands.get(title, 0), bands.get(title, 0), color="0.9", zorder=0)
        axis.set_title(title, fontsize=10)
        axis.set(xlabel="difference", ylabel="")
        axis.locator_params(axis="x", nbins=4 if len(panels) > 1 else 10)
        axis.tick_params(labelsize=9)
    legend_below(figure)
    return figure
