"""Figures of chapters 4, 8 and 10, on losses and what the weight does; they show tables of `analysis.beta` and `released`."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.beta.tables import EQUATIONS
from cxrlib.analysis.beta.theory import OVERLAPPING
from cxrlib.analysis.pairs import METRICS
from cxrlib.analysis.released import FACTORS
from cxrlib.figures.style import (
    CLASS_COLOURS,
    MODEL_COLOURS,
    PALETTE,
    PROTOCOL_COLOURS,
    by_weight,
    intervals,
    strip_panels,
    weight_ticks,
)
from cxrlib.names import name

ORDER = ("none", "0.25", "0.5", "0.75", "1.5", "2", "4")
POWERED = ("bacc", "auroc", "within_source")
LOSS_COLOURS = {
    "cross-entropy, Eq. (3)": PALETTE["blue"],
    "weighted, Eq. (4), β = 0.75": PALETTE["green"],
    "linear, as released": PALETTE["red"],
}


def plot_equation_curves(curves: pd.DataFrame) -> Figure:
    """Left: the losses of a positive image over its predicted probability; right: how hard each pushes its log-odds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    dashes = dict(zip(EQUATIONS, ((1, 1), (4, 2), "", ""), strict=True))
    shared = {"hue": "loss", "style": "loss", "dashes": dashes, "errorbar": None}
    shown = curves.assign(pull=-curves["gradient"])[::-1]  # dashed lines on top
    sns.lineplot(shown, x="probability", y="value", **shared, ax=left)
    sns.lineplot(shown, x="log_odds", y="pull", **shared, legend=False, ax=right)
    left.set(xlabel="predicted probability of COVID", ylabel="loss of a COVID image", ylim=(0, 4), xlim=(0, 1))
    right.set(xlabel="log-odds of COVID", ylabel="downhill gradient by the log-odds")
    return figure


def plot_beta_curves(curves: pd.DataFrame) -> Figure:
    """Eq. (4) and its gradient: COVID images above (every beta its own curve), non-COVID below (one curve for all)."""
    panels = {
        ("probability", "value"): {"xlabel": "p", "ylabel": "loss"},
        ("log_odds", "gradient"): {"xlabel": "log-odds of COVID", "ylabel": "gradient by the log-odds"},
    }
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.0), layout="constrained")
    for row, (label, title) in zip(axes, ((1, "COVID"), (0, "non-COVID")), strict=True):
        part = curves[curves["label"] == label]
        for axis, ((x, y), labels) in zip(row, panels.items(), strict=True):
            if label:
                sns.lineplot(part, x=x, y=y, **by_weight(part["beta"]), legend=y == "value", ax=axis)
            else:
                sns.lineplot(part, x=x, y=y, color="black", ax=axis)
            axis.set(title=title, **labels)
    for axis in axes[:, 0]:
        axis.set_ylim(0, 6)
    axes[0, 1].set_ylim(-4.2, 0)
    axes[1, 1].set_ylim(0, 4.2)
    return figure


def plot_overlapping(table: pd.DataFrame) -> Figure:
    """Left: the two classes with each fitted boundary; right: the threshold on eta beside 1 / (1 + beta)."""
    betas, colours = table["beta"], sns.color_palette("viridis", len(table))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    x, beta = np.linspace(-4, 4, 401), np.geomspace(betas.min(), betas.max(), 200)
    for positive, key, label in ((True, "covid", "positive"), (False, "non_covid", "negative")):
        left.fill_between(x, OVERLAPPING.density(x, positive), color=CLASS_COLOURS[key], alpha=0.25)
        left.plot(x, OVERLAPPING.density(x, positive), color=CLASS_COLOURS[key], label=label)
    for colour, row in zip(colours, table.itertuples(), strict=True):
        left.axvline(row.fitted_boundary, color=colour, linestyle="--" if row.beta == 1 else "-", lw=1.5)
    left.set(xlabel="x", ylabel="density times prevalence", ylim=(0, None))
    right.plot(beta, 1 / (1 + beta), color="black", label="1 / (1 + β)")
    right.scatter(betas, table["fitted_threshold"], c=colours, zorder=3, label="population")
    right.scatter(betas, table["sample_threshold"], marker="x", color=PALETTE["grey"], zorder=3, label="sample")
    right.set(xlabel="β", ylabel="posterior at the fitted boundary", ylim=(0, 1))
    weight_ticks(right, betas)
    for axis in (left, right):
        axis.legend()
    return figure


def plot_separable(curves: pd.DataFrame, x: npt.ArrayLike, labels: npt.ArrayLike) -> Figure:
    """Separable points (ticks) and the fitted probability for each beta: the curves all cross 1/2 in the gap."""
    points, truth = np.asarray(x), np.asarray(labels)
    figure, axis = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    sns.lineplot(curves, x="x", y="q", **by_weight(curves["beta"]), ax=axis)
    for label, key, height in ((1, "covid", 1.06), (0, "non_covid", -0.06)):
        inside = points[(truth == label) & (np.abs(points) <= curves["x"].max())]
        axis.plot(inside, np.full(len(inside), height), "|", color=CLASS_COLOURS[key], ms=9)
    axis.axhline(0.5, color=PALETTE["grey"], lw=0.8)
    axis.set(xlabel="x", ylabel="fitted probability q", ylim=(-0.12, 1.12))
    return figure


def plot_powered(frame: pd.DataFrame) -> Figure:
    """bACC, AUROC and within-source AUROC by weight, a row a protocol; `frame`: `powered.Powered.runs`.

    A point is a run (circles and squares: the two draws of the images), a bar their mean. The band holds 95 % of what two
    runs without a weight that differ in their seed alone differ by, around the mean without a weight.
    """
    frame = frame.assign(place=frame["beta"].map(ORDER.index) + 0.1 * (frame["seed"] % 4 - 1.5))
    panels = list(product(("clean", "paper", "released"), POWERED))
    figure, axes = plt.subplots(3, 3, figsize=(10.5, 8.0), sharex=True, sharey="col", layout="constrained")
    for axis, (protocol, metric) in zip(axes.flat, panels, strict=True):
        part = frame[(frame["protocol"] == protocol) & (frame["metric"] == metric)]
        means, style = part.groupby("beta")["value"].mean(), {"color": PROTOCOL_COLOURS[protocol], "alpha": 0.55}
        if "none" in means and np.isfinite(part["noise"].iloc[0]):
            centre, band = means["none"], part["noise"].iloc[0]
            axis.axhspan(centre - band, centre + band, color=PALETTE["grey"], alpha=0.2, lw=0)
            axis.axhline(centre, color=PALETTE["grey"], lw=1)
        for draw, runs in part.groupby(part["draw_seed"] % 2):
            axis.plot(runs["place"], runs["value"], "os"[draw], markersize=4, **style)
        axis.plot(means.index.map(ORDER.index), means, "_", color="black", markersize=16, markeredgewidth=2)
        axis.set_xticks(range(len(ORDER)), ORDER)
        axis.set(title=name(metric), ylabel=f"protocol {protocol}" if metric == POWERED[0] else "")
    figure.supxlabel("weight β")
    return figure


def plot_thresholds(effects: pd.DataFrame) -> Figure:
    """Training with a weight against moving the threshold, by weight and protocol, with the noise of training again (grey)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    titles = {"moved": "bACC: trained with β − threshold moved", "changed": "test images that change class"}
    for axis, (metric, title) in zip(axes, titles.items(), strict=True):
        part = effects[effects["metric"] == metric]
        for shift, (protocol, rows) in zip((-0.2, 0.0, 0.2), part.groupby("protocol"), strict=False):
            places = rows["beta"].map(ORDER.index) + shift
            style = {"color": PROTOCOL_COLOURS[str(protocol)], "label": protocol}
            intervals(axis, rows, "difference", places, upright=True, **style)
            for sign in (-1, 1) if metric == "moved" else (1,):
                axis.plot(places, sign * rows["noise"], "_", color=PALETTE["grey"], markersize=10, markeredgewidth=2)
        if metric == "moved" and len(part):
            axis.legend(fontsize="small")
        axis.axhline(0, color=PALETTE["grey"], lw=1)
        axis.set_xticks(range(1, len(ORDER)), ORDER[1:])
        axis.set(xlabel="weight β", title=title)
    return figure


def plot_theory(curves: pd.DataFrame, misspecified: pd.DataFrame) -> Figure:
    """Left: log-odds of the minimiser over the true ones; right: where the model's form does not allow the shift."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    sns.lineplot(curves, x="log_odds", y="formula", **by_weight(curves["beta"]), ax=left)
    left.plot(curves["log_odds"][::4], curves["found"][::4], "k.", markersize=6)
    left.axhline(0, color=PALETTE["grey"], lw=0.8)
    left.set(xlabel="log-odds of the true probability η", ylabel="log-odds of the minimiser q")
    right.plot(misspecified["beta"], misspecified["boundary"], "o-", label="trained with β")
    right.plot(misspecified["beta"], misspecified["moved_boundary"], "s--", label="unweighted, threshold moved")
    right.set(xlabel="β", ylabel="boundary on x")
    right.legend(fontsize="small")
    weight_ticks(right, misspecified["beta"])
    return figure


def plot_rules(table: pd.DataFrame) -> Figure:
    """Balanced accuracy of each rule and its paired difference from the reference, with 95 % intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.32 * len(table) + 1.3), sharey=True, layout="constrained")
    titles = {"bacc": "bACC", "difference": "difference from plain CE, tuned"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        intervals(axis, table, column, table["rule"])
        axis.set_xlabel(title)
        axis.locator_params(axis="x", nbins=6)
    axes[0].invert_yaxis()
    axes[1].axvline(0, color=PALETTE["grey"], lw=1)
    return figure


def plot_curves(curves: pd.DataFrame, x: str, y: str, labels: tuple[str, str], log: bool = False) -> Figure:
    """Cost or decision curves: a colour a weight, dashed where corrected, grey for what needs no model, black the oracle."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
    names = curves["curve"].unique()
    weights = [curve for curve in names if curve.startswith("β") and not curve.endswith("corrected")]
    colours: dict[str, Any] = dict(zip(weights, sns.color_palette("viridis", len(weights)), strict=True))
    colours["oracle threshold"] = "black"
    palette = {curve: colours.get(curve.removesuffix(", corrected"), PALETTE["grey"]) for curve in names}
    dashes: dict[str, Any] = {curve: (4, 2) if curve.endswith("corrected") else "" for curve in names}
    dashes |= {curve: (1, 1.5) for curve in ("trivial", "treat none")}
    shared = {"hue": "curve", "style": "curve", "palette": palette, "dashes": dashes, "errorbar": None}
    sns.lineplot(curves, x=x, y=y, linewidth=1.4, **shared, ax=axis)
    top = float(curves.loc[log | (curves["curve"] == "trivial"), y].max())
    axis.set(xlabel=labels[0], ylabel=labels[1], ylim=(-0.5 * top, 1.1 * top) if log else (0, 1.3 * top))
    axis.set(**{"xscale": "log"} if log else {"xlim": (0, 1)})
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_reliability(curves: pd.DataFrame) -> Figure:
    """Frequency of COVID over mean probability, a line a weight; the diagonal is perfect calibration."""
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.2), sharey=True, layout="constrained")
    for axis, (panel, part) in zip(axes, curves.groupby("panel", sort=False), strict=True):
        sns.lineplot(part, x="confidence", y="frequency", marker="o", **by_weight(part["weight"]), ax=axis)
        axis.axline((0, 0), slope=1, color=PALETTE["grey"], lw=1, linestyle="--")
        axis.set(title=str(panel), xlabel="mean predicted probability", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of COVID")
    return figure


def plot_losses(table: pd.DataFrame) -> Figure:
    """Value and slope of the three losses over the log-odds of a COVID image (`released.loss_table`)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for axis, (column, title) in zip(axes, (("value", "value"), ("gradient", "slope")), strict=True):
        sns.lineplot(table, x="log_odds", y=column, hue="loss", palette=LOSS_COLOURS, legend=column == "value", ax=axis)
        axis.axvline(0, color=PALETTE["grey"], linewidth=1)
        axis.set(xlabel="log-odds of COVID for a COVID image", ylabel="", title=title)
    return figure


def plot_learning_time(table: pd.DataFrame) -> Figure:
    """Time to unlearn a confident mistake, on a log scale (`released.learning_table`)."""
    figure, axis = plt.subplots(figsize=(6.5, 4.0))
    sns.lineplot(table[table["start"] > 0], x="start", y="time", hue="loss", palette=LOSS_COLOURS, ax=axis)
    axis.set(yscale="log", xlabel="initial log-odds of the wrong class", ylabel="time to log-odds of 0 (gradient flow)")
    return figure


def plot_factors(differences: pd.DataFrame) -> Figure:
    """Paired differences of each factor, treated minus control, a point a pair of runs, a panel a metric (`released.pairs_by_factor`)."""
    factors = [factor for factor in FACTORS if factor in set(differences["factor"])]
    rows = {factor: factor.replace(": ", ":\n", 1) for factor in factors}
    table = differences.assign(model=differences["model"].map(name), factor=differences["factor"].map(rows))
    panels = {name(metric): table[table["metric"] == metric] for metric in METRICS}
    colours = {name(model): colour for model, colour in MODEL_COLOURS.items()}
    figure = strip_panels(panels, "factor", list(rows.values()), "model", colours)
    for axis in figure.axes:
        axis.set_xlabel("treated − control")
    return figure


def plot_loss_effect(effect: pd.DataFrame) -> Figure:
    """Released minus paper without the weight and with it, a line a run, a panel a metric (`released.loss_effect`)."""
    figure, axes = plt.subplots(1, len(METRICS), figsize=(12.0, 3.4), layout="constrained")
    for axis, metric in zip(axes, METRICS, strict=True):
        lines = effect.loc[effect["metric"] == metric, ["without", "with"]].to_numpy().T
        axis.plot([0, 1], lines, marker="o", color=PALETTE["blue"], alpha=0.6)
        axis.axhline(0, color="black", linewidth=1)
        axis.set_xticks([0, 1], ["no β:\nlosses differ", "β 0.75:\nsame loss"], fontsize=9)
        axis.set(title=name(metric), xlim=(-0.3, 1.3))
    axes[0].set_ylabel("released − paper")
    return figure
