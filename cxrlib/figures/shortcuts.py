"""Figures of the chapter on leakage and shortcuts: overlap, probes, external tests, dose response, attribution."""

from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.data.samples import Samples
from cxrlib.figures.style import PALETTE, PROTOCOL_COLOURS

_KIND_COLOURS = {"external": PALETTE["red"], "internal": PALETTE["blue"], "partly internal": PALETTE["sky"]}


def plot_pairs(pairs: pd.DataFrame) -> Figure:
    """Sensitivity of paired runs under another protocol and under clean, exact intervals (`overlap.against_clean`)."""
    figure, axis = plt.subplots(figsize=(8.0, max(2.4, 0.45 * len(pairs) + 1.2)), layout="constrained")
    if pairs.empty:
        axis.text(0.5, 0.5, "no pair recorded", transform=axis.transAxes, ha="center")
    names = []
    for row, pair in enumerate(pairs.itertuples()):
        seen = (pair.sensitivity, pair.low, pair.high)
        clean = (pair.sensitivity_clean, pair.low_clean, pair.high_clean)
        _interval(axis, row - 0.12, *seen, colour=PROTOCOL_COLOURS[str(pair.protocol)])
        _interval(axis, row + 0.12, *clean, colour=PROTOCOL_COLOURS["clean"])
        weight = "no β" if pair.beta is None or pair.beta != pair.beta else f"β {pair.beta:g}"
        names.append(f"{pair.cohort} · {pair.model} · {pair.pretraining} · {weight} · seed {pair.seed}")
    for protocol in (*dict.fromkeys(pairs["protocol"]), "clean") if len(pairs) else ():
        axis.plot([], [], "o", color=PROTOCOL_COLOURS[str(protocol)], label=protocol)
    axis.set(xlim=(0, 1.02), xlabel="sensitivity on the test set", ylim=(max(len(pairs), 1) - 0.5, -0.5))
    axis.set_yticks(range(len(names)), names, fontsize=8)
    if len(pairs):
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def plot_probes(table: pd.DataFrame) -> Figure:
    """bACC of each input with its interval, a panel a question; the dashed line is chance.

    table: panel, input, bacc, low, high, chance.
    """
    panels = list(dict.fromkeys(table["panel"]))
    rows = max(table.groupby("panel").size())
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1.5 + 4.0 * len(panels), 1.2 + 0.38 * rows), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[0], panels, strict=True):
        part = table[table["panel"] == name].reset_index(drop=True)
        for row, probe in enumerate(part.itertuples()):
            _interval(axis, row, probe.bacc, probe.low, probe.high, colour=PALETTE["blue"])
        axis.axvline(part["chance"].iloc[0], color="black", linestyle="--", linewidth=1)
        axis.set_yticks(range(len(part)), part["input"].tolist(), fontsize=9)
        axis.set(xlim=(0, 1), ylim=(len(part) - 0.5, -0.5), xlabel="balanced accuracy")
        axis.set_title(name, fontsize=10)
    return figure


def plot_external(table: pd.DataFrame) -> Figure:
    """AUROC of every training pool, a panel a test set with both classes (`external.external_table`)."""
    known = table.dropna(subset="auroc")
    panels, order = list(dict.fromkeys(known["test"])), list(dict.fromkeys(table["train"]))
    figure, axes = plt.subplots(
        1,
        max(len(panels), 1),
        figsize=(3.0 + 3.6 * max(len(panels), 1), 1.3 + 0.4 * len(order)),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axis, name in zip(axes[0], panels, strict=False):
        for probe in known[known["test"] == name].itertuples():
            colour = _KIND_COLOURS[str(probe.kind)]
            _interval(axis, order.index(probe.train), probe.auroc, probe.auroc_low, probe.auroc_high, colour=colour)
        axis.axvline(0.5, color="black", linestyle="--", linewidth=1)
        axis.set(xlim=(0, 1.02), xlabel="AUROC", title=f"tested on {name}", ylim=(len(order) - 0.5, -0.5))
    axes[0, 0].set_yticks(range(len(order)), order, fontsize=9)
    for kind in dict.fromkeys(known["kind"]):
        axes[0, -1].plot([], [], "o", color=_KIND_COLOURS[str(kind)], label=kind)
    if len(known):
        axes[0, -1].legend(loc="lower left", fontsize=8)
    return figure


def plot_dose(table: pd.DataFrame) -> Figure:
    """bACC over the confounding set by hand, a line an input; left COVID-19, right the site (`dose.dose_response`)."""
    colours = dict(zip(dict.fromkeys(table["input"]), PALETTE.values(), strict=False))
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.2), sharey=True, layout="constrained")
    for axis, target in zip(axes, ("COVID-19", "site"), strict=True):
        part = table[table["target"] == target]
        for k, (name, line) in enumerate(part.groupby("input", sort=False)):
            errors = np.abs(line[["low", "high"]].to_numpy().T - line["bacc"].to_numpy())
            axis.errorbar(
                line["confounding"] + 0.008 * (k - 2),
                line["bacc"],
                yerr=errors,
                fmt="o-",
                color=colours[name],
                label=str(name),
                markersize=4,
                elinewidth=1,
            )
        axis.set(xlabel="confounding set by hand", title=f"{target} told from")
    truth = table[table["target"] == "COVID-19"].drop_duplicates("confounding")
    axes[0].plot(truth["confounding"], truth["truth"], "k--", label="best from the site alone")
    axes[0].set_ylabel("balanced accuracy")
    axes[0].axhline(0.5, color=PALETTE["grey"], linewidth=1)
    axes[1].axhline(0.5, color=PALETTE["grey"], linewidth=1)
    axes[0].legend(fontsize=8, loc="upper left")
    return figure


def plot_overlays(sample: Samples, maps: npt.NDArray[np.float32], lungs: npt.NDArray[np.bool_], each: int = 3) -> Figure:
    """Grad-CAM over the first images of each class, the lungs outlined; titles name class, source and licence.

    Images whose licence forbids derivatives are not drawn over: they are passed by.
    """
    free = ~sample.table["licence"].str.contains(r"\bND\b").to_numpy(bool)
    chosen = [k for name in (1, 0) for k in np.flatnonzero((sample.labels == name) & free)[:each]]
    columns = max(min(each, len(chosen)), 1)
    lines = max(-(-len(chosen) // columns), 1)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 3.5 * lines), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, k in zip(axes.flat, chosen, strict=False):
        row = sample.table.iloc[k]
        axis.imshow(sample.pixels[k], vmin=0, vmax=255)
        axis.imshow(maps[k], cmap="inferno", alpha=0.45, vmin=0, vmax=1)
        if lungs[k].any() and not lungs[k].all():
            axis.contour(lungs[k], levels=[0.5], colors="white", linewidths=1)
        label = "COVID-19" if row["label"] == "covid" else "non-COVID"
        axis.set_title(f"{label} · {row['source']}\n{shorten(str(row['licence']), 42, placeholder=' …')}", fontsize=8)
        axis.grid(visible=False)
    return figure


def plot_check(check: pd.DataFrame, agreement: float) -> Figure:
    """Rank correlation of each map with that of a network randomised ever deeper (`attribution.randomisation_check`)."""
    figure, axis = plt.subplots(figsize=(7.0, 3.8), layout="constrained")
    for _, part in check.groupby("image"):
        axis.plot(part["share"], part["correlation"], "o-", color=PALETTE["sky"], alpha=0.5, linewidth=1, markersize=3)
    median = check.groupby("share")["correlation"].median()
    axis.plot(median.index, median, "o-", color=PALETTE["blue"], linewidth=2.5, label="median")
    axis.axhline(agreement, color="black", linestyle="--", linewidth=1, label="largest median that passes")
    axis.axhline(0, color=PALETTE["grey"], linewidth=1)
    axis.set(
        ylim=(-1.05, 1.05),
        xlabel="share of the trunk's blocks with random weights (0: the head alone)",
        ylabel="rank correlation of the maps",
    )
    axis.legend(loc="lower left")
    return figure


def plot_lungs(shares: pd.DataFrame, labels: npt.NDArray[np.int64]) -> Figure:
    """Share of attribution inside the lungs over the lungs' share of the image, a point an image (`inside_lungs`)."""
    figure, axis = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
    for value, name, colour in ((1, "COVID-19", PALETTE["red"]), (0, "non-COVID", PALETTE["blue"])):
        part = shares[labels == value]
        axis.scatter(part["area"], part["attribution"], color=colour, label=name, s=18, alpha=0.7)
    axis.axline((0, 0), slope=1, color="black", linestyle="--", linewidth=1, label="an even map")
    axis.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="lungs' share of the image", ylabel="share of attribution inside the lungs"
    )
    axis.legend(loc="upper right", fontsize=9)
    return figure


def _interval(axis: Axes, row: float, value: float, low: float, high: float, colour: object) -> None:
    axis.plot([low, high], [row, row], color=colour, linewidth=2)
    axis.plot(value, row, "o", color=colour)
