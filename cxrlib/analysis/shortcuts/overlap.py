"""What sources share, and what the overlap of training and test does to recorded runs; no pixels are needed."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from cxrlib.analysis.pairs import matched_pairs, value
from cxrlib.analysis.sentences import count, signed
from cxrlib.records.record import Record

SETTING = ("cohort", "model", "head", "pretraining", "beta", "draw_seed", "seed")
JUDGED = ("sensitivity", "auroc")


def between(images: pd.DataFrame) -> pd.DataFrame:
    """What each two sources share: patients, files (SHA-256), pictures (column `repeat`) and components.

    A row a pair that shares anything; `disagreeing`: the shared pictures that the two label differently.
    """
    kinds = {"patients": "patient_id", "exact": "sha256", "near": "repeat", "components": "component"}
    rows = []
    for (first, one), (second, other) in combinations(images.groupby("source", sort=True), 2):
        shared = {kind: set(one[column].dropna()) & set(other[column]) for kind, column in kinds.items()}
        pictures = pd.concat([one, other]).query("repeat in @shared['near']").groupby("repeat")["label"].nunique()
        counts = {kind: len(values) for kind, values in shared.items()}
        rows.append({"first": first, "second": second, **counts, "disagreeing": int((pictures > 1).sum())})
    table = pd.DataFrame(rows, columns=["first", "second", *kinds, "disagreeing"])
    return table[(table[list(kinds)] > 0).any(axis=1)].reset_index(drop=True)


def inside(images: pd.DataFrame) -> pd.DataFrame:
    """Repeats inside each source: images, patients, images that repeat an earlier file, or picture, of it.

    `patients` counts those that the publisher states. `joined`: pictures stated to be of more than one patient.
    """
    stated = images[["source", "repeat", "patient_id"]].dropna().drop_duplicates()
    grouped = images.groupby("source")
    counts = {
        "images": grouped.size(),
        "patients": grouped["patient_id"].nunique(),
        "exact": images.dropna(subset="sha256").duplicated(["source", "sha256"]).groupby(images["source"]).sum(),
        "near": images.duplicated(["source", "repeat"]).groupby(images["source"]).sum(),
        "joined": stated[stated.duplicated(["source", "repeat"])].groupby("source")["repeat"].nunique(),
    }
    return pd.DataFrame(counts).fillna(0).astype(int).rename_axis("source").reset_index()


def threshold_table(distances: pd.DataFrame, thresholds: Sequence[int] = (8, 16, 24, 32, 40, 48, 56)) -> pd.DataFrame:
    """How many pairs of each kind lie within each threshold: threshold, then a column a kind, pairs cumulated.

    distances: `datasets.distance_distribution`. Where the counts hardly grow between two rows, the choice hardly matters.
    """
    wide = distances.pivot_table("pairs", "distance", "kind", "sum")[distances["kind"].unique()]
    return wide.cumsum().loc[[*thresholds]].rename_axis(index="threshold", columns=None).reset_index()


def against_clean(records: Sequence[Record]) -> pd.DataFrame:
    """Pairs of runs that differ in the protocol alone, `paper` or `released` against `clean`, on the same test images.

    A row a pair: `SETTING`, protocol, then sensitivity and AUROC under it, under clean, and their difference. The protocols
    differ in more than overlap. `attrs["degenerate"]`: pairs left out because a network learned nothing.
    """
    found = {protocol: matched_pairs(records, "protocol", protocol, "clean") for protocol in ("paper", "released")}
    rows = []
    for protocol, one, clean in ((protocol, *pair) for protocol, pairs in found.items() for pair in pairs.pairs):
        row = {field: getattr(one.config, field) for field in SETTING} | {"protocol": protocol}
        for metric in JUDGED:
            row |= {metric: value(one, metric), f"{metric}_clean": value(clean, metric)}
            row[f"{metric}_difference"] = row[metric] - row[f"{metric}_clean"]
        rows.append(row)
    columns = [f"{metric}{part}" for metric in JUDGED for part in ("", "_clean", "_difference")]
    table = pd.DataFrame(rows, columns=[*SETTING, "protocol", *columns])
    table.attrs["degenerate"] = sum(pairs.degenerate for pairs in found.values())
    return table


def pairs_sentence(pairs: pd.DataFrame) -> str:
    """What the recorded pairs show of the overlap's effect; pairs: `against_clean`."""
    judged = pairs[pairs["protocol"] == "paper"]
    if judged.empty:
        return "No pair of recorded runs shows yet what the overlap does to the sensitivity."
    by_value = [judged[f"{value}_difference"] for value in ("sensitivity", "auroc")]
    first, second = (f"{signed(x.mean())} on average ({signed(x.min())} to {signed(x.max())})" for x in by_value)
    return (
        f"In {count(len(judged), 'pair')} of recorded runs the sensitivity differs by {first} and the AUROC by {second}, the paper's "
        f"protocol against the clean one; pairs left out because a network learned nothing: {pairs.attrs['degenerate']}."
    )
