"""What one choice changes: matched pairs of runs, described beside what training the same run again changes.

Rows of one study share test images and initial weights, so they are no sample: their pairs are described, not tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.pairs import Pairs, difference_table, matched_pairs, repeated
from cxrlib.analysis.sentences import count, signed
from cxrlib.names import name
from cxrlib.records.record import Record

METRICS = ("sensitivity", "specificity", "bacc", "auroc", "within_source")


@dataclass(frozen=True)
class Contrast:
    """One field of a run's config at two values: what `treated` changes against `control`."""

    name: str
    field: str
    treated: Any
    control: Any


CONTRASTS = (
    Contrast("β = 0.75 against no β", "beta", 0.75, None),
    Contrast("β = 4 against no β", "beta", 4.0, None),
    Contrast("ImageNet against random weights", "pretraining", "imagenet", "none"),
    Contrast("chest X-ray against random weights", "pretraining", "chestxray", "none"),
    Contrast("combined against augmented cohort", "cohort", "combined", "augmented"),
    Contrast("protocol paper against clean", "protocol", "paper", "clean"),
    Contrast("protocol released against clean", "protocol", "released", "clean"),
    Contrast("own classifier against released head", "head", "native", "released"),
)


def pairs_by_contrast(records: Sequence[Record]) -> dict[str, Pairs]:
    """The matched pairs of every contrast, by its name."""
    return {c.name: matched_pairs(records, c.field, c.treated, c.control) for c in CONTRASTS}


def paired_differences(found: dict[str, Pairs]) -> pd.DataFrame:
    """One row a pair and metric of every contrast: contrast and the columns of `Pairs.table`."""
    return pd.concat(
        [pairs.table(METRICS).assign(contrast=contrast) for contrast, pairs in found.items()], ignore_index=True
    )


def effects_table(found: dict[str, Pairs], differences: pd.DataFrame) -> pd.DataFrame:
    """Every contrast and metric that has a pair: pairs, degenerate, identical, mean difference, range, higher, lower.

    `degenerate`: pairs left out because a network learned nothing; `identical`: pairs whose two runs are the same run, bit
    for bit, so that the choice changed nothing.
    """
    grouped = differences.groupby(["contrast", "metric"], sort=False)
    table = grouped["difference"].agg(
        pairs="size",
        mean="mean",
        lowest="min",
        highest="max",
        higher=lambda d: (d > 0).sum(),
        lower=lambda d: (d < 0).sum(),
    )
    table.insert(1, "degenerate", [found[contrast].degenerate for contrast, _ in table.index])
    table.insert(2, "identical", grouped["identical"].sum())
    return table.reset_index().assign(metric=lambda t: t["metric"].map(name))


def retraining_noise(records: Sequence[Record]) -> pd.DataFrame:
    """What training again changes, by network, protocol and metric: runs that differ in their seed alone.

    Columns: model, protocol, metric, pairs, `sd` of the figure over seeds (root mean square difference over the root of 2)
    and `band`, the 95th percentile of the absolute difference of two such runs.
    """
    grouped = difference_table(repeated(records), METRICS).groupby(["model", "protocol", "metric"], sort=False)[
        "difference"
    ]
    return grouped.agg(
        pairs="size",
        sd=lambda d: float(np.sqrt(np.nanmean(np.square(d)) / 2)),
        band=lambda d: float(np.nanpercentile(np.abs(d), 95)),
    ).reset_index()


def noise_sentence(noise: pd.DataFrame, protocol: str = "clean") -> str:
    """How far two runs lie apart that differ in their seed alone, network by network, in one sentence."""
    rows = noise[(noise["protocol"] == protocol) & (noise["metric"] == "bacc")]
    if rows.empty:
        return "No run has been trained twice, so the noise of training again is not known."
    parts = [
        f"{name(row.model)} by up to {row.band:.3f} of balanced accuracy in 95 % of {count(row.pairs, 'pair')}"
        for row in rows.itertuples()
    ]
    return f"Trained again with another seed and nothing else changed, under protocol {protocol}, two runs differ: {'; '.join(parts)}."


def overlap_sentence(found: dict[str, Pairs]) -> str:
    """What the overlap of training and test images is worth, in one sentence: `paper` against `clean`."""
    pairs = found["protocol paper against clean"]
    if not len(pairs):
        return "No run has been made under both protocols."
    bacc, within = pairs.differences("bacc"), pairs.differences("within_source")
    return (
        f"In {count(len(pairs), 'pair')} of runs under the protocols paper and clean that are otherwise equal, the overlap and what else "
        f"clean repairs is worth {signed(bacc.mean())} of balanced accuracy (from {signed(bacc.min())} to {signed(bacc.max())}) "
        f"and {signed(np.nanmean(within))} of the AUROC within one source."
    )
