"""What lets a gradient through: the pilot on heads and image sizes that chose the `cpu` profile, and the head's effect."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.pairs import matched_pairs, value
from cxrlib.analysis.sentences import count, listed, signed
from cxrlib.names import name
from cxrlib.records.record import Record

TRUNK_STRIDE = {"resnet50": 32, "squeezenet": 16, "vgg19": 32, "acnn": 1}
"""Pixels a position of the trunk's map spans, along a side."""


def prior_entropy(record: Record) -> float:
    """Cross-entropy of the validation images under their own class shares: what a network reaches that learns nothing."""
    counts = record.provenance["counts"]["valid"]
    share = counts["covid"] / (counts["covid"] + counts["non_covid"])
    return float(-(share * np.log(share) + (1 - share) * np.log(1 - share)))


def pilot_table(records: Sequence[Record]) -> pd.DataFrame:
    """Runs without a weight on the combined cohort under `clean`, a row a network, start, head, size, batch and BatchNorm.

    Columns: those, `positions` the head sees, `runs`, `epochs` run, the lowest validation loss beside the entropy of the
    prior, the AUROC (means over runs), and whether the network learned. One draw of the images.
    """
    rows = []
    for r in records:
        c = r.config
        plain = c.cohort == "combined" and c.protocol == "clean" and c.beta is None and c.loss == "wce"
        if not plain or c.preparation != "minmax" or c.recipe != "paper" or c.draw_seed != 0:
            continue
        side = -(-c.image_size // TRUNK_STRIDE[c.model]) if c.model != "squeezenet" else c.image_size // 16 - 1
        rows.append(
            {
                "network": name(c.model), "start": name(c.pretraining), "head": name(c.head), "pixels": c.image_size,
                "positions": f"{side} x {side}", "batch": c.batch_size, "BatchNorm": c.batch_norm, "runs": 1,
                "epochs": len(r.history), "validation loss": r.history["valid_loss"].min(), "prior's entropy": prior_entropy(r),
                "AUROC": value(r, "auroc"), "learned": r.degenerate is None,
            }
        )  # fmt: skip
    keys = ["network", "start", "head", "pixels", "positions", "batch", "BatchNorm"]
    if not rows:
        return pd.DataFrame(columns=[*keys, "runs", "epochs", "validation loss", "prior's entropy", "AUROC", "learned"])
    table = pd.DataFrame(rows).groupby(keys, sort=False, as_index=False)
    means = {key: (key, "mean") for key in ("epochs", "validation loss", "prior's entropy", "AUROC")}
    found = table.agg(runs=("runs", "sum"), **means, learned=("learned", "sum"))
    return found.assign(learned=found["learned"].astype(str) + " of " + found["runs"].astype(str))


def head_sentence(records: Sequence[Record]) -> str:
    """Whether the head matters, in one or two sentences: pairs that differ in the head alone, and heads under which nothing is learned."""
    found = matched_pairs(records, "head", "native", "released")
    dead: dict[str, int] = {}
    for record in records:
        if (
            record.degenerate
            and record.config.head == "released"
            and record.config.beta is None
            and record.config.protocol == "clean"
        ):
            key = f"{name(record.config.model)} from {name(record.config.pretraining)} weights at {record.config.image_size} px"
            dead[key] = dead.get(key, 0) + 1
    parts = []
    if len(found):
        d = found.differences("bacc")
        parts.append(
            f"In {count(len(found), 'pair')} of runs that differ in the head alone the network's own classifier is "
            f"{signed(d.mean())} of balanced accuracy away from the released head (from {signed(d.min())} to {signed(d.max())})."
        )
    if dead:
        parts.append(f"Under the released head nothing at all is learned by {listed(list(dead))}.")
    return " ".join(parts) or "No pair of runs differs in the head alone."
