"""Figures of the chapter on what the weight does; each `plot_…` shows a table made in `cxrlib.analysis.beta`."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import expit, logit

from cxrlib.analysis.beta.scores import PLAIN, method_name
from cxrlib.analysis.beta.threshold import moved, pointwise_minimiser
from cxrlib.evaluation.calibration import reliability
from cxrlib.evaluation.costs import Roc, cost_curve, decision_curve, normalised_cost
from cxrlib.figures.style import PALETTE, PROTOCOL_COLOURS

SHOWN = (0.25, 1.0, 4.0)  # weights drawn where all would crowd the figure
SETS = {"coarse": PALETTE["green"], "fine": PALETTE["orange"], "fine, few": PALETTE["red"]}


def shift_curves(betas: Sequence[float] = (0.25, 0.75, 1.0, 4.0), points: int = 41) -> pd.DataFrame:
    """The minimiser found numerically beside the formula, over logit eta: beta, log_odds, found, formula."""
    z = np.linspace(-4, 4, points)
    parts = [
        pd.DataFrame({"beta": b, "log_odds": z, "found": pointwise_minimiser(expit(z), b), "formula": moved(z, b)})
        for b in betas
    ]
    return pd.concat(parts, ignore_index=True)


def plot_theory(curves: pd.DataFrame, misspecified: pd.DataFrame) -> Figure:
    """Left: log-odds of the minimiser over the true ones; right: where the model's form does not allow the shift."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for (beta, part), colour in zip(curves.groupby("beta"), _colours(curves["beta"].nunique()), strict=True):
        left.plot(part["log_odds"], part["formula"], color=colour, label=f"β = {beta:g}")
        left.plot(part["log_odds"][::4], part["found"][::4], "o", color=colour, markersize=4)
    left.axhline(0, color=PALETTE["grey"], lw=0.8)
    left.set(xlabel="log-odds of the true probability η", ylabel="log-odds of the minimiser q")
    left.legend(fontsize="small")
    right.plot(misspecified["beta"], misspecified["boundary"], "o-", label="trained with β")
    right.plot(misspecified["beta"], misspecified["moved_boundary"], "s--", label="plain, threshold moved")
    _beta_axis(right, misspecified["beta"])
    right.set(ylabel="boundary on x")
    right.legend(fontsize="small")
    return figure


def plot_equivalence(table: pd.DataFrame) -> Figure:
    """Share of log beta that is realised (left) and paired difference in bACC (right), a point a fold and weight.

    `table`: of `study.equivalence`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    names = ("share_of_shift", "bacc")
    labels = ("realised share of log β", "bACC: trained with β − threshold moved")
    for axis, name, label, theory in zip(axes, names, labels, (1, 0), strict=True):
        axis.plot(table["beta"], table[name], "o", color=PALETTE["blue"], alpha=0.6)
        means = table.groupby("beta")[name].mean()
        axis.plot(means.index, means, "_", color="black", markersize=14)
        axis.axhline(theory, color=PALETTE["grey"], lw=1, linestyle="--")
        _beta_axis(axis, means.index)
        axis.set_ylabel(label)
    return figure


def plot_pairs(pairs: pd.DataFrame) -> Figure:
    """Recorded pairs: differences of weighted runs from the plain run at each rule, coloured by protocol.

    `pairs`: of `study.pairs`; without any the panels say so.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8), sharex=True, layout="constrained")
    for axis, name in zip(axes, ("sensitivity", "specificity", "bacc"), strict=True):
        axis.axvline(0, color=PALETTE["grey"], lw=1)
        axis.set_title({"bacc": "balanced accuracy"}.get(name, name))
        if pairs.empty:
            axis.text(0.5, 0.5, "no pair recorded yet", ha="center", va="center", transform=axis.transAxes)
            axis.set_yticks([])
            continue
        base = pairs["protocol"].str.split("+").str[0]
        data = pairs.assign(protocol=base)
        sns.stripplot(
            data,
            x=name,
            y="against",
            hue="protocol",
            palette=PROTOCOL_COLOURS,
            ax=axis,
            alpha=0.7,
            legend=axis is axes[0],
        )
        axis.set(xlabel="weighted − plain", ylabel="plain run with" if axis is axes[0] else "")
        if axis is not axes[0]:
            axis.set_yticklabels([])
    return figure


def plot_course(course: pd.DataFrame) -> Figure:
    """Realised share of log beta, and calls that differ, over training steps; thin lines are seeds and weights."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8), sharex=True, layout="constrained")
    titles = {
        "share": "realised share of log β",
        "differently": "images called differently",
        "training_errors": "training errors",
    }
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for key, colour in SETS.items():
            part = course[course["set"] == key]
            for _, line in part.groupby(["seed", "beta"]):
                axis.plot(line["step"], line[name], color=colour, lw=0.6, alpha=0.5)
            label = f"{part['pixels'].iloc[0]} pixels, {part['images'].iloc[0]} images"
            axis.plot(part.groupby("step")[name].mean(), color=colour, lw=2.2, label=label)
        axis.set(xscale="log", xlabel="training step", title=title)
    axes[0].axhline(1, color=PALETTE["grey"], lw=1, linestyle="--")
    axes[0].legend(fontsize="x-small", loc="upper left")
    return figure


def plot_rules(table: pd.DataFrame, label: str = "balanced accuracy") -> Figure:
    """Utility of each rule and its paired difference from the reference, with 95 % intervals."""
    names = (
        [f"{loss}, {rule}" for loss, rule in zip(table["loss"], table["rule"], strict=True)]
        if "loss" in table
        else list(table["rule"])
    )
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.32 * len(table) + 1.3), sharey=True, layout="constrained")
    places = np.arange(len(table))[::-1]
    for axis, name, title in zip(
        axes, ("utility", "difference"), (label, "difference from plain CE, tuned"), strict=True
    ):
        axis.hlines(places, table[f"{name}_low"], table[f"{name}_high"], color=PALETTE["blue"])
        axis.plot(table[name], places, "o", color=PALETTE["blue"])
        axis.set(xlabel=title)
        axis.xaxis.set_major_locator(MaxNLocator(5))
    axes[0].set_yticks(places, names)
    axes[1].axvline(0, color=PALETTE["grey"], lw=1)
    return figure


def cost_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Normalised expected cost over pc on the pooled test images: each weight at one half, the oracle, the trivial.

    Columns: pc, curve, cost. The oracle is the lower envelope of plain cross-entropy.
    """
    test = scores[(scores["split"] == "test") & scores["beta"].notna()]
    plain = test[test["method"] == PLAIN]
    envelope = cost_curve(Roc.of(plain["label"], plain["logit"]))
    parts = [
        envelope[["pc"]].assign(curve="oracle threshold", cost=envelope["best"]),
        envelope[["pc"]].assign(curve="trivial", cost=envelope["trivial"]),
    ]
    for beta, part in test.groupby("beta"):
        sensitivity, specificity = Roc.of(part["label"], part["logit"]).at(0.0)
        cost = normalised_cost(sensitivity, specificity, envelope["pc"])
        parts.append(envelope[["pc"]].assign(curve=f"β = {beta:g}", cost=cost))
    return pd.concat(parts, ignore_index=True)


def plot_cost_curves(curves: pd.DataFrame) -> Figure:
    """Cost curves: a straight line a weight, the oracle's envelope below them."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
    lines = [name for name in curves["curve"].unique() if name.startswith("β")]
    styles: dict[str, tuple[Any, str, float]] = {
        name: (colour, "-", 1.2) for name, colour in zip(lines, _colours(len(lines)), strict=True)
    }
    styles |= {"oracle threshold": ("black", "-", 2.2), "trivial": (PALETTE["grey"], ":", 1.5)}
    for name, (colour, dashes, width) in styles.items():
        part = curves[curves["curve"] == name]
        axis.plot(part["pc"], part["cost"], color=colour, linestyle=dashes, lw=width, label=name)
    top = 1.3 * float(curves.loc[curves["curve"] == "trivial", "cost"].max())
    axis.set(xlabel="probability-cost function pc", ylabel="normalised expected cost", ylim=(0, top), xlim=(0, 1))
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def decision_curves(scores: pd.DataFrame, betas: Sequence[float] = SHOWN) -> pd.DataFrame:
    """Net benefit over threshold probability on the pooled test images: threshold, curve, net_benefit.

    Each weighted model as trained ("β = …"), and with log beta taken off and the prevalence of the validation images
    exchanged for that of the test images ("β = …, corrected"). Thresholds run from a tenth
    of the test prevalence to thirty times it, at most 0.8: beyond, a rare disease leaves nothing to gain.
    """
    test = scores[scores["split"] == "test"]
    prevalence = float((test["label"] == 1).mean())
    trained = float((scores.loc[scores["split"] == "valid", "label"] == 1).mean())
    moved = float(logit(trained) - logit(prevalence))
    thresholds = np.geomspace(prevalence / 10, min(30 * prevalence, 0.8), 80)
    parts = []
    for beta in betas:
        part = test[test["method"] == method_name(beta)]
        if part.empty:
            continue
        variants = {f"β = {beta:g}": 0.0, f"β = {beta:g}, corrected": float(np.log(beta)) + moved}
        for name, shift in variants.items():
            curve = decision_curve(part["label"], expit(part["logit"] - shift), thresholds)
            parts.append(pd.DataFrame({"threshold": thresholds, "curve": name, "net_benefit": curve["model"]}))
    plain = test[test["method"] == PLAIN]
    base = decision_curve(plain["label"], expit(plain["logit"]), thresholds)
    for name in ("all", "none"):
        parts.append(pd.DataFrame({"threshold": thresholds, "curve": f"treat {name}", "net_benefit": base[name]}))
    return pd.concat(parts, ignore_index=True)


def plot_decision_curves(curves: pd.DataFrame) -> Figure:
    """Decision curves; dashed where the weight and the prevalence are corrected for."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
    bases = sorted({name.removesuffix(", corrected") for name in curves["curve"] if name.startswith("β")})
    colours = dict(zip(bases, _colours(len(bases)), strict=True))
    for name, part in curves.groupby("curve", sort=False):
        base = str(name).removesuffix(", corrected")
        style = {
            "color": colours.get(base, PALETTE["grey"]),
            "linestyle": "--" if base != name else ":" if base == "treat none" else "-",
        }
        axis.plot(part["threshold"], part["net_benefit"], label=str(name), **style)
    top = float(curves["net_benefit"].max())
    axis.set(xlabel="threshold probability", ylabel="net benefit", ylim=(-0.5 * top, 1.1 * top), xscale="log")
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def reliability_curves(scores: pd.DataFrame, betas: Sequence[float] = SHOWN) -> pd.DataFrame:
    """Reliability diagrams on the pooled test images, as trained and with log beta taken off, bins of equal mass."""
    test = scores[scores["split"] == "test"]
    parts = []
    for beta in betas:
        part = test[test["method"] == method_name(beta)]
        for panel, shift in (("as trained", 0.0), ("log β taken off", float(np.log(beta)))):
            if not part.empty:
                table = reliability(part["label"], expit(part["logit"] - shift), strategy="mass")
                parts.append(table.assign(beta=beta, panel=panel))
    return pd.concat(parts, ignore_index=True)


def plot_reliability(curves: pd.DataFrame) -> Figure:
    """Frequency of COVID over mean probability, a line a weight; the diagonal is perfect calibration."""
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.2), sharey=True, layout="constrained")
    colours = dict(zip(sorted(curves["beta"].unique()), _colours(curves["beta"].nunique()), strict=True))
    for axis, (panel, part) in zip(axes, curves.groupby("panel", sort=False), strict=True):
        axis.plot([0, 1], [0, 1], color=PALETTE["grey"], lw=1, linestyle="--")
        for beta, line in part.groupby("beta"):
            axis.plot(
                line["confidence"], line["frequency"], "o-", color=colours[beta], label=f"β = {beta:g}", markersize=4
            )
        axis.set(title=str(panel), xlabel="mean predicted probability", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of COVID")
    axes[0].legend(fontsize="small")
    return figure


def plot_regret(table: pd.DataFrame) -> Figure:
    """Regret of each rule over the cost of a miss, mean over folds; `table`: of `nested.regret_table`."""
    figure, axis = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    rules = [name for name in table["rule"].unique() if name != "oracle threshold"]
    for name in rules:
        axis.plot(table[table["rule"] == name].groupby("cost_ratio")["regret"].mean(), "o-", label=name, markersize=4)
    axis.axhline(0, color=PALETTE["grey"], lw=1)
    axis.set(xlabel="cost of a miss, in false alarms", ylabel="regret (normalised cost)", xscale="log")
    ratios = sorted(table["cost_ratio"].unique())
    axis.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axis.minorticks_off()
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _beta_axis(axis: Axes, betas: Sequence[float]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(list(betas), [f"{beta:g}" for beta in betas])
    axis.minorticks_off()
    axis.set_xlabel("β")


def _colours(number: int) -> list[tuple[float, float, float]]:
    return list(sns.color_palette("viridis", number))
