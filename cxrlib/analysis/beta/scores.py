"""One table of log-odds for the whole chapter, whether they come from recorded networks or the live experiment.

Columns (`COLUMNS`): fold (a record's seed, or an outer fold), method, beta (NaN where the method has none), split
("valid": what a choice may look at; "test": what it is judged on), image_id, component, label (1 = COVID), logit.
Plain cross-entropy is the method `PLAIN` with beta 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.records.record import Record

COLUMNS = ("fold", "method", "beta", "split", "image_id", "component", "label", "logit")
PLAIN = "plain CE"
TWINS = ("beta", "seed")  # config fields in which the runs of one configuration may differ


@dataclass(frozen=True)
class Evidence:
    """Log-odds to judge a weight by, and what they are."""

    kind: str  # "records" or "experiment"
    title: str  # what was trained on what, for captions and prose
    source: str  # the provenance line
    scores: pd.DataFrame  # COLUMNS


def method_name(beta: float) -> str:
    """The method of a weighted network: `PLAIN` for beta 1, else "WCE, β = …"."""
    return PLAIN if beta == 1 else f"WCE, β = {beta:g}"


def effective_beta(record: Record) -> float | None:
    """The weight a record was trained with: none is 1 where the protocol's loss is cross-entropy, else None.

    None too where an alternative to the weight was trained.
    """
    if record.config.loss != "wce":
        return None
    if record.config.beta is not None:
        return record.config.beta
    return 1.0 if record.config.rules.loss_without_beta == "cross_entropy" else None


def configuration(record: Record) -> tuple[object, ...]:
    """What two records must share to differ by weight and seed alone: the rest of their config and their inputs."""
    config = {name: value for name, value in record.config.to_dict().items() if name not in TWINS}
    parts = record.config.rules.name.split("+")  # the loss without beta is settled by `effective_beta`
    config["protocol"] = "+".join(part for part in parts if not part.startswith("loss_without_beta="))
    return (
        *sorted((name, str(value)) for name, value in config.items()),
        tuple(sorted(record.inputs.items(), key=str)),
    )


def by_weight(records: Sequence[Record]) -> dict[tuple[object, ...], dict[tuple[float, int], Record]]:
    """Records by configuration, then by (weight, seed); a run with beta none precedes its twin with beta 1."""
    found: dict[tuple[object, ...], dict[tuple[float, int], Record]] = {}
    for record in sorted(records, key=lambda r: (r.config.beta is not None, r.key)):
        beta = effective_beta(record)
        if beta is not None:
            found.setdefault(configuration(record), {}).setdefault((beta, record.config.seed), record)
    return found


def sweep(records: Sequence[Record]) -> list[Record]:
    """The records of the configuration with most weighted runs beside a plain one; protocol clean wins ties.

    Only seeds with a plain run count, and only weights that every such seed has, so that folds are balanced.
    Empty where no configuration has both.
    """
    best: list[Record] = []
    ranked: list[tuple[tuple[int, bool], list[Record]]] = []
    for group in by_weight(records).values():
        seeds = {seed for beta, seed in group if beta == 1}
        betas = {beta for beta, _ in group if all((beta, seed) in group for seed in seeds)}
        if seeds and len(betas) > 1:
            runs = [group[beta, seed] for beta in sorted(betas) for seed in sorted(seeds)]
            ranked.append(((len(runs), runs[0].config.rules.name == "clean"), runs))
    if ranked:
        best = max(ranked, key=lambda pair: pair[0])[1]
    return best


def scores_of(records: Sequence[Record]) -> pd.DataFrame:
    """The scores table of records that differ in weight and seed."""
    parts = []
    for record in records:
        beta = effective_beta(record)
        assert beta is not None
        frame = record.predictions[["split", "image_id", "component", "label", "logit"]]
        parts.append(frame.assign(fold=record.config.seed, method=method_name(beta), beta=beta))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return table.astype({"logit": np.float64})[list(COLUMNS)]


def training_prevalence(record: Record) -> float:
    """Share of COVID images in the training set that a record was trained on."""
    counts = record.provenance["counts"]["train"]
    return float(counts["covid"] / (counts["covid"] + counts["non_covid"]))


def recorded_evidence(records: Sequence[Record], source: str) -> Evidence | None:
    """The sweep over beta among `records` as evidence; None where there is none."""
    runs = sweep(records)
    if not runs:
        return None
    c = runs[0].config
    title = f"{c.model} ({c.pretraining}) on the {c.cohort} cohort, protocol {c.protocol}, {c.image_size} px"
    return Evidence("records", title, source, scores_of(runs))
