"""What training and test images share, and what it does to the sensitivity of recorded runs; no pixels are needed."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from cxrlib.analysis.datasets import table_1_beside_ours
from cxrlib.analysis.pairs import matched_pairs
from cxrlib.data.editions import Edition
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.records.record import Record

SHARED = ("shared_patients", "exact_repeats", "near_repeats", "covid_overlap")
PARTS = {"test_overlapping": "seen", "test_not_overlapping": "not seen"}
SETTING = ("cohort", "model", "head", "pretraining", "beta", "draw_seed", "seed")


def training_overlap(edition: Edition, draw_seed: int) -> pd.DataFrame:
    """Each training cohort against the test set under each protocol: cohort, protocol, test_covid and `SHARED`.

    Patients shared; test images whose file, or whose picture (perceptual hash, publisher's group), is in the training
    set; COVID-19 test images of a component that is. The pretraining cohort is a training cohort too.
    """
    table = table_1_beside_ours(edition, draw_seed)
    return table[["title", "protocol", "test_covid", *SHARED]].rename(columns={"title": "cohort"})


def between(images: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """What each two values of `by` share: patients, files (SHA-256), pictures (column `repeat`) and components.

    A row a pair that shares anything: first, second, patients, exact, near, components, and `disagreeing`, the shared
    pictures that the two label differently.
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
        counts = {
            "patients": part["patient_id"].nunique(),
            "exact": int(part["sha256"].dropna().duplicated().sum()),
            "near": int(part["repeat"].duplicated().sum()),
            "joined": stated.loc[stated["repeat"].duplicated(), "repeat"].nunique(),
        }
        rows.append({by: name, "images": len(part), **counts})
    return pd.DataFrame(rows)


def threshold_table(distances: pd.DataFrame, thresholds: Sequence[int] = (8, 16, 24, 32, 40, 48, 56)) -> pd.DataFrame:
    """How many pairs of each kind lie within each threshold: threshold, then a column a kind, pairs cumulated.

    distances: `datasets.distance_distribution`. Where the counts hardly grow between two rows, the choice hardly matters.
    """
    within = {t: distances[distances["distance"] <= t].groupby("kind", sort=False)["pairs"].sum() for t in thresholds}
    return pd.DataFrame([{"threshold": t, **counts.to_dict()} for t, counts in within.items()])


def sensitivity_by_overlap(records: Sequence[Record]) -> pd.DataFrame:
    """Sensitivity on COVID-19 test images whose patient or picture the training set holds, and on the others.

    A row a cohort, protocol and part of the test set: runs, mean, least and most sensitivity over the runs, and images, the
    positives of that part on average. Degenerate runs are left out; a part without a positive image has no row.
    """
    rows = [
        {"cohort": r.config.cohort, "protocol": r.config.protocol, "test images": name, **_counts(r, part)}
        for r in records
        for part, name in PARTS.items()
        if r.degenerate is None and r.metrics[part]["positives"]
    ]
    table = pd.DataFrame(rows, columns=["cohort", "protocol", "test images", "found", "positives", "sensitivity"])
    grouped = table.groupby(["cohort", "protocol", "test images"], sort=True)
    columns = {"runs": ("found", "size"), "images": ("positives", "mean")}
    return grouped.agg(
        **columns,
        sensitivity=("sensitivity", "mean"),
        least=("sensitivity", "min"),
        most=("sensitivity", "max"),
    ).reset_index()


def against_clean(records: Sequence[Record]) -> pd.DataFrame:
    """Pairs of runs that differ in the protocol alone, `paper` or `released` against `clean`, on the same test images.

    A row a pair: `SETTING`, protocol, found, found_clean, positives, sensitivity and its exact interval under both, and
    the differences of sensitivity and AUROC. The protocols differ in more than overlap. `attrs["degenerate"]`: pairs left
    out because a network learned nothing.
    """
    rows, degenerate = [], 0
    for protocol in ("paper", "released"):
        pairs = matched_pairs(records, "protocol", protocol, "clean")
        degenerate += pairs.degenerate
        for treated, control in pairs.pairs:
            ours, clean = _counts(treated, "test"), _counts(control, "test")
            setting = {name: getattr(treated.config, name) for name in SETTING}
            areas = (r.metrics["test"]["auroc"] for r in (treated, control))
            rows.append({
                **setting, "protocol": protocol, **ours, "found_clean": clean["found"],
                "sensitivity_clean": clean["sensitivity"], "auroc_difference": next(areas) - next(areas),
            })  # fmt: skip
    columns = ["found", "positives", "sensitivity", "found_clean", "sensitivity_clean", "auroc_difference"]
    table = pd.DataFrame(rows, columns=[*SETTING, "protocol", *columns])
    positives = table["positives"].astype(float)
    low, high = clopper_pearson(table["found"].astype(float), positives)
    low_clean, high_clean = clopper_pearson(table["found_clean"].astype(float), positives)
    table = table.assign(low=low, high=high, low_clean=low_clean, high_clean=high_clean)
    table.attrs["degenerate"] = degenerate
    return table.assign(difference=table["sensitivity"] - table["sensitivity_clean"])


def _counts(record: Record, part: str) -> dict[str, float]:
    metrics = record.metrics[part]
    return {"found": metrics["tp"], "positives": metrics["positives"], "sensitivity": metrics["sensitivity"]}
