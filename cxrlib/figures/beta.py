"""Figures of the chapter on what the weight does; each `plot_…` shows a table made in `cxrlib.analysis.beta`."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.special import expit, logit

from cxrlib.analysis.beta.rules import PLAIN, method_name
from cxrlib.analysis.beta.theory import moved, pointwise_minimiser
from cxrlib.evaluation.decisions import Roc, cost_curve, decision_curve, normalised_cost, reliability
from cxrlib.figures.style import PALETTE, PROTOCOL_COLOURS, by_weight, intervals, weight_ticks
from cxrlib.names import name

SHOWN = (0.25, 1.0, 4.0)  # weights drawn where all would crowd the figure
ORDER = ("none", "0.25", "0.5", "0.75", "1.5", "2", "4")
POWERED = ("bacc", "auroc", "within_source")


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
        if part.empty:
            axis.text(0.5, 0.5, "not run", ha="center", va="center", transform=axis.transAxes)
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
        if part.empty:
            axis.text(0.5, 0.5, "not run", ha="center", va="center", transform=axis.transAxes)
        elif metric == "moved":
            axis.legend(fontsize="small")
        axis.axhline(0, color=PALETTE["grey"], lw=1)
        axis.set_xticks(range(1, len(ORDER)), ORDER[1:])
        axis.set(xlabel="weight β", title=title)
    return figure


def shift_curves() -> pd.DataFrame:
    """The minimiser found numerically beside the formula, over logit eta: beta, log_odds, found, formula."""
    z = np.linspace(-4, 4, 41)
    curves = [
        {"beta": b, "log_odds": z, "found": pointwise_minimiser(expit(z), b), "formula": moved(z, b)}
        for b in (0.25, 0.75, 1.0, 4.0)
    ]
    return pd.concat(map(pd.DataFrame, curves), ignore_index=True)


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


def cost_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Normalised expected cost over pc on the test images of all runs: pc, curve, cost.

    Curves: each weight at one half, the oracle (lower envelope of plain cross-entropy) and the trivial classifier.
    """
    test = scores[(scores["split"] == "test") & scores["weight"].notna()]
    plain = test[test["method"] == PLAIN]
    envelope = cost_curve(Roc.of(plain["label"], plain["logit"])).rename(columns={"best": "oracle threshold"})
    for weight, part in test.groupby("weight"):
        envelope[f"β = {weight:g}"] = normalised_cost(*Roc.of(part["label"], part["logit"]).at(0.0), envelope["pc"])
    return envelope.melt("pc", var_name="curve", value_name="cost")


def decision_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Net benefit over threshold probability on the test images of all runs: threshold, curve, net_benefit.

    Each weighted model as trained ("β = …"), and with log beta taken off and the prevalence of the validation images
    exchanged for that of the test images ("…, corrected"). Thresholds run from a tenth of the test prevalence to thirty
    times it, at most 0.8: beyond, a rare disease leaves nothing to gain.
    """
    test = scores[scores["split"] == "test"]
    prevalence, trained = (float((scores.loc[scores["split"] == s, "label"] == 1).mean()) for s in ("test", "valid"))
    exchange = float(logit(trained) - logit(prevalence))
    thresholds = np.geomspace(prevalence / 10, min(30 * prevalence, 0.8), 80)
    table = pd.DataFrame({"threshold": thresholds})
    for weight in SHOWN:
        part = test[test["method"] == method_name(weight)]
        for suffix, shift in (("", 0.0), (", corrected", float(np.log(weight)) + exchange)):
            if len(part):
                curve = decision_curve(part["label"], expit(part["logit"] - shift), thresholds)
                table[f"β = {weight:g}{suffix}"] = curve["model"]
                table[["treat all", "treat none"]] = curve[["all", "none"]]
    return table.melt("threshold", var_name="curve", value_name="net_benefit")


def plot_curves(curves: pd.DataFrame, x: str, y: str, labels: tuple[str, str], log: bool = False) -> Figure:
    """Cost or decision curves: a colour a weight, dashed where corrected, grey for what needs no model, black the oracle."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
    names = curves["curve"].unique()
    weights = [curve for curve in names if curve.startswith("β") and not curve.endswith("corrected")]
    colours = dict(zip(weights, sns.color_palette("viridis", len(weights)), strict=True)) | {
        "oracle threshold": "black"
    }
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


def reliability_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Reliability diagrams on the test images of all runs, as trained and with log beta taken off, bins of equal size."""
    test, parts = scores[scores["split"] == "test"], []
    for weight in SHOWN:
        part = test[test["method"] == method_name(weight)]
        for panel, shift in (("as trained", 0.0), ("log β taken off", float(np.log(weight)))):
            if len(part):
                table = reliability(part["label"], expit(part["logit"] - shift), mass=True)
                parts.append(table.assign(weight=weight, panel=panel))
    return pd.concat(parts, ignore_index=True)


def plot_reliability(curves: pd.DataFrame) -> Figure:
    """Frequency of COVID over mean probability, a line a weight; the diagonal is perfect calibration."""
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.2), sharey=True, layout="constrained")
    for axis, (panel, part) in zip(axes, curves.groupby("panel", sort=False), strict=True):
        sns.lineplot(part, x="confidence", y="frequency", marker="o", **by_weight(part["weight"]), ax=axis)
        axis.axline((0, 0), slope=1, color=PALETTE["grey"], lw=1, linestyle="--")
        axis.set(title=str(panel), xlabel="mean predicted probability", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of COVID")
    return figure
