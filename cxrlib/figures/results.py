"""Figures of the whole study: Table II by configuration, operating points, curves, training, effects."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cxrlib.analysis.effects import CONTRASTS, METRICS
from cxrlib.figures.experiments import curve_table
from cxrlib.figures.style import PAPER_COLOUR, PROTOCOL_COLOURS
from cxrlib.records.record import Record
from cxrlib.training.grid import BEST

COHORTS = {"augmented": "augmented", "combined": "combined", "covidx_ray_5k": "COVIDX-Ray-5K"}
MODELS = {"resnet50": "ResNet-50", "acnn": "ACNN", "squeezenet": "SqueezeNet", "vgg19": "VGG-19"}
MARKERS = {"resnet50": "o", "acnn": "^", "squeezenet": "s", "vgg19": "D"}


def configuration_name(row: pd.Series) -> str:
    """A configuration in one short line, for an axis."""
    beta = "–" if np.isnan(row["beta"]) else f"{row['beta']:g}"
    return f"{COHORTS[row['cohort']]} · {MODELS[row['model']]} · {row['pretraining']} · β {beta}"


def plot_table_2(table: pd.DataFrame) -> Figure:
    """Sensitivity, specificity and bACC by configuration: points by protocol, crosses as printed.

    `table` comes from `results.table_2`: sensitivity and specificity with pooled Clopper-Pearson intervals, bACC with
    the mean of each seed's bootstrap interval. A configuration without a record keeps its line.
    """
    names = list(dict.fromkeys(configuration_name(row) for _, row in table.iterrows()))
    place = {name: len(names) - 1 - k for k, name in enumerate(names)}
    figure, axes = plt.subplots(1, 3, figsize=(11.0, 0.42 * len(names) + 1.4), sharey=True, layout="constrained")
    y = np.array([place[configuration_name(row)] for _, row in table.iterrows()], float)
    for axis, metric in zip(axes, ("sensitivity", "specificity", "bacc"), strict=True):
        for k, (protocol, colour) in enumerate(PROTOCOL_COLOURS.items()):
            mask = ((table["protocol"] == protocol) & (table["seeds"] > 0)).to_numpy()
            value = table[metric].to_numpy()[mask]
            axis.errorbar(
                value, y[mask] + 0.22 * (1 - k), xerr=_errors(table[mask], metric, value), fmt="o", color=colour, label=protocol,
                markersize=5, elinewidth=1,
            )  # fmt: skip
        first = table.drop_duplicates(list(table.columns[:4]))
        axis.plot(
            first[f"paper_{metric}"],
            [place[configuration_name(row)] for _, row in first.iterrows()],
            "x",
            color=PAPER_COLOUR,
            label="as printed",
        )
        axis.set_title({"bacc": "balanced accuracy"}.get(metric, metric))
    axes[0].set_yticks(list(place.values()), list(place))
    axes[2].legend(loc="lower left")
    return figure


def _errors(part: pd.DataFrame, metric: str, value: np.ndarray) -> np.ndarray:
    # With several seeds the mean of rates need not lie in the pooled interval's centre; clip at zero length.
    return np.clip(np.vstack([value - part[f"{metric}_low"], part[f"{metric}_high"] - value]), 0, None)


def plot_plane(table: pd.DataFrame) -> Figure:
    """Sensitivity over specificity, a point a recorded cell: colour by protocol, marker by network, crosses as printed.

    Lines of equal balanced accuracy lie behind them.
    """
    figure, axis = plt.subplots(figsize=(7.5, 5.5), layout="constrained")
    ends = np.array([0.0, 1.0])
    for level in (0.5, 0.6, 0.7, 0.8, 0.9):
        axis.plot(ends, 2 * level - ends, color="0.85", linewidth=0.8, zorder=0)
        axis.annotate(f"bACC {level:g}", (1.0, 2 * level - 1), fontsize=8, color="0.5", ha="right", va="bottom")
    for (protocol, model), part in table[table["seeds"] > 0].groupby(["protocol", "model"], sort=False):
        if protocol in PROTOCOL_COLOURS:
            axis.plot(
                part["specificity"], part["sensitivity"], MARKERS[model], color=PROTOCOL_COLOURS[protocol],
                label=f"{protocol}, {MODELS[model]}", mfc="none", ms=8, mew=1.6,
            )  # fmt: skip
    first = table.drop_duplicates(list(table.columns[:4]))
    axis.plot(first["paper_specificity"], first["paper_sensitivity"], "x", color=PAPER_COLOUR, label="as printed")
    recorded = table.loc[table["seeds"] > 0, "specificity"]
    lowest = min([0.9, *recorded, *first["paper_specificity"].dropna()])
    axis.set(xlabel="specificity", ylabel="sensitivity", xlim=(lowest - 0.01, 1.003), ylim=(-0.03, 1.03))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def curves_table(records: Sequence[Record]) -> pd.DataFrame:
    """ROC and precision-recall points of the best row, with the weight and without: protocol, beta, seed, curve, x, y."""
    parts = []
    for record in main_rows(records):
        settings = {"protocol": record.config.protocol, "beta": record.config.beta, "seed": record.config.seed}
        parts.append(curve_table(record).assign(**settings))
    columns = ["curve", "x", "y", "threshold", "protocol", "beta", "seed"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def plot_main_curves(records: Sequence[Record]) -> Figure:
    """ROC and precision-recall curves of the paper's best row: colour by protocol, solid with the weight, dotted without."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.6), layout="constrained")
    named = set()
    for record in main_rows(records):
        c, m = record.config, record.metrics["test"]
        points = curve_table(record)
        beta = "no β" if c.beta is None else f"β {c.beta:g}"
        style = {"color": PROTOCOL_COLOURS[c.protocol], "linestyle": ":" if c.beta is None else "-"}
        name = f"{c.protocol}, {beta}"
        for axis, curve in ((left, "ROC"), (right, "precision-recall")):
            part = points[points["curve"] == curve]
            label = None if name in named else name
            axis.plot(
                part["x"], part["y"], drawstyle="default" if curve == "ROC" else "steps-post", label=label, **style
            )
        left.plot(1 - m["specificity"], m["sensitivity"], "o", color=style["color"], mfc="none", ms=7)
        named.add(name)
    left.plot(1 - BEST.specificity, BEST.sensitivity, "x", color=PAPER_COLOUR, ms=9, mew=2, label="as printed")
    left.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    right.set(title="precision-recall", xlabel="recall (sensitivity)", ylabel="precision", ylim=(-0.02, 1.02))
    left.legend(loc="lower right", fontsize=9)
    return figure


def main_rows(records: Sequence[Record]) -> list[Record]:
    """The records of the paper's best row, with its weight and without, under the three protocols."""
    same = (BEST.cohort, BEST.model, BEST.pretraining)
    return [
        r
        for r in records
        if (r.config.cohort, r.config.model, r.config.pretraining) == same
        and r.config.beta in (BEST.beta, None)
        and r.config.protocol in PROTOCOL_COLOURS
    ]


def histories(records: Sequence[Record]) -> pd.DataFrame:
    """Loss by epoch of every record of the three protocols: panel, protocol, beta, seed, epoch, losses, kept."""
    parts = [
        record.history.assign(
            panel=f"{COHORTS[record.config.cohort]} · {MODELS[record.config.model]} · {record.config.pretraining}",
            protocol=record.config.protocol,
            weight="no β" if record.config.beta is None else f"β {record.config.beta:g}",
            seed=record.config.seed,
        )
        for record in records
        if record.config.protocol in PROTOCOL_COLOURS and record.config.beta in (None, BEST.beta)
    ]
    columns = ["panel", "protocol", "weight", "seed", "epoch", "train_loss", "valid_loss", "kept"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def plot_histories(table: pd.DataFrame) -> Figure:
    """Validation loss by epoch, a panel a cohort, network and start: colour by protocol, dotted without the weight.

    Losses of different betas and protocols are not the same function, so that only the course of each line counts.
    """
    panels = sorted(table["panel"].unique()) or ["no record yet"]
    rows = -(-len(panels) // 3)
    figure, axes = plt.subplots(
        rows, 3, figsize=(11.0, 2.7 * rows + 0.5), sharex=True, layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        for (protocol, weight, _), line in table[table["panel"] == panel].groupby(["protocol", "weight", "seed"]):
            colour, dotted = PROTOCOL_COLOURS[protocol], ":" if weight == "no β" else "-"
            axis.plot(line["epoch"] + 1, line["valid_loss"], color=colour, linestyle=dotted)
            kept = line[line["kept"]]
            axis.plot(kept["epoch"] + 1, kept["valid_loss"], "o", color=colour, ms=4)
        axis.set_title(panel, fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("validation loss", fontsize=10)
    handles = [Line2D([], [], color=colour, label=name) for name, colour in PROTOCOL_COLOURS.items()]
    handles.append(Line2D([], [], color="0.3", linestyle="-", label="β 0.75"))
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="no β"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9)
    return figure


def plot_effects(differences: pd.DataFrame) -> Figure:
    """Every paired difference by contrast: a point a pair, coloured by protocol, a bar at the mean."""
    names = [contrast.name for contrast in CONTRASTS]
    titles = {"bacc": "balanced accuracy", "auroc": "AUROC"}
    figure, axes = plt.subplots(1, len(METRICS), figsize=(12.0, 3.8), sharey=True, layout="constrained")
    for axis, metric in zip(axes, METRICS, strict=True):
        part = differences[differences["metric"] == metric]
        axis.axvline(0, color="0.6", linewidth=1)
        for place, name in enumerate(reversed(names)):
            pairs = part[part["contrast"] == name]
            spread = np.linspace(-0.22, 0.22, len(pairs)) if len(pairs) > 1 else np.zeros(len(pairs))
            colours = [PROTOCOL_COLOURS.get(protocol, "0.3") for protocol in pairs["protocol"].fillna("")]
            axis.scatter(pairs["difference"], place + spread, s=18, c=colours, alpha=0.85)
            if len(pairs):
                axis.plot([pairs["difference"].mean()] * 2, [place - 0.35, place + 0.35], color="black", linewidth=2)
        axis.set(title=titles.get(metric, metric), xlabel="difference")
    axes[0].set_yticks(range(len(names)), list(reversed(names)))
    handles = [Line2D([], [], color=c, marker="o", linestyle="", label=n) for n, c in PROTOCOL_COLOURS.items()]
    handles.append(Line2D([], [], color="0.3", marker="o", linestyle="", label="between protocols"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def plot_confusions(table: pd.DataFrame) -> Figure:
    """Test images found, missed, cleared and falsely called: a row a configuration, a panel a protocol.

    Cells are shaded by the share of their true class and hold counts pooled over seeds; without a record, a dash.
    """
    names = list(dict.fromkeys(configuration_name(row) for _, row in table.iterrows()))
    figure, axes = plt.subplots(
        1, len(PROTOCOL_COLOURS), figsize=(12.0, 0.34 * len(names) + 1.2), sharey=True, layout="constrained"
    )
    columns = {"tp": "found", "fn": "missed", "tn": "cleared", "fp": "false alarm"}
    for axis, protocol in zip(axes, PROTOCOL_COLOURS, strict=True):
        part = table[table["protocol"] == protocol]
        part = part.set_index(part.apply(configuration_name, axis=1) if len(part) else part.index).reindex(names)
        counts = part[list(columns)].astype(float)
        whole = {"tp": ("tp", "fn"), "fn": ("tp", "fn"), "tn": ("tn", "fp"), "fp": ("tn", "fp")}
        shares = pd.DataFrame({name: counts[name] / counts[list(of)].sum(axis=1) for name, of in whole.items()})
        labels = counts.map(lambda n: "–" if np.isnan(n) else f"{n:.0f}")
        sns.heatmap(
            shares.fillna(0), annot=labels, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, ax=axis,
            xticklabels=list(columns.values()), yticklabels=names, annot_kws={"fontsize": 8},
        )  # fmt: skip
        axis.set(title=protocol, xlabel="", ylabel="")
        axis.tick_params(labelsize=8)
    return figure
