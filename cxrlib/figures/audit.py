"""Figures of the audit: the table with its errors marked, strips of one row, a column against two definitions, sizes."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.audit.lattice import Row
from cxrlib.analysis.audit.rules import IMPOSSIBLE, LAST_DIGIT, POSSIBLE
from cxrlib.figures.style import PALETTE, PAPER_COLOUR, WIDE, intervals, legend_below

STATUS_COLOURS = {POSSIBLE: PALETTE["blue"], LAST_DIGIT: PALETTE["orange"], IMPOSSIBLE: PALETTE["red"]}


def plot_marked(cells: pd.DataFrame) -> Figure:
    """The table as printed; pale figures fit only with digits cut off, dark ones (or headers) cannot be true."""
    shown = cells.assign(code=cells["status"].map(list(STATUS_COLOURS).index))
    wide = shown.pivot_table(index="row", columns="column", values=["code", "printed"], aggfunc="first", sort=False)
    figure, axis = plt.subplots(figsize=(11.0, 0.27 * (len(wide) + 2)))
    colours = ["white", "#f9d99a", "#a34700"]
    style = {"cmap": colours, "vmin": 0, "vmax": 2, "cbar": False, "annot_kws": {"fontsize": 9}}
    sns.heatmap(wide["code"], annot=wide["printed"], fmt="", **style, ax=axis)
    axis.set(xlabel="", ylabel="", xticks=[])
    axis.set_yticks(np.arange(len(wide)) + 0.5, ["", *_row_names(cells[cells["row"] > 0])], fontsize=8, rotation=0)
    for colour, status in zip(colours[1:], (LAST_DIGIT, IMPOSSIBLE), strict=True):
        axis.plot([], [], "s", color=colour, label=status)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize=9)
    return figure


def plot_intervals(rates: pd.DataFrame) -> Figure:
    """Rates of `Report.rates_table` by row with exact intervals; a cross marks a figure that no count gives."""
    rates = rates.rename(columns={"low": "value_low", "high": "value_high"})
    columns, names = rates["column"].unique(), _row_names(rates)
    size = (11.0, 0.28 * len(names) + 1.4)
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, column in zip(axes[0], columns, strict=True):
        for (status, known), part in rates[rates["column"] == column].groupby(["status", rates["k"].notna()]):
            style = {"color": STATUS_COLOURS[str(status)], "label": status if known else "no count gives it"}
            intervals(
                axis, part, "value", part["row"], fmt="o" if known else "X", markersize=5 if known else 8, **style
            )
        axis.set(xlabel=column)
    axes[0, 0].set_yticks(rates["row"].unique(), names, fontsize=8)
    axes[0, 0].set_ylim(rates["row"].max() + 0.6, 0.4)
    legend_below(figure)
    return figure


def plot_strips(table: pd.DataFrame, row: Row) -> Figure:
    """Confusion matrices as lattice points: those each printed figure allows; a row is possible where all meet."""
    figure, axis = plt.subplots(figsize=WIDE)
    allowed = table[table["first"] <= table["last"]]
    bands = allowed[allowed["last"] - allowed["first"] < row.negatives / 4]
    low, high = (bands["first"].min(), bands["last"].max()) if len(bands) else (0, row.negatives)
    for i, column in enumerate(table["column"].unique()):
        part = allowed[allowed["column"] == column]
        middle, half = (part["first"] + part["last"]) / 2, (part["last"] - part["first"]) / 2
        label = column if len(part) else f"{column}: no matrix"
        style: dict[str, Any] = {"color": f"C{i}", "markersize": 9 - 2 * i, "mfc": "none", "mew": 1.5}
        axis.errorbar(part["tp"], middle, half, fmt="o", elinewidth=3, label=label, **style)
    room = max(10.0, 0.05 * (high - low))
    axis.set(xlabel="true positives", ylabel="true negatives", ylim=(low - room, high + room))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_definition(points: pd.DataFrame, labels: Mapping[str, str], marked: Iterable[int] = ()) -> Figure:
    """A printed column (`printed`) against other columns of `points`, by name in `labels`; rows to mark by number."""
    shown = points.rename(columns=labels).melt(["row", "printed"], labels.values(), "definition", "own")
    nearest = shown[shown["definition"] == list(labels.values())[-1]]
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.4), layout="constrained")
    for axis in axes:
        kinds = {"hue": "definition", "style": "definition", "markers": ["s", "o"]}
        sns.scatterplot(shown, x="own", y="printed", **kinds, alpha=0.7, ax=axis)
        axis.axline((0, 0), slope=1, color=PALETTE["grey"], linewidth=1, linestyle="--")
        axis.set(xlabel="from the row's own rates", ylabel="as printed", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    for line in nearest[nearest["row"].isin(list(marked))].itertuples():
        axes[1].plot(line.own, line.printed, "x", color=STATUS_COLOURS[IMPOSSIBLE], markersize=9, mew=2)
        axes[1].annotate(f"row {line.row}", (line.own, line.printed), (9, -4), textcoords="offset points", fontsize=10)
    low, high = nearest[["own", "printed"]].min().min(), nearest[["own", "printed"]].max().max()
    room = 0.05 * max(high - low, 0.01)
    axes[1].set(xlim=(low - room, high + 5 * room), ylim=(low - room, high + room), title="enlarged")
    axes[1].legend().remove()
    return figure


def plot_sizes(table: pd.DataFrame, row: Row | None) -> Figure:
    """Test sets that would explain an impossible row, by `reading`; the stated size and the nearest are marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    axis.set(xlabel="positive test images", ylabel="negative test images")
    if row is None or table.empty:
        axis.text(0.5, 0.5, "no row needs, or has, another test set", ha="center", transform=axis.transAxes)
        return figure
    for i, (reading, part) in enumerate(reversed(list(table.groupby("reading", sort=False)))):  # the stricter on top
        style, best = {"color": PALETTE[("sky", "blue")[i % 2]]}, part.loc[part["distance"].idxmin()]
        axis.plot(part["positives"], part["negatives"], ".", ms=3, label=f"{reading}: {len(part):,} sizes", **style)
        label = f"nearest of these: {best['positives']:,} + {best['negatives']:,}"
        style |= {"mfc": "none", "ms": 14 - 5 * i, "mew": 2}
        axis.plot(best["positives"], best["negatives"], "os"[i % 2], label=label, **style)
    label = f"stated: {row.positives:,} + {row.negatives:,}"
    axis.plot(row.positives, row.negatives, "x", color=PAPER_COLOUR, markersize=10, mew=2, label=label)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _row_names(table: pd.DataFrame) -> list[str]:
    rows = table.drop_duplicates("row")
    short = [label if len(label) <= 60 else f"… {label[-58:]}" for label in rows["label"]]
    return [f"{row}  {text}" for row, text in zip(rows["row"], short, strict=True)]
