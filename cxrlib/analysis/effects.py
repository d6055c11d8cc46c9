"""What one choice changes: runs that differ in one field of their config, paired; and the tests of beta, row by row.

Each pair shares everything else, seed and data included, so its difference is not one between seeds or cohorts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from cxrlib.evaluation.comparison import DeLong, McNemar, compare_predictions, compare_sentence, holm
from cxrlib.records.record import Record

METRICS = ("sensitivity", "specificity", "bacc", "auroc")
TESTS = {"sensitivity": "COVID images", "specificity": "non-COVID images", "auroc": "test images"}
_CELL = ("cohort", "model", "pretraining", "beta", "protocol", "seed")


@dataclass(frozen=True)
class Contrast:
    """One field of a run's config at two values: what `treated` changes against `control`."""

    name: str
    field: str
    treated: Any
    control: Any


BETA = Contrast("β = 0.75 against no β", "beta", 0.75, None)
CONTRASTS = (
    BETA,
    Contrast("ImageNet against random weights", "pretraining", "imagenet", "none"),
    Contrast("chest X-ray against random weights", "pretraining", "chestxray", "none"),
    Contrast("combined against augmented cohort", "cohort", "combined", "augmented"),
    Contrast("protocol paper against clean", "protocol", "paper", "clean"),
    Contrast("protocol released against clean", "protocol", "released", "clean"),
)


def twins(records: Sequence[Record], contrast: Contrast) -> list[tuple[Record, Record]]:
    """The pairs (treated, control) of records whose configs differ in the contrast's field alone, on the same data."""
    by_config = {record.config: record for record in records}
    found = []
    for config, treated in by_config.items():
        if getattr(config, contrast.field) != contrast.treated:
            continue
        control = by_config.get(config.replace(**{contrast.field: contrast.control}))
        if control is not None and control.inputs["data"] == treated.inputs["data"]:
            found.append((treated, control))
    return found


def paired_differences(records: Sequence[Record]) -> pd.DataFrame:
    """One row a contrast, pair and metric: the pair's shared cell, treated, control and their difference."""
    rows = []
    for contrast in CONTRASTS:
        for treated, control in twins(records, contrast):
            shared = {name: getattr(treated.config, name) for name in _CELL if name != contrast.field}
            for metric in METRICS:
                after, before = (float(r.metrics["test"][metric]) for r in (treated, control))
                values = {"treated": after, "control": before, "difference": after - before}
                values["across_machines"] = treated.machine != control.machine
                rows.append({"contrast": contrast.name, "metric": metric, **shared, **values})
    kinds = {"treated": float, "control": float, "difference": float, "across_machines": bool}
    return pd.DataFrame(rows, columns=["contrast", "metric", *_CELL, *kinds]).astype(kinds)


def machines_sentence(differences: pd.DataFrame) -> str:
    """How many of the pairs join runs of two machines, in one sentence; empty where none does."""
    pairs = differences[differences["metric"] == METRICS[0]]
    across = int(pairs["across_machines"].sum())
    if not across:
        return ""
    return (
        f"In {across} of the {len(pairs)} pairs the two runs come from different machines, whose arithmetic differs in "
        "the last bits: a seed then fixes the images and the order of the batches, and the weights only at the start."
    )


def effects_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Every contrast and metric: pairs, mean difference, range, how many rose and fell, and Wilcoxon's p after Holm.

    The exact signed-rank test takes the pairs to be independent, which rows of one study that share test images are
    not; its p is a guide. NaN where there is no pair that differs.
    """
    rows = []
    for contrast in CONTRASTS:
        for metric in METRICS:
            chosen = (differences["contrast"] == contrast.name) & (differences["metric"] == metric)
            d = differences.loc[chosen, "difference"].to_numpy(float)
            some = len(d) > 0
            rows.append(
                {
                    "contrast": contrast.name,
                    "metric": metric,
                    "pairs": len(d),
                    "across_machines": int(differences.loc[chosen, "across_machines"].sum()),
                    "mean": d.mean() if some else np.nan,
                    "lowest": d.min() if some else np.nan,
                    "highest": d.max() if some else np.nan,
                    "higher": int((d > 0).sum()),
                    "lower": int((d < 0).sum()),
                    "p": float(wilcoxon(d).pvalue) if np.any(d) else np.nan,
                }
            )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].tolist()))


def beta_tests(records: Sequence[Record]) -> pd.DataFrame:
    """McNemar's exact test and DeLong's between beta = 0.75 and none: a row a pair of runs and measure.

    Columns: the shared cell, `measure` (a key of TESTS), the two values, `first_only` and `second_only` (images right
    under one alone; missing for the AUROC), p, p after Holm's correction over all rows, and `sentence`.
    """
    rows, tests = [], []
    for treated, control in twins(records, BETA):
        compared = compare_predictions(treated.test(), control.test())
        for measure in TESTS:
            test = compared[measure]
            tests.append(test)
            shared = {name: getattr(treated.config, name) for name in _CELL if name != BETA.field}
            values = {f"{name}": float(r.metrics["test"][measure]) for name, r in _sides(treated, control)}
            rows.append({**shared, "measure": measure, **values, **_discordant(test), "p": test.pvalue})
    columns = [*(n for n in _CELL if n != "beta"), "measure", "with_beta", "without", "first_only", "second_only", "p"]
    table = pd.DataFrame(rows, columns=columns).astype({"first_only": "Int64", "second_only": "Int64", "p": float})
    adjusted = holm(table["p"].tolist())
    sentences = [
        f"{row.cohort} {row.model} {row.pretraining}, {row.protocol}, seed {row.seed}: "
        + compare_sentence("β = 0.75", "no β", test, TESTS[row.measure], _or_none(p))
        for row, test, p in zip(table.itertuples(), tests, adjusted, strict=True)
    ]
    return table.assign(p_holm=adjusted, sentence=sentences)


def told_apart(table: pd.DataFrame, alpha: float = 0.05) -> str:
    """One sentence on how many of the pairs in `beta_tests` can be told apart, measure by measure."""
    if table.empty:
        return "No pair of runs that differ in β alone has been recorded yet, so nothing was tested."
    parts = []
    for measure in TESTS:
        rows = table[table["measure"] == measure]
        apart = rows[rows["p_holm"] <= alpha]
        better = int((apart["with_beta"] > apart["without"]).sum())
        split = f" ({better} in favour of the weight, {len(apart) - better} against it)" if len(apart) else ""
        name = "AUROC" if measure == "auroc" else measure
        parts.append(f"{name} in {len(apart)} of {len(rows)} pairs{split}")
    return f"After Holm's correction over {len(table)} tests, β = 0.75 and no β can be told apart by {_listed(parts)}."


def _sides(treated: Record, control: Record) -> tuple[tuple[str, Record], tuple[str, Record]]:
    return ("with_beta", treated), ("without", control)


def _discordant(test: McNemar | DeLong) -> dict[str, int | None]:
    if isinstance(test, DeLong):
        return {"first_only": None, "second_only": None}
    return {"first_only": test.first_only, "second_only": test.second_only}


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}"
