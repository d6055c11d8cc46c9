"""The reporting checklists CLAIM (Mongan et al., 2020) and TRIPOD+AI (Collins et al., 2024) for one run.

`checklists.csv` holds each item's number, its wording (short and our own; the articles have it in full) and which of a
record's answers fills it. A machine fills what a record states; everything else says that a person must.
"""

from collections.abc import Mapping
from importlib.resources import files

import pandas as pd

from cxrlib.analysis.sentences import estimate
from cxrlib.data.check import CheckReport
from cxrlib.names import beta_text
from cxrlib.records.record import Record

FOR_YOU = "for you to fill"


def items() -> pd.DataFrame:
    """Every item of both checklists, 42 and 52 (in 27 groups): checklist, item, asks, answer (a key of `_answers`, or '')."""
    with (files(__package__) / "checklists.csv").open("rb") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def checklist(record: Record, check: CheckReport | None = None) -> pd.DataFrame:
    """Both checklists for a run: checklist, item, asks, answer, by ('record' or 'you').

    `check` adds what is known of the data before training. An answer that only a person can give reads
    'for you to fill'; one that the record gives in part names what is missing still.
    """
    table = items()
    found = table["answer"].map(_answers(record, check))
    return table.assign(answer=found.fillna(FOR_YOU), by=found.notna().map({True: "record", False: "you"}))


def _answers(record: Record, check: CheckReport | None) -> Mapping[str, str]:
    c, p, m, rules = record.config, record.provenance, record.metrics["test"], record.config.rules
    counts = "; ".join(f"{part} {n['covid']} positive, {n['non_covid']} negative" for part, n in p["counts"].items())
    left_out = "; ".join(f"{n} {reason}" for reason, n in p["left_out"].items()) or "none"
    level = "patient and picture (connected components)" if rules.split == "patient" else "image"
    measure = "accuracy" if c.recipe == "deepcovid" else "loss"
    weight = "no class weight" if c.beta is None else f"positive class weighted by {beta_text(c.beta)} in the loss"
    areas = ("sensitivity", "specificity", "auroc")
    answers = {
        "sources": f"{c.edition}, digest {str(record.inputs['data'])[:12]}; add centres and dates",
        "preprocessing": f"one grey channel, min-max scaling of each image, {c.image_size} x {c.image_size} pixels, preparation {c.preparation}",
        "subset": f"training set {'whole' if c.train_limit is None else f'at most {c.train_limit} images'}; left out: {left_out}",
        "missing": f"images left out, with the reason: {left_out}",
        "division": counts,
        "disjoint": f"{level}; test images linked to training: {int(record.test()['overlap'].sum())}",
        "model": f"{c.model} with head '{c.head}', input [1, {c.image_size}, {c.image_size}], output: logits of two classes",
        "software": ", ".join(f"{name} {number}" for name, number in p["versions"].items()),
        "initial": f"{c.pretraining}, digest {str(record.inputs['weights'])[:12]}" if record.inputs["weights"] else "random",
        "training": f"one model, {'SGD' if c.recipe == 'deepcovid' else 'Adam'} at {c.learning_rate:g}, batches of {c.batch_size}, "
        f"{p['epochs_run']} of at most {c.epochs} epochs, augmentation {c.batch_augmentation}, loss {c.loss}, {weight}, seed {c.seed}",
        "selection": f"{f'the epoch with the best validation {measure}' if rules.checkpoint == 'best' else 'the last epoch'} "
        f"(epoch {p['epoch_kept'] + 1})",
        "ensembling": "none",
        "measures": "sensitivity, specificity, balanced accuracy, AUROC, AUPRC on the test part",
        "uncertainty": "95 % Clopper-Pearson intervals of rates; bootstrap by patient for the others",
        "flow": f"{counts}; left out: {left_out}; draw the diagram from these",
        "performance": "; ".join(f"{name} {estimate(m[name], m[f'{name}_low'], m[f'{name}_high'])}" for name in areas),
        "output": "probability of the positive class; thresholds 0.5 and "
        f"{record.metrics['test_tuned']['threshold']:.3g} (best balanced accuracy on validation)",
        "imbalance": f"{weight}; no recalibration afterwards",
        "code": f"cxrlib {p['versions'].get('cxrlib', '')}, revision {str(p['code_revision'])[:12]}; say where it can be had",
        "counts": counts,
    }  # fmt: skip
    if check is None:
        return answers
    table = check.table.query("verdict != 'OK'")
    return answers | {
        "preparation": "; ".join(table["check"] + " " + table["images"].astype(str)) or "every check passed"
    }
