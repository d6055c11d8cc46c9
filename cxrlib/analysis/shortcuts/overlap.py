"""What training and test images share, where, and what it does to the sensitivity of recorded runs."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from cxrlib.data.cohorts import table_1_beside_ours
from cxrlib.data.editions import Edition
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.records.record import Record

SHARED = ("shared_patients", "exact_repeats", "near_repeats", "covid_overlap")
PARTS = {"test_overlapping": "seen", "test_not_overlapping": "not seen"}


def training_overlap(edition: Edition, seed: int) -> pd.DataFrame:
    """Each training cohort against the test set under each protocol: cohort, protocol, test_covid and `SHARED`.

    Patients shared; test images whose file, or whose picture (perceptual hash, publisher's group), is in the training
    set; COVID-19 test images of a component that is. The pretraining cohort is a training cohort too.
    """
    table = table_1_beside_ours(edition, seed)
    return table[["title", "protocol", "test_covid", *SHARED]].rename(columns={"title": "cohort"})


def between(images: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """What each two values of `by` share: patients, files (SHA-256), pictures (column `repeat`) and components.

    A row a pair that shares anything: first, second, patients, exact, near, components, and `disagreeing`, the shared
    pictures that the two label differently. `images` has the columns `repeat` and `component` besides `schema.IMAGE_TABLE`.
    """
    kinds = {"patients": "patient_id", "exact": "sha256", "near": "repeat", "components": "component"}
    groups = {str(name): part for name, part in images.groupby(by, sort=True)}
    values = {
        name: {kind: set(part[column].dropna()) for kind, column in kinds.items()} for name, part in groups.items()
    }
    rows = []
    for first, second in combinations(groups, 2):
        common = {kind: values[first][kind] & values[second][kind] for kind in kinds}
        pair = pd.concat([groups[first], groups[second]])
        labels = pair[pair["repeat"].isin(common["near"])].groupby("repeat")["label"].nunique()
        counts = {kind: len(shared) for kind, shared in common.items()}
        rows.append({"first": first, "second": second, **counts, "disagreeing": int((labels > 1).sum())})
    table = pd.DataFrame(rows, columns=["first", "second", *kinds, "disagreeing"])
    return table[(table[list(kinds)] > 0).any(axis=1)].reset_index(drop=True)


def inside(images: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """Repeats inside each value of `by`: images, patients, images that repeat an earlier file, or picture, of it.

    Where the publisher gives no patient, `patients` counts the patients given. `joined`: pictures that the publisher
    gives to more than one patient.
    """
    rows = []
    for name, part in images.groupby(by, sort=True):
        stated = part[["repeat", "patient_id"]].dropna().drop_duplicates()
        rows.append(
            {
                by: name,
                "images": len(part),
                "patients": part["patient_id"].nunique(),
                "exact": int(part["sha256"].dropna().duplicated().sum()),
                "near": int(part["repeat"].duplicated().sum()),
                "joined": stated.loc[stated["repeat"].duplicated(), "repeat"].nunique(),
            }
        )
    return pd.DataFrame(rows)


def linked(edition: Edition) -> pd.DataFrame:
    """An edition's images with their `component` and `repeat`."""
    return edition.images.assign(component=edition.components, repeat=edition.repeats)


def sensitivity_by_overlap(records: Sequence[Record]) -> pd.DataFrame:
    """Sensitivity on COVID-19 test images whose patient or picture the training set holds, and on the others.

    A row a cohort, protocol and part of the test set: runs, found and positives summed over runs, sensitivity, low, high (exact
    95 % interval). Runs share test images, so an interval of several runs together is too narrow; a part
    without a positive image has no row.
    """
    rows = [
        {"cohort": r.config.cohort, "protocol": r.config.protocol, "test images": name, **_counts(r, part)}
        for r in records
        for part, name in PARTS.items()
    ]
    columns = ["cohort", "protocol", "test images", "found", "positives"]
    table = pd.DataFrame(rows, columns=columns)
    table = table[table["positives"] > 0]
    grouped = table.groupby(["cohort", "protocol", "test images"], sort=True)
    return _rates(
        grouped.agg(runs=("found", "size"), found=("found", "sum"), positives=("positives", "sum")).reset_index()
    )


def against_clean(records: Sequence[Record]) -> pd.DataFrame:
    """Pairs of runs that differ in the protocol alone, `paper` or `released` against `clean`, on the same test images.

    A row a pair: cohort, model, pretraining, beta, seed, protocol, found, found_clean, positives, sensitivity and its
    exact interval under both, and the differences of sensitivity and AUROC. The protocols differ in more than overlap.
    """
    by_config = {r.config: r for r in records}
    rows = []
    for config, record in by_config.items():
        clean = by_config.get(config.replace(protocol="clean"))
        if config.protocol not in ("paper", "released") or clean is None:
            continue
        ours, theirs = _counts(record, "test"), _counts(clean, "test")
        if ours["positives"] != theirs["positives"] or not ours["positives"]:
            continue
        setting = {
            name: getattr(config, name) for name in ("cohort", "model", "pretraining", "beta", "seed", "protocol")
        }
        areas = [np.nan if r.metrics["test"]["auroc"] is None else r.metrics["test"]["auroc"] for r in (record, clean)]
        rows.append({**setting, **ours, "found_clean": theirs["found"], "auroc_difference": areas[0] - areas[1]})
    columns = [
        "cohort",
        "model",
        "pretraining",
        "beta",
        "seed",
        "protocol",
        "found",
        "positives",
        "found_clean",
        "auroc_difference",
    ]
    table = _rates(pd.DataFrame(rows, columns=columns))
    clean_low, clean_high = clopper_pearson(table["found_clean"].astype(float), table["positives"].astype(float))
    table = table.assign(
        sensitivity_clean=table["found_clean"].astype(float) / table["positives"].astype(float),
        low_clean=clean_low,
        high_clean=clean_high,
    )
    return table.assign(difference=table["sensitivity"] - table["sensitivity_clean"])


def _counts(record: Record, part: str) -> dict[str, int]:
    metrics = record.metrics[part]
    return {"found": int(metrics["tp"]), "positives": int(metrics["positives"])}


def _rates(table: pd.DataFrame) -> pd.DataFrame:
    found, positives = table["found"].astype(float), table["positives"].astype(float)
    low, high = clopper_pearson(found, positives)
    return table.assign(sensitivity=found / positives, low=low, high=high)


def threshold_table(distances: pd.DataFrame, thresholds: Sequence[int] = (8, 16, 24, 32, 40, 48, 56)) -> pd.DataFrame:
    """How many pairs of each kind lie within each threshold: threshold, then a column a kind, pairs cumulated.

    distances: `hashing.distance_distribution`. Where the counts hardly grow between two rows, the choice between them hardly matters.
    """
    rows = [
        {"threshold": t, **distances[distances["distance"] <= t].groupby("kind", sort=False)["pairs"].sum().to_dict()}
        for t in thresholds
    ]
    return pd.DataFrame(rows)
