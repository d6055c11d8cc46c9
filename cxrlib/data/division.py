"""Training, validation and test part of a collection: as published, or drawn, whole patients at a time."""

from dataclasses import dataclass

import pandas as pd

from cxrlib.data.cohorts import disputed
from cxrlib.data.editions import Edition
from cxrlib.data.folds import grouped_folds
from cxrlib.data.readers.base import first_reason
from cxrlib.errors import DataError
from cxrlib.protocols import Protocol

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Division:
    """Rows (an edition's columns) of the three parts, `test` also with `overlap`; `left_out`: image_id, reason."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    left_out: pd.DataFrame

    def counts(self) -> pd.DataFrame:
        """Images and patients (components) of each part and class: part, label, images, patients."""
        rows = pd.concat([getattr(self, name).assign(part=name) for name in PARTS])
        grouped = rows.groupby(["part", "label"], sort=False)["component"]
        return grouped.agg(images="size", patients="nunique").reset_index()


def divide(
    edition: Edition, unusable: pd.DataFrame, rules: Protocol, seed: int, valid_fraction: float = 0.2
) -> Division:
    """The three parts of an edition under a protocol.

    A published split is kept where it has a training and a test part; else, and for a validation part that is not
    published, whole components are drawn with `seed`, in the classes' shares (protocol field split = patient;
    image: single images). Left out, with a reason: `unusable` (image_id, reason), images without a label, pictures
    with two labels, later repeats of a picture inside a part; and, where the protocol says test_overlap = removed,
    whatever shares a component with a later part. Raises DataError if a class has too few patients.
    """
    images = edition.images.assign(part=published_split(edition.images))
    published = {"train", "test"} <= set(images["part"].dropna())
    if not published:
        images["part"] = "train"
    reasons = images["image_id"].map(unusable.set_index("image_id")["reason"]).astype("string")
    unfit = [
        (images["label"].isna(), "no label"),
        (disputed(images), "its repeats state something else"),
        (images["part"].isna(), "in no part of the published split"),
    ]
    reasons = reasons.fillna(first_reason(images.index, unfit))
    lost = [images.assign(reason=reasons)[reasons.notna()]]
    images = images[reasons.isna()].reset_index(drop=True)
    if not published:
        images.loc[_held_out(images, 0.2, rules.split, seed), "part"] = "test"
    if "valid" not in set(images["part"]):
        train = images[images["part"] == "train"]
        images.loc[_held_out(train, valid_fraction, rules.split, seed), "part"] = "valid"
    parts: dict[str, pd.DataFrame] = {}
    for name in reversed(PARTS):  # the test part stays whole; what is linked to it leaves the earlier parts
        rows = images[images["part"] == name]
        linked = rows["component"].isin({c for later in parts.values() for c in later["component"]})
        shared = linked & (rules.test_overlap == "removed"), "shares a patient or picture with a later part"
        reason = first_reason(rows.index, [shared, (rows.duplicated("repeat"), "repeats a picture of its part")])
        lost.append(rows.assign(reason=reason)[reason.notna()])
        parts[name] = rows[reason.isna()].drop(columns="part").reset_index(drop=True)
        if parts[name]["label"].nunique() < 2:
            raise DataError(f"the {name} part has no image of one class: add images, or correct the published split.")
    overlap = parts["test"]["component"].isin(pd.concat([parts["train"], parts["valid"]])["component"])
    left_out = pd.concat(lost)[["image_id", "reason"]].reset_index(drop=True)
    return Division(parts["train"], parts["valid"], parts["test"].assign(overlap=overlap), left_out)


def published_split(images: pd.DataFrame) -> pd.Series:
    """Part of each image in its collection's published split, with a validation part; all null where it has none.

    A split that single sources of a collection publish is not the collection's.
    """
    if images["split"].isna().all():
        return images["split"]
    return images["source_split"] if "source_split" in images else images["split"]


def _held_out(rows: pd.DataFrame, fraction: float, split: str, seed: int) -> pd.Index:
    """Index labels of about `fraction` of the rows: components stay whole, classes keep their share."""
    if rows["label"].nunique() < 2:
        raise DataError("the images to divide are of one class: both classes are needed.")
    group = rows["component"] if split == "patient" else rows["image_id"]
    return rows.index[grouped_folds(rows["label"], group, max(round(1 / fraction), 2), seed)[0][1]]
