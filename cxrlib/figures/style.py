"""One shared style: seaborn, a colour-blind-safe palette, sizes that fit the page, and the pieces that several figures draw."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_COLOURS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "yellow", "sky")
PALETTE = dict(zip(_COLOURS, sns.color_palette("colorblind"), strict=True))
CLASS_COLOURS = {"covid": PALETTE["red"], "non_covid": PALETTE["blue"]}
PROTOCOL_COLOURS = {"released": PALETTE["orange"], "paper": PALETTE["purple"], "clean": PALETTE["green"]}
MODEL_COLOURS = {
    name: PALETTE[c] for name, c in zip(("squeezenet", "resnet50", "acnn", "vgg19"), _COLOURS, strict=False)
}
PAPER_COLOUR = "black"  # whatever the paper printed
WIDE, NARROW = (8.0, 4.0), (5.0, 4.0)  # inches


def use_style() -> None:
    """Set seaborn's and matplotlib's defaults for every figure of the book."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font="DejaVu Sans")
    matplotlib.rcParams.update({
        "figure.figsize": WIDE, "figure.dpi": 110, "savefig.bbox": "tight", "axes.spines.top": False,
        "axes.spines.right": False, "axes.titlelocation": "left", "image.cmap": "gray", "svg.hashsalt": "cxrlib",
    })  # fmt: skip


def legend_below(
    figure: Figure, colours: Mapping[str, Any], lines: Mapping[str, Any] | None = None, printed: bool = False
) -> None:
    """One legend under all panels: a point for each of `colours`, a grey line for each text and line style of `lines`, a cross for the paper."""
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=text) for text, colour in colours.items()]
    handles += [Line2D([], [], color="0.3", linestyle=style, label=text) for text, style in (lines or {}).items()]
    if printed:
        handles.append(Line2D([], [], color=PAPER_COLOUR, marker="x", linestyle="", label="as printed"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=9)


def points_with_ends(
    axis: Axes,
    values: pd.Series,
    low: pd.Series,
    high: pd.Series,
    places: npt.ArrayLike,
    upright: bool = False,
    **style: Any,
) -> None:
    """Points with the ends of their intervals, horizontal or `upright`; an end that is missing or on the wrong side is not drawn."""
    ends = np.nan_to_num(np.clip([values - low, high - values], 0, None))
    x, y, along = (places, values, "yerr") if upright else (values, places, "xerr")
    axis.errorbar(x, y, **{along: ends, "fmt": "o", "markersize": 5, "elinewidth": 1} | style)


def strip_panels(
    panels: Mapping[str, pd.DataFrame],
    rows: Mapping[str, str],
    row: str,
    hue: str,
    colours: Mapping[str, Any],
    bands: Mapping[str, float] | None = None,
) -> Figure:
    """Paired differences as points: a panel a frame, a line for each of `rows` (value of column `row`: text), coloured by `hue`.

    Frames have `difference`. With `bands` (half-widths by panel) a grey band lies around 0 and a bar marks each line's mean.
    """
    order = {text: k for k, text in enumerate(colours)}
    height = 0.28 * sum(text.count("\n") + 1 for text in rows.values()) + 0.2 * len(rows) + 1.3
    figure, axes = plt.subplots(
        1, len(panels), figsize=(12.0, height), sharey=True, layout="constrained", squeeze=False
    )
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        axis.axvline(0, color="0.3", linewidth=1, zorder=1)
        half = (bands or {}).get(title, 0.0)
        axis.axvspan(-half, half, color="0.9", zorder=0)
        for place, value in enumerate(rows):
            pairs = table[table[row] == value]
            pairs = pairs.sort_values(hue, key=lambda column: column.map(order.get), kind="stable")
            spread = np.linspace(-0.28, 0.28, len(pairs)) if len(pairs) > 1 else np.zeros(len(pairs))
            axis.scatter(
                pairs["difference"],
                place + spread,
                s=14,
                c=[colours.get(text, "0.3") for text in pairs[hue]],
                alpha=0.75,
            )
            if bands is not None and len(pairs):
                axis.plot([pairs["difference"].mean()] * 2, [place - 0.38, place + 0.38], color="black", linewidth=2)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("difference", fontsize=9)
        axis.locator_params(axis="x", nbins=4 if len(panels) > 1 else 10)
        axis.tick_params(axis="x", labelsize=8)
    axes[0, 0].set_yticks(range(len(rows)), list(rows.values()), fontsize=9)
    axes[0, 0].set_ylim(max(len(rows), 1) - 0.5, -0.5)
    used = {text for table in panels.values() for text in table[hue]}
    legend_below(figure, {text: colour for text, colour in colours.items() if text in used})
    return figure
