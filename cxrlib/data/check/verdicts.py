"""The single checks: each looks at one thing and answers with a verdict and a sentence that says what to do."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from cxrlib.data.check.association import association
from cxrlib.data.readers.base import MISSING, NOT_NAMED, REPEATED, Collection
from cxrlib.data.readers.own import CONTRADICTED

OK, WARNING, ERROR = "OK", "warning", "error"
FEWEST = 10
"""Fewest patients a class that can be divided into training, validation and test part at all."""

TELLING = 0.65
"""Balanced accuracy from which on an attribute that is no picture counts as telling the label."""


@dataclass(frozen=True)
class Facts:
    """What the checks look at.

    `images`: the readable rows of the image table with `sha256`, `width` and `height` as decoded, `component`,
    `repeat` (group of near-duplicates) and `part` (published split, null if none).
    """

    collection: Collection
    images: pd.DataFrame
    quarantined: pd.DataFrame


@dataclass(frozen=True)
class Verdict:
    """Outcome of one check: `verdict` of OK, warning or error, how many images it concerns, and which."""

    check: str
    verdict: str
    count: int
    sentence: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)


def classes(facts: Facts) -> Verdict:
    """Both classes are there, with enough patients to divide."""
    label = facts.images["label"]
    counts = {name: int((label == name).sum()) for name in ("covid", "non_covid")}
    patients = {name: facts.images.loc[label == name, "component"].nunique() for name in counts}
    text = " and ".join(f"{counts[n]} {n} images of {patients[n]} patients" for n in counts)
    rare = min(counts.values())
    if min(patients.values()) < FEWEST:
        return Verdict("classes", ERROR, rare, f"there are {text}: collect at least {FEWEST} patients of each class.")
    ratio = max(counts.values()) / rare
    return Verdict("classes", OK, len(label), f"there are {text}, {ratio:.3g} to 1.")


def unlabelled(facts: Facts) -> Verdict:
    """Every image has a label."""
    rows = facts.images[facts.images["label"].isna()]
    return _verdict("labels", WARNING, rows, "images without a label: {n}. Label them, or they are left out.")


def patients(facts: Facts) -> Verdict:
    """Every image names its patient."""
    rows = facts.images[facts.images["patient_id"].isna()]
    if len(rows) == len(facts.images):
        return Verdict("patients", ERROR, len(rows), "no image names its patient: add a column patient.", _few(rows))
    text = "images without a patient: {n}, each counted as a patient of its own. Fill the column in."
    return _verdict("patients", WARNING, rows, text)


def missing(facts: Facts) -> Verdict:
    """Every file that the table names is there."""
    rows = _excluded(facts, MISSING)
    return _verdict(
        "missing files", WARNING, rows, "files of the table that are not there: {n}. Restore them or drop their rows."
    )


def unnamed(facts: Facts) -> Verdict:
    """Every image file is named by the table."""
    rows = _excluded(facts, NOT_NAMED)
    return _verdict(
        "unnamed files",
        WARNING,
        rows,
        "image files without a row in the table: {n}. Add rows for them or move them away.",
    )


def repeated_rows(facts: Facts) -> Verdict:
    """No file has two rows."""
    rows = _excluded(facts, REPEATED)
    return _verdict(
        "repeated rows", WARNING, rows, "rows that repeat a file of an earlier row: {n}. Keep one row a file."
    )


def unreadable(facts: Facts) -> Verdict:
    """Every file can be decoded and is not a single grey level."""
    rows = facts.quarantined
    reasons = ", ".join(f"{n} {reason}" for reason, n in rows["reason"].value_counts().items())
    return _verdict("unreadable images", WARNING, rows, f"images that cannot serve: {reasons}. Replace or drop them.")


def exact_duplicates(facts: Facts) -> Verdict:
    """No two files have the same bytes."""
    images = facts.images[facts.images["sha256"].notna()]
    rows = images[images.duplicated("sha256", keep=False)].sort_values("sha256")
    text = "images whose file is another's as well: {n}. Keep one of each."
    return _verdict("exact duplicates", WARNING, rows, text, "sha256")


def near_duplicates(facts: Facts) -> Verdict:
    """No two different files show the same picture."""
    images = facts.images
    several = images.groupby("repeat")["sha256"].transform("nunique") > 1
    rows = images[several].sort_values("repeat")
    text = "images that show the picture of another file: {n}. Look at them, and keep one of each."
    return _verdict("near-duplicates", WARNING, rows, text, "repeat")


def contradictions(facts: Facts) -> Verdict:
    """No picture has two labels."""
    images = facts.images
    rows = images[images.groupby("repeat")["label"].transform("nunique") > 1].sort_values("repeat")
    again = _excluded(facts, CONTRADICTED)
    rows = pd.concat([rows, again.assign(label="another")]) if len(again) else rows
    text = "images or rows that give one picture two labels: {n}. Decide which is right."
    return _verdict("contradictory labels", ERROR, rows, text, "repeat")


def leakage(facts: Facts) -> Verdict:
    """No patient and no picture is in two parts of the published split."""
    stated = facts.images[facts.images["part"].notna()]
    if stated["part"].nunique() < 2:
        return Verdict("leakage", OK, 0, "the table states no split: it is drawn by patient when you train.")
    shared = stated.groupby("component")["part"].transform("nunique") > 1
    rows = stated[shared].sort_values("component")
    by_patient, by_picture = (
        int((rows["part"].groupby(rows[name]).transform("nunique") > 1).sum()) for name in ("patient_id", "repeat")
    )
    text = (
        f"images linked across the parts of the split: {{n}} ({by_patient} by their patient, {by_picture} by the "
        "picture). Move each patient to one part."
    )
    return _verdict("leakage", ERROR, rows, text, "component")


def shortcuts(facts: Facts) -> Verdict:
    """Neither source, folder, format, size nor view tells the label."""
    table = association(facts.images)
    if table.empty:
        return Verdict("shortcuts", OK, 0, "too few patients to ask whether the origin tells the label.")
    telling = table[(table["bacc"] >= TELLING) & (table["bacc"] > table["chance"])].sort_values("bacc", ascending=False)
    if telling.empty:
        best = table.loc[table["bacc"].idxmax()]
        text = f"no attribute tells the label: the best, {best['attribute']}, reaches a balanced accuracy of {best['bacc']:.2f}."
        return Verdict("shortcuts", OK, 0, text, table)
    named = ", ".join(f"{row.attribute} {row.bacc:.2f}" for row in telling.itertuples())
    text = f"the label can be told without the picture (balanced accuracy by {named}). Add images of both classes from each origin."
    return Verdict("shortcuts", WARNING, len(facts.images), text, table)


CHECKS: tuple[Callable[[Facts], Verdict], ...] = (
    classes, unlabelled, patients, missing, unnamed, repeated_rows, unreadable, exact_duplicates, near_duplicates,
    contradictions, leakage, shortcuts,
)  # fmt: skip
"""All checks in the order of the report."""


def _verdict(check: str, severity: str, rows: pd.DataFrame, text: str, group: str | None = None) -> Verdict:
    if rows.empty:
        return Verdict(check, OK, 0, "none found.")
    return Verdict(check, severity, len(rows), text.format(n=len(rows)), _few(rows, group))


def _few(rows: pd.DataFrame, group: str | None = None) -> pd.DataFrame:
    """The columns of a finding's rows that help to look at them."""
    names = ["image_id", group, "label", "patient_id", "part", "reason"]
    return rows[[name for name in names if name in rows]].reset_index(drop=True)


def _excluded(facts: Facts, reason: str) -> pd.DataFrame:
    excluded = facts.collection.excluded
    return excluded[excluded["reason"] == reason]
