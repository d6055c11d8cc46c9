"""What one choice changes: matched pairs of runs, described beside what training the same run again changes.

Rows of one study share test images and initial weights, so they are no sample: their pairs are described, not tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.pairs import Pairs, matched_pairs, repeated, value
from cxrlib.analysis.sentences import count, signed
from cxrlib.names import beta_text, name
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
    """One row a pair and metric: contrast, model, pretraining, protocol, draw_seed, seed, metric, difference."""
    rows = [
        {
            "contrast": contrast,
            **{
                field: getattr(one.config, field) for field in ("model", "pretraining", "protocol", "draw_seed", "seed")
            },
            "beta": beta_text(one.config.beta),
            "metric": metric,
            "difference": value(one, metric) - value(other, metric),
        }
        for contrast, pairs in found.items()
        for one, other in pairs.pairs
        for metric in METRICS
    ]
    columns = ["contrast", "model", "pretraining", "protocol", "draw_seed", "seed", "beta", "metric", "difference"]
    return pd.DataFrame(rows, columns=columns)


def effects_table(found: dict[str, Pairs], differences: pd.DataFrame) -> pd.DataFrame:
    """Every contrast and metric that has a pair: pairs, left out, identical, mean difference, range, higher, lower.

    `degenerate`: pairs left out because a network learned nothing; `identical`: pairs whose two runs are the same run, bit
    for bit, so that the choice changed nothing.
    """
    rows = []
    for (contrast, metric), part in differences.groupby(["contrast", "metric"], sort=False):
        d, pairs = part["difference"].to_numpy(float), found[contrast]
        rows.append(
            {
                "contrast": contrast, "metric": name(metric), "pairs": len(d), "degenerate": pairs.degenerate,
                "identical": pairs.identical, "mean": np.nanmean(d), "lowest": np.nanmin(d), "highest": np.nanmax(d),
                "higher": int((d > 0).sum()), "lower": int((d < 0).sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def retraining_noise(records: Sequence[Record]) -> pd.DataFrame:
    """What training again changes, by network, protocol and metric: runs that differ in their seed alone.

    Columns: model, protocol, metric, pairs, `sd` of the figure over seeds (root mean square difference over the root of 2)
    and `band`, the 95th percentile of the absolute difference of two such runs.
    """
    rows = [
        {
            "model": one.config.model,
            "protocol": one.config.protocol,
            "metric": metric,
            "difference": value(one, metric) - value(other, metric),
        }
        for one, other in repeated(records)
        for metric in METRICS
    ]
    table = pd.DataFrame(rows, columns=["model", "protocol", "metric", "difference"])
    grouped = table.groupby(["model", "protocol", "metric"], sort=False)["difference"]
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
    return f"Trained again with another seed and nothing else changed, under `{protocol}`, two runs differ: {'; '.join(parts)}."


def overlap_sentence(found: dict[str, Pairs]) -> str:
    """What the overlap of training and test images is worth, in one sentence: `paper` against `clean`."""
    pairs = found["protocol paper against clean"]
    if not len(pairs):
        return "No run has been made under both protocols."
    bacc, within = pairs.differences("bacc"), pairs.differences("within_source")
    return (
        f"In {count(len(pairs), 'pair')} of runs under `paper` and `clean` that are otherwise equal, the overlap and what else "
        f"`clean` repairs is worth {signed(bacc.mean())} of balanced accuracy (from {signed(bacc.min())} to {signed(bacc.max())}) "
        f"and {signed(np.nanmean(within))} of the AUROC within one source."
    )
