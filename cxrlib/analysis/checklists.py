"""The reporting checklists CLAIM (Mongan et al., 2020) and TRIPOD+AI (Collins et al., 2024) for one run.

Each item's wording is short and our own; the articles hold the full text. A machine fills what a record states;
everything else says that a person must.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from cxrlib.data.check import CheckReport
from cxrlib.records.record import Record

FOR_YOU = "for you to fill"

_CLAIM = """
1 title: study of AI, and of which kind|2 structured summary|3 background, intended use, clinical role
4 aims and hypotheses|5 prospective or retrospective|6 goal of the study|7 sources of the data
8 eligibility: how, where and when cases were found|9 preprocessing|10 subsets selected|11 definitions of the data elements
12 de-identification|13 missing data|14 reference standard, reproducibly defined|15 why this reference standard
16 who annotated, with what qualification|17 annotation tools|18 variability between and within raters
19 sample size and its justification|20 how data were divided|21 level at which the parts are disjoint
22 model: inputs, layers, outputs|23 software and versions|24 initial weights|25 training: augmentation, hyperparameters, how many models
26 how the final model was chosen|27 ensembling|28 measures of performance|29 uncertainty and significance
30 robustness or sensitivity analysis|31 explainability, and how it was validated|32 test on external data
33 flow of cases|34 demographics and clinical features of each part|35 performance on every part
36 diagnostic accuracy with its precision|37 analysis of errors|38 limitations|39 implications for practice
40 registration|41 where the protocol can be read|42 funding and the role of funders
"""
_TRIPOD = """
1 title: model, population, outcome|2 abstract|3a health context and existing models|3b population, purpose and users
3c known health inequalities|4 objectives: development, evaluation or both|5a sources of data, and how representative|5b dates of the data
6a setting and centres|6b eligibility|6c treatments|7 preparation and quality checks of the data
8a outcome: definition and time|8b assessors of the outcome|8c blinding of the outcome's assessment|9a choice of the predictors
9b definition of the predictors|9c assessors of the predictors|10 sample size|11 missing data
12a how data were divided and used|12b handling of the predictors|12c type of model and how it was built|12d heterogeneity between clusters
12e measures of performance|12f updating of the model|12g how predictions are computed|13 class imbalance and what was done about it
14 fairness|15 output and thresholds|16 differences between development and evaluation data|17 ethical approval
18a funding|18b conflicts of interest|18c protocol|18d registration|18e data sharing|18f code sharing
19 involvement of patients and the public|20a flow of participants|20b characteristics, by source|20c distribution of predictors in both data sets
21 participants and events in each analysis|22 the full model, to be used by others|23a performance with intervals, by subgroup|23b heterogeneity of performance
24 results of updating|25 interpretation, with fairness|26 limitations|27a handling of poor input in use|27b expertise that use requires
27c next steps and generalisability
"""


def _items(text: str) -> dict[str, str]:
    entries = (entry.strip().split(" ", 1) for line in text.strip().splitlines() for entry in line.split("|"))
    return {number: asks for number, asks in entries}


ITEMS = {"CLAIM": _items(_CLAIM), "TRIPOD+AI": _items(_TRIPOD)}
"""Number and wording of every item of both checklists: 42, and 52 in 27 groups."""


def checklist(record: Record, check: CheckReport | None = None) -> pd.DataFrame:
    """Both checklists for a run: checklist, item, asks, answer, by ('record' or 'you').

    `check` adds what is known of the data before training. An answer that only a person can give reads
    'for you to fill'; one that the record gives in part names what is missing still.
    """
    answers = _answers(record, check)
    rows = []
    for name, items in ITEMS.items():
        for item, asks in items.items():
            answer = answers.get(_SAME[name].get(item, ""))
            rows.append((name, item, asks, answer or FOR_YOU, "record" if answer else "you"))
    return pd.DataFrame(rows, columns=["checklist", "item", "asks", "answer", "by"])


_SAME: Mapping[str, Mapping[str, str]] = {
    "CLAIM": {
        "7": "sources", "9": "preprocessing", "10": "subset", "13": "missing", "20": "division", "21": "disjoint",
        "22": "model", "23": "software", "24": "initial", "25": "training", "26": "selection", "27": "ensembling",
        "28": "measures", "29": "uncertainty", "33": "flow", "35": "performance", "36": "performance",
    },
    "TRIPOD+AI": {
        "5a": "sources", "7": "preparation", "11": "missing", "12a": "division", "12b": "preprocessing", "12c": "model",
        "12e": "measures", "12g": "output", "13": "imbalance", "15": "output", "18f": "code", "20a": "flow",
        "21": "counts", "23a": "performance",
    },
}  # fmt: skip
"""Which of the record's answers fills an item."""


def _answers(record: Record, check: CheckReport | None) -> dict[str, str]:
    c, p, m, rules = record.config, record.provenance, record.metrics["test"], record.config.rules
    counts = "; ".join(f"{part} {n['covid']} positive, {n['non_covid']} negative" for part, n in p["counts"].items())
    left_out = "; ".join(f"{n} {reason}" for reason, n in p["left_out"].items()) or "none"
    level = "patient and picture (connected components)" if rules.split == "patient" else "image"
    stopping = "the epoch with the lowest validation loss" if rules.checkpoint == "best" else "the last epoch"
    weight = "no class weight" if c.beta is None else f"positive class weighted by {c.beta:g} in the loss"
    answers: dict[str, Callable[[], str]] = {
        "sources": lambda: f"{c.edition}, digest {str(record.inputs['data'])[:12]}; add centres and dates",
        "preprocessing": lambda: f"one grey channel, min-max scaling of each image, {c.image_size} x {c.image_size} pixels",
        "subset": lambda: f"training set {'whole' if c.train_limit is None else f'at most {c.train_limit} images'}; left out: {left_out}",
        "missing": lambda: f"images left out, with the reason: {left_out}",
        "division": lambda: counts,
        "disjoint": lambda: f"{level}; test images linked to training: {int(record.test()['overlap'].sum())}",
        "model": lambda: f"{c.model} with a two-layer head, input [1, {c.image_size}, {c.image_size}], output: logits of two classes",
        "software": lambda: ", ".join(f"{name} {number}" for name, number in p["versions"].items()),
        "initial": lambda: c.pretraining if record.inputs["weights"] is None else f"{c.pretraining}, digest {str(record.inputs['weights'])[:12]}",
        "training": lambda: (
            f"one model, Adam at {c.learning_rate:g}, batches of {c.batch_size}, {p['epochs_run']} of at most {c.epochs} epochs, "
            f"augmentation {c.batch_augmentation}, {weight}, seed {c.seed}"
        ),
        "selection": lambda: f"{stopping} (epoch {p['epoch_kept'] + 1})",
        "ensembling": lambda: "none",
        "measures": lambda: "sensitivity, specificity, balanced accuracy, AUROC, AUPRC on the test part",
        "uncertainty": lambda: "95 % Clopper-Pearson intervals of rates; bootstrap by patient for the others",
        "flow": lambda: f"{counts}; left out: {left_out}; draw the diagram from these",
        "performance": lambda: "; ".join(f"{name} {_with_interval(m, name)}" for name in ("sensitivity", "specificity", "auroc")),
        "output": lambda: "probability of the positive class; thresholds 0.5 and "
        f"{record.metrics['test_tuned']['threshold']:.3g} (best balanced accuracy on validation)",
        "imbalance": lambda: f"{weight}; no recalibration afterwards",
        "code": lambda: f"cxrlib {p['versions'].get('cxrlib', '')}, revision {str(p['code_revision'])[:12]}; say where it can be had",
        "counts": lambda: counts,
    }  # fmt: skip
    found = {name: answer() for name, answer in answers.items()}
    if check is not None:
        table = check.table.query("verdict != 'OK'")
        found["preparation"] = "; ".join(table["check"] + " " + table["images"].astype(str)) or "every check passed"
    return found


def _with_interval(metrics: Mapping[str, float | None], name: str) -> str:
    value, low, high = (metrics[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "not defined"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
