"""Chapter 5: Table II from the records with what is missing and what learned nothing; one run as tables and numbers."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from cxrlib.analysis.pairs import value
from cxrlib.analysis.sentences import count, estimate, listed
from cxrlib.config import RunConfig, RunParameters
from cxrlib.evaluation.intervals import Statistic, bootstrap, weighted_auprc, weighted_auroc, weighted_rates
from cxrlib.evaluation.metrics import gain
from cxrlib.names import beta_text, name
from cxrlib.paper.tables import BASELINES, TABLE_2, PaperRow, find_row
from cxrlib.protocols import CHOICES, PROTOCOLS
from cxrlib.records.record import Record, select
from cxrlib.training.configure import resolve
from cxrlib.training.grid import BEST

ROW = ("cohort", "model", "pretraining", "beta")
CELL = (*ROW, "protocol")
METRICS = (
    "sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc", "within_source", "source_among_negatives",
)  # fmt: skip
PRINTED = ("sensitivity", "specificity", "bacc", "ppcr", "gain")
_NAMED = (
    "edition", "licences", "cohort", "protocol", "model", "pretraining", "beta", "loss", "recipe", "draw_seed", "seed",
    "profile", "precision",
)  # fmt: skip
_AREAS: dict[str, Statistic] = {
    "bacc": lambda y, x, w: np.mean(weighted_rates(y, x > 0, w), axis=0),
    "sensitivity": lambda y, x, w: weighted_rates(y, x > 0, w)[0],
    "specificity": lambda y, x, w: weighted_rates(y, x > 0, w)[1],
    "auroc": weighted_auroc,
    "auprc": weighted_auprc,
}
BEYOND = tuple(PaperRow("combined", "squeezenet", "imagenet", beta, *([np.nan] * 5)) for beta in (None, 0.75))
"""Rows that the paper does not have: SqueezeNet with its own classifier, trained whole, which the powered study rests on."""


def standard(config: RunConfig) -> bool:
    """Whether a run is a profile's own: nothing set by hand but what names a row, a protocol, a draw and a seed."""
    defaults = {field: info.default for field, info in RunParameters.model_fields.items()}
    given = {field: getattr(config, field) for field in _NAMED}
    return config.preparation == "minmax" and config == resolve(RunParameters.model_construct(**defaults | given))


def table_2(records: Sequence[Record]) -> pd.DataFrame:
    """Every row of Table II under every protocol, in the paper's order, beside the printed figures; then `BEYOND`.

    Columns: CELL, `recipe`, `in_paper`, `runs`, `degenerate` (runs that learned nothing), each of METRICS with `_low`, `_high`
    (95 %) and `_sd` over seeds, `gain` in per cent, `paper_<metric>`, `records` (keys). Figures are means over the seeds that
    learned, of draw 0; with several, one bootstrap over components and seeds gives the interval. Without any they are NaN.
    """
    runs: dict[tuple[Any, ...], list[Record]] = {}
    for record in select(records, draw_seed=0, loss="wce"):
        if standard(record.config):
            cell = tuple(getattr(record.config, field) for field in (*CELL, "recipe"))
            runs.setdefault(cell, []).append(record)
    rows = []
    for row, protocol in product((*TABLE_2, *BASELINES, *BEYOND), PROTOCOLS):
        recipe = "deepcovid" if row in BASELINES else "paper"
        cohort = "augmented" if row in BASELINES else row.cohort  # [3] augments its COVID-19 images
        cell = (*(getattr(row, field) for field in ROW), protocol)
        shown = {**dict(zip(CELL, cell, strict=True)), "recipe": recipe, "in_paper": row not in BEYOND}
        printed = {f"paper_{field}": getattr(row, field) for field in PRINTED}
        rows.append(shown | _figures(runs.get((cohort, *cell[1:], recipe), [])) | printed)
    table = pd.DataFrame(rows)
    text = (*CELL, "recipe", "in_paper", "records", "runs", "degenerate")
    return table.astype({"beta": float, **{field: float for field in table if field not in text}})


def _figures(records: Sequence[Record]) -> dict[str, Any]:
    """Means over the sound runs of one cell, with intervals and spread."""
    sound = [record for record in records if not record.degenerate]
    keys = " ".join(record.key for record in records)
    found: dict[str, Any] = {"runs": len(records), "degenerate": len(records) - len(sound), "records": keys}
    intervals = _intervals(sound)
    for metric in METRICS:
        values = [value(record, metric) for record in sound]
        found[metric] = np.mean(values) if values else np.nan
        found[f"{metric}_low"], found[f"{metric}_high"] = intervals.get(metric, (np.nan, np.nan))
        found[f"{metric}_sd"] = np.std(values, ddof=1) if len(values) > 1 else np.nan
    found["gain"] = 100 * float(gain(found["bacc"], found["accuracy"]))
    return found


def _intervals(sound: Sequence[Record]) -> dict[str, tuple[float, float]]:
    """95 % intervals of each metric: a single run's own, else of the mean over runs of the same test images."""
    if len(sound) < 2:
        return {metric: _own_interval(record, metric) for record in sound for metric in METRICS}
    tests = [record.test().sort_values("image_id") for record in sound]
    logits = np.column_stack([test["logit"] for test in tests])
    found = bootstrap(tests[0]["label"], logits, tests[0]["component"], _AREAS, draws=400)
    return {metric: (low, high) for metric, (_, low, high) in found.items()}


def _own_interval(record: Record, metric: str) -> tuple[float, float]:
    found, start = (record.metrics[metric], "") if metric in record.metrics else (record.metrics["test"], f"{metric}_")
    low, high = found[f"{start}low"], found[f"{start}high"]
    return (np.nan if low is None else low), (np.nan if high is None else high)


def row_name(row: Any) -> str:
    """A configuration in one short line, for an axis: 'combined · ResNet-50 · ImageNet · β 0.75'."""
    names = (name(row.cohort).split(", ")[-1], name(row.model), name(row.pretraining), f"β {beta_text(row.beta)}")
    return " · ".join(names)


def best_row(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's best row under each protocol, and the same without its weight, from `table_2`."""
    best = {"cohort": BEST.cohort, "model": BEST.model, "pretraining": BEST.pretraining, "recipe": "paper"}
    return table[(table[list(best)] == list(best.values())).all(axis=1)]


def headline(table: pd.DataFrame) -> str:
    """The paper's best row as printed, and what was run of it and of SqueezeNet: bACC and AUROC within source, in sentences."""
    networks = {"ResNet-50": best_row(table), "SqueezeNet with its own classifier": table[~table["in_paper"]]}
    parts = []
    for network, rows in networks.items():
        sound = rows[rows["runs"] > rows["degenerate"]]
        chosen = sound[sound["beta"] == BEST.beta] if (sound["beta"] == BEST.beta).any() else sound
        figures = [
            f"{estimate(row.bacc, row.bacc_low, row.bacc_high)} under protocol {row.protocol} ({row.within_source:.3f})"
            for row in chosen.itertuples()
        ]
        if figures:
            parts.append(f"Here {network} (β = {beta_text(chosen['beta'].iloc[0])}) reaches {listed(figures)}.")
    if parts:
        parts.append("In parentheses the AUROC within one source, where chance is 0.5.")
    first = f"The paper prints a balanced accuracy of {BEST.bacc:.4f} for its best row (ResNet-50, β = {BEST.beta:g})."
    return " ".join([first, *parts])


def coverage(table: pd.DataFrame) -> str:
    """How many cells are recorded, which are not, and in which the network learned nothing, in two sentences."""
    table = table[table["in_paper"]]
    absent, flat = table[table["runs"] == 0], table[(table["runs"] > 0) & (table["degenerate"] == table["runs"])]
    text = f"{len(table) - len(absent)} of the table's {len(table)} cells have been run."
    text += f" Not run: {_named(absent)}." if len(absent) else ""
    what = f"In {count(len(flat), 'cell')} the network learned nothing, so that no figure is given: {_named(flat)}."
    return f"{text} {what}" if len(flat) else text


def older(records: Sequence[Record]) -> str:
    """How many records were made by older training code than this checkout's, in one sentence."""
    number = sum(not record.current for record in records)
    if not number:
        return f"All {len(records)} records were made by the training code as it stands here, or by earlier code that it repeats bit for bit."
    return f"{number} of {len(records)} records were made by older training code than this checkout's."


def _named(cells: pd.DataFrame) -> str:
    groups: dict[str, list[str]] = {}
    for row in cells.itertuples():
        groups.setdefault(row_name(row), []).append(row.protocol)
    return "; ".join(f"{row} ({', '.join(protocols)})" for row, protocols in groups.items())


def paper_row(config: RunConfig) -> Any:
    """The paper's row of a run's configuration; None where loss, preparation or head is not the paper's."""
    usual = config.loss == "wce" and config.preparation == "minmax"
    return find_row(config.cohort, config.model, config.pretraining, config.beta) if usual else None


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

    The paper's PPCR column is set beside accuracy, which it holds. The last two rows are those of `evaluation.sources`.
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


def run_headline(record: Record) -> dict[str, object]:
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
    columns = {p.name: [getattr(p, field) for field in CHOICES] for p in PROTOCOLS.values()}
    return pd.DataFrame({"field": [*CHOICES], **columns})
