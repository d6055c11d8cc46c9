"""Figures of the chapter on leakage and shortcuts: the source question, overlap, probes, external tests, attribution."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.analysis.sources import MEASURES
from cxrlib.data.samples import Samples
from cxrlib.figures.style import CLASS_COLOURS, PALETTE, PROTOCOL_COLOURS, intervals, legend_below
from cxrlib.names import name

_KINDS = {"external": PALETTE["red"], "internal": PALETTE["blue"], "partly internal": PALETTE["sky"]}
_COLOURS = [PALETTE[colour] for colour in ("grey", "red", "purple", "orange")]


def plot_sources(records: pd.DataFrame, crossed: pd.DataFrame) -> Figure:
    """AUROC over all pairs, within a source, and of the source: `sources.of_records` as points, `cross_fitted` with intervals."""
    recorded = records.assign(line="recorded, " + records["protocol"])[records["protocol"].isin(PROTOCOL_COLOURS)]
    crossed = crossed.assign(line=crossed["design"] + ", " + crossed["sources"].replace("all", "all sources"))
    order = [f"recorded, {protocol}" for protocol in PROTOCOL_COLOURS if protocol in set(records["protocol"])]
    order += crossed["line"].unique().tolist()
    figure, axis = plt.subplots(figsize=(9.0, 1.6 + 0.5 * len(order)), layout="constrained")
    for shift, (what, text), colour in zip((-0.2, -0.07, 0.07, 0.2), MEASURES.items(), _COLOURS, strict=True):
        if what in recorded:
            places = recorded["line"].map(order.index) + shift
            axis.scatter(recorded[what], places, color=colour, alpha=0.35, s=16, lw=0)
        part = crossed[crossed["measure"] == what]
        intervals(axis, part, "value", part["line"].map(order.index) + shift, color=colour, label=text)
    axis.axvline(0.5, color="black", linestyle="--", linewidth=1)
    _rows(axis, order, "AUROC")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)
    return figure


def plot_pairs(pairs: pd.DataFrame) -> Figure:
    """Sensitivity and AUROC of runs under another protocol over those of the same run under clean (`overlap.against_clean`)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.2), layout="constrained")
    for axis, value in zip(axes, ("sensitivity", "auroc"), strict=True):
        for protocol, part in pairs.groupby("protocol"):
            colour = PROTOCOL_COLOURS[str(protocol)]
            axis.scatter(part[f"{value}_clean"], part[value], color=colour, alpha=0.6, s=22, label=protocol)
        axis.axline((1, 1), slope=1, color="black", linestyle="--", linewidth=1, label="no difference")
        axis.set(xlabel=f"{name(value)}, clean", ylabel=f"{name(value)}, same run, other protocol")
    axes[0].legend(fontsize=9)
    return figure


def plot_probes(table: pd.DataFrame) -> Figure:
    """bACC of each input with its interval, a panel a question; the dashed line is chance (`probes.source_probes`)."""
    return _panels(table.assign(kind=""), "panel", "input", "bacc", {"": PALETTE["blue"]})


def plot_external(table: pd.DataFrame) -> Figure:
    """AUROC of every training pool, a panel a test set with both classes (`external.external_table`)."""
    return _panels(table.dropna(subset="auroc").assign(chance=0.5), "test", "train", "auroc", _KINDS)


def plot_confounding(table: pd.DataFrame) -> Figure:
    """bACC over the known confounding, a line an input; left COVID-19, right the site (`confounding.known_confounding`)."""
    colours = dict(zip(table["input"].unique(), PALETTE.values(), strict=False))
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.2), sharey=True, layout="constrained")
    for axis, target in zip(axes, ("COVID-19", "site"), strict=True):
        for k, (title, line) in enumerate(table[table["target"] == target].groupby("input", sort=False)):
            places, style = line["confounding"] + 0.008 * (k - 2), {"color": colours[title], "label": str(title)}
            intervals(axis, line, "bacc", places, upright=True, fmt="o-", **style)
        axis.axhline(0.5, color=PALETTE["grey"], linewidth=1)
        axis.set(xlabel="confounding", title=f"{target} read from")
    truth = table[table["target"] == "COVID-19"].drop_duplicates("confounding")
    axes[0].plot(truth["confounding"], truth["truth"], "k--", label="best from the site alone")
    axes[0].set_ylabel("balanced accuracy")
    legend_below(figure)
    return figure


def plot_overlays(samples: Samples, maps: npt.NDArray[np.float32], lungs: npt.NDArray[np.bool_]) -> Figure:
    """Grad-CAM over the first three images of each class, the lungs outlined; titles name class, source and licence.

    Images whose licence forbids derivatives are not drawn over: they are passed by; maps of zeros come last.
    """
    free = ~samples.table["licence"].str.contains(r"\bND\b").to_numpy(bool)
    order = np.argsort(~maps.any(axis=(1, 2)), kind="stable")
    chosen = [k for label in (1, 0) for k in order[((samples.labels == label) & free)[order]][:3]]
    lines = max(-(-len(chosen) // 3), 1)
    figure, axes = plt.subplots(lines, 3, figsize=(9.3, 3.5 * lines), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, k in zip(axes.flat, chosen, strict=False):
        row = samples.table.iloc[k]
        axis.imshow(samples.pixels[k], vmin=0, vmax=255)
        axis.imshow(maps[k], cmap="inferno", alpha=0.45, vmin=0, vmax=1)
        axis.contour(lungs[k], levels=[0.5], colors="white", linewidths=1)
        licence = shorten(str(row["licence"]), 42, placeholder=" …")
        axis.set_title(f"{name(row['label'])} · {row['source']}\n{licence}", fontsize=8)
    return figure


def plot_attribution(check: pd.DataFrame, shares: pd.DataFrame, agreement: float) -> Figure:
    """Left, `attribution.map_randomisation`; right, each map's share inside the lungs over their area (`lung_shares`)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    points = {"x": "share", "y": "correlation", "marker": "o", "ax": left}
    sns.lineplot(check, **points, units="image", estimator=None, color=PALETTE["sky"], alpha=0.5, linewidth=1)
    sns.lineplot(check, **points, estimator="median", errorbar=None, linewidth=2.5, label="median")
    left.axhline(agreement, color="black", linestyle="--", linewidth=1, label="largest median that passes")
    left.set(ylim=(-1.05, 1.05), xlabel="share of blocks with random weights", ylabel="rank correlation of the maps")
    classes = {"hue": shares["label"].map(name), "palette": {name(k): v for k, v in CLASS_COLOURS.items()}}
    sns.scatterplot(shares, x="area", y="attribution", **classes, s=25, alpha=0.7, ax=right)
    right.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=1, label="an even map")
    right.set(xlabel="lungs' share of the image", ylabel="share of the map inside the lungs")
    right.set(xlim=(0, 0.8), ylim=(0, 0.8))
    for axis in (left, right):
        axis.legend(fontsize=9)
    return figure


def _panels(table: pd.DataFrame, panel: str, row: str, value: str, colours: Mapping[str, Any]) -> Figure:
    """`value` with its interval, a panel each value of `panel` and a line each value of `row`, coloured by `kind`."""
    parts = {str(title): part for title, part in table.groupby(panel, sort=False)}
    size = (1.5 + 4.0 * len(parts), 1.4 + 0.38 * max(map(len, parts.values())))
    figure, axes = plt.subplots(1, len(parts), figsize=size, layout="constrained", squeeze=False)
    for axis, (title, part) in zip(axes[0], parts.items(), strict=True):
        part = part.assign(place=range(len(part)))
        for kind, some in part.groupby("kind"):
            intervals(axis, some, value, some["place"], color=colours[str(kind)], label=str(kind))
        axis.axvline(part["chance"].iloc[0], color="black", linestyle="--", linewidth=1)
        _rows(axis, part[row].tolist(), name(value))
        axis.set_title(title, fontsize=10)
    if len(colours) > 1:
        legend_below(figure)
    return figure


def _rows(axis: Axes, names: Sequence[str], label: str) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlim=(0, 1.02), ylim=(max(len(names), 1) - 0.5, -0.5), xlabel=label)
