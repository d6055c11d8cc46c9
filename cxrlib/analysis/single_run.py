"""One run as tables: its counts, curves, figures beside the paper's row, provenance, and the numbers the prose quotes."""

from collections.abc import Iterable, Sequence

import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from cxrlib.analysis.sentences import estimate
from cxrlib.analysis.table_2 import paper_row
from cxrlib.names import beta_text, name
from cxrlib.protocols import CHOICES, PROTOCOLS
from cxrlib.records.record import Record

RATES = ("sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")


def confusion_table(record: Record) -> pd.DataFrame:
    """Test images by true class (rows) and predicted class (columns) at threshold 0.5."""
    m = record.metrics["test"]
    return pd.DataFrame(
        [[m["tp"], m["fn"]], [m["fp"], m["tn"]]],
        index=pd.Index(["COVID-19", "non-COVID"], name="true class"),
        columns=pd.Index(["COVID-19", "non-COVID"], name="predicted class"),
    )


def curve_table(record: Record) -> pd.DataFrame:
    """Points of the ROC and the precision-recall curve on the test set: curve, x, y, threshold."""
    test = record.test()
    false, true, at = roc_curve(test["label"], test["probability"], drop_intermediate=True)
    precision, recall, cut = precision_recall_curve(test["label"], test["probability"], drop_intermediate=True)
    roc = pd.DataFrame({"curve": "ROC", "x": false, "y": true, "threshold": at})
    pr = pd.DataFrame({"curve": "precision-recall", "x": recall[:-1], "y": precision[:-1], "threshold": cut})
    return pd.concat([roc, pr], ignore_index=True)


def histories(records: Sequence[Record]) -> pd.DataFrame:
    """Loss by epoch of records with the paper's weight or none: panel, protocol, weight, seed, run, epoch, losses, kept."""
    parts = [
        record.history.assign(
            panel=f"{name(record.config.model)}, {name(record.config.pretraining)}", run=record.key,
            protocol=record.config.protocol, weight=beta_text(record.config.beta), seed=record.config.seed,
        )
        for record in records
        if record.config.protocol in PROTOCOLS and record.config.beta in (None, 0.75)
    ]  # fmt: skip
    columns = ["panel", "protocol", "weight", "seed", "run", "epoch", "train_loss", "valid_loss", "kept"]
    return pd.concat(parts, ignore_index=True)[columns]


def comparison_table(record: Record) -> pd.DataFrame:
    """The run's metrics with 95 % intervals beside the paper's figures for the same configuration.

    Rates carry Clopper-Pearson intervals, the others a bootstrap's by component. The paper's PPCR column is set beside
    accuracy, which it holds. The last two rows are the figures of `evaluation.sources`.
    """
    m, row = record.metrics, paper_row(record.config)
    columns = {"sensitivity": "sensitivity", "specificity": "specificity", "bacc": "bacc", "accuracy": "ppcr"}
    printed = {metric: getattr(row, column, None) for metric, column in columns.items()}
    rows = [
        (name(metric), *(m["test"][f"{metric}{end}"] for end in ("", "_low", "_high")), m["test_tuned"][metric], printed.get(metric))
        for metric in RATES
    ]  # fmt: skip
    for key in ("within_source", "source_among_negatives"):
        rows.append((name(key), *(m[key][end] for end in ("value", "low", "high")), None, None))
    names = ["this run", "this run_low", "this run_high", "tuned threshold", "paper"]
    return pd.DataFrame(rows, columns=["metric", *names]).astype(dict.fromkeys(names, float))


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
        ("machine", f"{p['machine']}; {record.config.precision}"),
        ("wall time", f"{p['wall_s']:.0f} s, {p['train_images_per_s']:.0f} images/s in training and validation"),
        ("peak memory", f"{p['peak_memory_mib']:.0f} MiB"),
        ("epochs", f"{p['epochs_run']} run, epoch {p['epoch_kept'] + 1} kept"),
        ("images", "; ".join(f"{part} {n['covid']} + {n['non_covid']}" for part, n in p["counts"].items())),
        ("versions", ", ".join(f"{package} {number}" for package, number in p["versions"].items())),
    )
    return pd.DataFrame(rows, columns=["what", "value"]).astype(str)


def headline(record: Record) -> dict[str, object]:
    """The numbers and sentences that the chapter's prose quotes, by the name they are glued under."""
    m, row = record.metrics["test"], paper_row(record.config)
    within, source = (
        estimate(*(record.metrics[key][end] for end in ("value", "low", "high")))
        for key in ("within_source", "source_among_negatives")
    )
    figures = ("tp", "sensitivity", "sensitivity_low", "sensitivity_high", "specificity", "bacc", "auroc")
    paper = "the paper has no row for this configuration."
    if row is not None:
        paper = f"the paper prints {row.bacc:.4f} for this row, on other data."
    dead = f"**This network learned nothing** ({record.degenerate}): its figures support no conclusion."
    overlapping = int(record.test().query("label == 1")["overlap"].sum())
    overlap = "None does, so the sensitivity above is that on unseen patients."
    if overlapping:
        seen, unseen = record.metrics["test_overlapping"], record.metrics["test_not_overlapping"]
        others = unseen["tp"] + unseen["fn"]
        rest = (
            f"of the other {others} it finds {unseen['tp']}" if others else "no other COVID-19 image is left to test on"
        )
        overlap = f"Of these {overlapping}, the network finds {seen['tp']}; {rest}."
    return {
        **{figure: m[figure] for figure in figures},
        "positives": m["tp"] + m["fn"],
        "threshold": record.metrics["test_tuned"]["threshold"],
        "paper_sentence": paper,
        "within": within,
        "of_source": source,
        "learned": dead if record.degenerate else "",
        "overlapping": overlapping,
        "overlap_sentence": overlap,
    }


def protocol_table() -> pd.DataFrame:
    """The protocols' fields, a row a field and a column a protocol."""
    return pd.DataFrame(
        [{"field": field, **{p.name: getattr(p, field) for p in PROTOCOLS.values()}} for field in CHOICES]
    )
