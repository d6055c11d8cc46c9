"""What training and test images share, and what it does to the sensitivity of recorded runs; no pixels are needed."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from cxrlib.analysis.datasets import table_1_beside_ours
from cxrlib.analysis.pairs import matched_pairs
from cxrlib.data.editions import Edition
from cxrlib.records.record import Record

SHARED = ("shared_patients", "exact_repeats", "near_repeats", "covid_overlap")
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
    rows = []
    for (first, one), (second, other) in combinations(images.groupby(by, sort=True), 2):
        shared = {kind: set(one[column].dropna()) & set(other[column]) for kind, column in kinds.items()}
        pictures = pd.concat([one, other]).query("repeat in @shared['near']").groupby("repeat")["label"].nunique()
        counts = {kind: len(values) for kind, values in shared.items()}
        rows.append({"first": first, "second": second, **counts, "disagreeing": int((pictures > 1).sum())})
    table = pd.DataFrame(rows, columns=["first", "second", *kinds, "disagreeing"])
    return table[(table[list(kinds)] > 0).any(axis=1)].reset_index(drop=True)


def inside(images: pd.DataFrame, by: str = "source") -> pd.DataFrame:
    """Repeats inside each value of `by`: images, patients, images that repeat an earlier file, or picture, of it.

    Where the publisher gives no patient, `patients` counts the patients given. `joined`: pictures that the publisher
    gives to more than one patient.
    """
    stated = images[[by, "repeat", "patient_id"]].dropna().drop_duplicates()
    counts = {
        "images": images.groupby(by).size(),
        "patients": images.groupby(by)["patient_id"].nunique(),
        "exact": images.dropna(subset="sha256").duplicated([by, "sha256"]).groupby(images[by]).sum(),
        "near": images.duplicated([by, "repeat"]).groupby(images[by]).sum(),
        "joined": stated[stated.duplicated([by, "repeat"])].groupby(by)["repeat"].nunique(),
    }
    return pd.DataFrame(counts).fillna(0).astype(int).rename_axis(by).reset_index()


def threshold_table(distances: pd.DataFrame, thresholds: Sequence[int] = (8, 16, 24, 32, 40, 48, 56)) -> pd.DataFrame:
    """How many pairs of each kind lie within each threshold: threshold, then a column a kind, pairs cumulated.

    distances: `datasets.distance_distribution`. Where the counts hardly grow between two rows, the choice hardly matters.
    """
    within = {t: distances[distances["distance"] <= t].groupby("kind", sort=False)["pairs"].sum() for t in thresholds}
    return pd.DataFrame([{"threshold": t, **counts.to_dict()} for t, counts in within.items()])


def against_clean(records: Sequence[Record]) -> pd.DataFrame:
    """Pairs of runs that differ in the protocol alone, `paper` or `released` against `clean`, on the same test images.

    A row a pair: `SETTING`, protocol, then sensitivity and AUROC under it, under clean, and their difference. The protocols
    differ in more than overlap. `attrs["degenerate"]`: pairs left out because a network learned nothing.
    """
    rows, degenerate = [], 0
    for protocol in ("paper", "released"):
        pairs = matched_pairs(records, "protocol", protocol, "clean")
        degenerate += pairs.degenerate
        for one, clean in pairs.pairs:
            row = {name: getattr(one.config, name) for name in SETTING} | {"protocol": protocol}
            for value in ("sensitivity", "auroc"):
                ours, theirs = (record.metrics["test"][value] for record in (one, clean))
                row |= {value: ours, f"{value}_clean": theirs, f"{value}_difference": ours - theirs}
            rows.append(row)
    columns = [f"{value}{part}" for value in ("sensitivity", "auroc") for part in ("", "_clean", "_difference")]
    table = pd.DataFrame(rows, columns=[*SETTING, "protocol", *columns])
    table.attrs["degenerate"] = degenerate
    return table
