"""Figures and tables of one run, and the book's Table II of every recorded run."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from cxrlib.config import RunConfig
from cxrlib.evaluation.metrics import gain
from cxrlib.figures.style import NARROW, PALETTE, PAPER_COLOUR, WIDE
from cxrlib.paper.tables import REFERENCE, PaperRow, find_row
from cxrlib.protocols import CHOICES, PROTOCOLS
from cxrlib.records.record import Record

RATES = ("sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")
_RATE_NAMES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "bacc": "Balanced accuracy",
    "ppcr": "PPCR as defined",
    "accuracy": "Accuracy",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}


def plot_history(record: Record) -> Figure:
    """Training and validation loss by epoch, with the epoch the protocol keeps."""
    history = record.history
    figure, axis = plt.subplots(figsize=WIDE)
    for column, name, colour in (("train_loss", "training", "blue"), ("valid_loss", "validation", "orange")):
        axis.plot(history["epoch"] + 1, history[column], marker="o", label=name, color=PALETTE[colour])
    kept = int(history.loc[history["kept"], "epoch"].iloc[0]) + 1
    axis.axvline(kept, color=PALETTE["grey"], linestyle="--", label=f"kept: epoch {kept}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axis.legend()
    return figure


def confusion_table(record: Record) -> pd.DataFrame:
    """Test images by true class (rows) and predicted class (columns) at threshold 0.5."""
    m = record.metrics["test"]
    return pd.DataFrame(
        [[m["tp"], m["fn"]], [m["fp"], m["tn"]]],
        index=pd.Index(["COVID", "non-COVID"], name="true class"),
        columns=pd.Index(["COVID", "non-COVID"], name="predicted class"),
    )


def plot_confusion(record: Record) -> Figure:
    """Confusion matrix: shaded by the share of its true class, labelled with counts."""
    counts = confusion_table(record)
    shares = counts.div(counts.sum(axis=1), axis=0)
    figure, axis = plt.subplots(figsize=NARROW)
    sns.heatmap(
        shares,
        annot=counts,
        fmt="d",
        cmap="Blues",
        vmin=0,
        vmax=1,
        cbar_kws={"label": "share of the true class"},
        ax=axis,
    )
    return figure


def curve_table(record: Record) -> pd.DataFrame:
    """Points of the ROC and the precision-recall curve on the test set: curve, x, y, threshold."""
    test = record.test()
    false, true, at = roc_curve(test["label"], test["probability"], drop_intermediate=True)
    precision, recall, cut = precision_recall_curve(test["label"], test["probability"], drop_intermediate=True)
    return pd.concat(
        [
            pd.DataFrame({"curve": "ROC", "x": false, "y": true, "threshold": at}),
            pd.DataFrame({"curve": "precision-recall", "x": recall[:-1], "y": precision[:-1], "threshold": cut}),
        ],
        ignore_index=True,
    )


def plot_curves(record: Record) -> Figure:
    """ROC and precision-recall curves with the operating points at 0.5 and at the tuned threshold."""
    table, metrics = curve_table(record), record.metrics
    row = _printed(record.config)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.2), layout="constrained")
    for axis, curve in ((left, "ROC"), (right, "precision-recall")):
        part = table[table["curve"] == curve]
        axis.plot(part["x"], part["y"], color=PALETTE["blue"], drawstyle="default" if curve == "ROC" else "steps-post")
        axis.set(title=curve, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for name, key, marker in (("threshold 0.5", "test", "o"), ("tuned on validation", "test_tuned", "s")):
        m = metrics[key]
        left.plot(
            1 - m["specificity"], m["sensitivity"], marker, color=PALETTE["red"], label=name, mfc="none", ms=9, mew=2
        )
        if m["tp"] + m["fp"]:
            right.plot(
                m["sensitivity"], m["tp"] / (m["tp"] + m["fp"]), marker, color=PALETTE["red"], mfc="none", ms=9, mew=2
            )
    if row is not None:
        left.plot(1 - row.specificity, row.sensitivity, "x", color=PAPER_COLOUR, label="paper", ms=9, mew=2)
    left.set(xlabel="1 - specificity", ylabel="sensitivity")
    right.set(xlabel="recall (sensitivity)", ylabel="precision")
    left.legend(loc="lower right")
    return figure


def comparison_table(record: Record) -> pd.DataFrame:
    """The run's metrics with 95 % intervals beside the paper's figures for the same configuration.

    Rates carry Clopper-Pearson intervals. The paper's PPCR column is set beside accuracy, which it holds.
    """
    metrics = record.metrics["test"]
    c = record.config
    row = _printed(c)
    printed = {} if row is None else {
        "sensitivity": row.sensitivity, "specificity": row.specificity, "bacc": row.bacc, "accuracy": row.ppcr
    }  # fmt: skip
    rows = []
    for name in RATES:
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        rows.append(
            {
                "metric": _RATE_NAMES[name],
                "this run": metrics[name],
                "95 % low": low,
                "95 % high": high,
                "tuned threshold": record.metrics["test_tuned"][name],
                "paper": printed.get(name),
            }
        )
    return pd.DataFrame(rows).astype(
        {name: float for name in ("this run", "95 % low", "95 % high", "tuned threshold", "paper")}
    )


def recorded_table(records: Sequence[Record]) -> pd.DataFrame:
    """Table II of every recorded run, one row a run, beside the paper's figures for the configuration."""
    return pd.DataFrame([_recorded_row(record) for record in records])


def _recorded_row(record: Record) -> dict[str, object]:
    c, m = record.config, record.metrics["test"]
    row = _printed(c)
    return {
        "training set": c.cohort,
        "model": c.model,
        "pretraining": c.pretraining,
        "β": "–" if c.beta is None else f"{c.beta:g}",
        "loss": c.loss,
        "protocol": c.protocol,
        "seed": c.seed,
        "edition": c.edition,
        "profile": c.profile,
        "px": c.image_size,
        "sensitivity": m["sensitivity"],
        "specificity": m["specificity"],
        "bACC": m["bacc"],
        "PPCR as defined": m["ppcr"],
        "accuracy": m["accuracy"],
        "gain %": 100 * gain(m["bacc"], m["accuracy"], REFERENCE.bacc, REFERENCE.ppcr),
        "AUROC": m["auroc"],
        "paper bACC": float("nan") if row is None else row.bacc,
        "code": "current" if record.current else "older",
        "record": record.key,
    }


def _printed(config: RunConfig) -> PaperRow | None:
    """The paper's row of a configuration; none where the loss or the preparation is not the paper's."""
    if config.loss != "wce" or config.preparation != "minmax":
        return None
    return find_row(config.cohort, config.model, config.pretraining, config.beta)


def provenance_table(record: Record) -> pd.DataFrame:
    """The run's provenance as two columns, for the page."""
    p = record.provenance
    rows: Iterable[tuple[str, object]] = (
        ("record", record.key),
        ("command", p["command"]),
        ("data", f"{record.config.edition} edition, digest {record.inputs['data']}"),
        ("initial weights", record.inputs["weights"] or "random"),
        ("code revision", p["code_revision"]),
        ("training code", f"{p['training_code']} ({'current' if record.current else 'older than this checkout'})"),
        ("machine", f"{p['machine']}; {p['precision']}"),
        ("wall time", f"{p['wall_s']:.0f} s, {p['train_images_per_s']:.0f} images/s in training and validation"),
        ("peak memory", f"{p['peak_memory_mib']:.0f} MiB"),
        ("epochs", f"{p['epochs_run']} run, epoch {p['epoch_kept'] + 1} kept"),
        ("images", "; ".join(f"{part} {n['covid']} + {n['non_covid']}" for part, n in p["counts"].items())),
        ("versions", ", ".join(f"{name} {number}" for name, number in p["versions"].items())),
    )
    return pd.DataFrame(rows, columns=["what", "value"]).astype(str)


def headline(record: Record) -> dict[str, object]:
    """The numbers and sentences that the chapter's prose quotes, by the name they are glued under."""
    m, c = record.metrics["test"], record.config
    row = _printed(c)
    overlapping = int(record.test().query("label == 1")["overlap"].sum())
    return {
        **{
            name: m[name]
            for name in ("tp", "sensitivity", "sensitivity_low", "sensitivity_high", "specificity", "bacc")
        },
        "positives": m["tp"] + m["fn"],
        "threshold": record.metrics["test_tuned"]["threshold"],
        "paper_sentence": (
            "the paper has no row for this configuration."
            if row is None
            else f"the paper prints {row.bacc:.4f} for this row, on other data."
        ),
        "overlapping": overlapping,
        "overlap_sentence": _overlap_sentence(record, overlapping),
    }


def _overlap_sentence(record: Record, overlapping: int) -> str:
    if not overlapping:
        return "None does, so the sensitivity above is that on unseen patients."
    seen, unseen = record.metrics["test_overlapping"], record.metrics["test_not_overlapping"]
    text = f"Of these {overlapping}, the network finds {seen['tp']}"
    others = unseen["tp"] + unseen["fn"]
    return text + (
        f"; of the other {others} it finds {unseen['tp']}." if others else "; no other COVID image is left to test on."
    )


def protocol_table() -> pd.DataFrame:
    """The protocols' fields, a row a field and a column a protocol."""
    return pd.DataFrame([{"field": name, **{p.name: getattr(p, name) for p in PROTOCOLS.values()}} for name in CHOICES])
