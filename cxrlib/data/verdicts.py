"""The single checks: each looks at one thing and answers with a verdict and a sentence that says what to do.

`association` measures how much of the label can be told without looking at the picture, from source, folder, format and
size. A network can read all of these off the pixels (borders, sharpness, compression, markers), so a label that follows
from them alone can be learned without a lung.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import pandas as pd

from cxrlib.data.folds import grouped_folds
from cxrlib.data.readers import own
from cxrlib.data.readers.base import MISSING, NOT_NAMED, NOT_UTF8, REPEATED, Collection
from cxrlib.data.schema import LABELS

OK, WARNING, ERROR = "OK", "warning", "error"
FEWEST = 10
"""Fewest patients a class that can be divided into training, validation and test part at all."""

INFORMATIVE = 0.65
"""Balanced accuracy from which on an attribute that is no picture counts as telling the label."""

FOLDS = 5
LAYOUT_WORDS = {"non", "images"}.union(*own.LABELS.values(), *own.SPLITS.values())
"""Names of folders that state the label or the split and are no property of the picture."""


@dataclass(frozen=True)
class Facts:
    """What the checks look at.

    `images`: the readable rows of the image table with `sha256`, `width`, `height` (as published, else as decoded),
    `component`, `repeat` (with changed copies) and `part` (published split, null if none). `changed`: pairs of image
    ids (first, second) of which one is a changed copy of the other, and the `transform`.
    """

    collection: Collection
    images: pd.DataFrame
    quarantined: pd.DataFrame
    changed: pd.DataFrame


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
    counts = {name: int((label == name).sum()) for name in LABELS}
    patients = {name: facts.images.loc[label == name, "component"].nunique() for name in LABELS}
    text = " and ".join(f"{counts[n]} {n} images of {patients[n]} patients" for n in LABELS)
    rare = min(counts.values())
    if min(patients.values()) < FEWEST:
        return Verdict("classes", ERROR, rare, f"there are {text}: collect at least {FEWEST} patients of each class.")
    return Verdict("classes", OK, len(label), f"there are {text}, {max(counts.values()) / rare:.3g} to 1.")


def labels(facts: Facts) -> Verdict:
    """Every image has a label, and no negative label names the positive class."""
    rows = facts.images[facts.images["label"].isna()]
    text = [f"images without a label: {len(rows)}. Label them, or they are left out."] if len(rows) else []
    read = facts.collection.labels
    if read is not None:
        positive = "|".join(re.escape(value) for value in read.loc[read["label"] == "covid", "value"])
        negative = read.loc[read["label"] == "non_covid", "value"]
        negated = negative.str.contains(r"^(?:non?|not)\b|^non|negative", case=False)
        doubtful = ", ".join(f"'{value}'" for value in negative[negative.str.contains(positive, case=False) & ~negated])
        if doubtful:
            why = "counted as negative although the positive label is part of it"
            text.append(f"{why}: {doubtful}. Rename what is positive.")
    if not text:
        return Verdict("labels", OK, 0, "none found.")
    return Verdict("labels", WARNING, len(rows), " ".join(text), _columns(rows))


def patients(facts: Facts) -> Verdict:
    """Every image names its patient."""
    rows = facts.images[facts.images["patient_id"].isna()]
    if len(rows) == len(facts.images):
        return _verdict("patients", ERROR, rows, "no image names its patient: add a column patient.")
    text = "images without a patient: {n}, each counted as a patient of its own. Fill the column in."
    return _verdict("patients", WARNING, rows, text)


def unreadable(facts: Facts) -> Verdict:
    """Every file can be decoded and holds a picture."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in facts.quarantined["reason"].value_counts().items())
    text = f"images that cannot serve: {reasons}. Replace or drop them."
    none = "none found; damage that still decodes, as in a garbled JPEG scan, is not recognised."
    return _verdict("unreadable images", WARNING, facts.quarantined, text, none=none)


def exact_duplicates(facts: Facts) -> Verdict:
    """No two files have the same bytes."""
    images = facts.images[facts.images["sha256"].notna()]
    rows = images[images.duplicated("sha256", keep=False)].sort_values("sha256")
    text = "images whose file is another's as well: {n}. Keep one of each."
    return _verdict("exact duplicates", WARNING, rows, text, "sha256")


def near_duplicates(facts: Facts) -> Verdict:
    """No two different files show the same picture, be it mirrored, turned, inverted or cropped."""
    images, pairs = facts.images, facts.changed
    several = images.groupby("repeat")["sha256"].transform("nunique") > 1
    ends = pd.concat([pairs.set_index(end)["transform"] for end in ("first", "second")])
    change = images["image_id"].map(ends[~ends.index.duplicated()])
    rows = images.assign(change=change)[several].sort_values("repeat")
    n = rows["change"].notna().sum()
    changed = f", {n} of them mirrored, turned, inverted or cropped" if n else ""
    text = f"images that show the picture of another file: {{n}}{changed}. Look at them, and keep one of each."
    none = "none found; crops beyond 6 %, angles other than 90 degrees and several changes at once are not looked for."
    return _verdict("near-duplicates", WARNING, rows, text, "repeat", none)


def contradictions(facts: Facts) -> Verdict:
    """No picture has two labels."""
    rows = facts.images[facts.images.groupby("repeat")["label"].transform("nunique") > 1].sort_values("repeat")
    again = _excluded(facts, own.CONTRADICTED)
    rows = pd.concat([rows, again.assign(label="another")]) if len(again) else rows
    text = "images or rows that give one picture two labels: {n}. Decide which is right."
    return _verdict("contradictory labels", ERROR, rows, text, "repeat")


def leakage(facts: Facts) -> Verdict:
    """No patient and no picture is in two parts of the published split."""
    stated = facts.images[facts.images["part"].notna()]
    if stated["part"].nunique() < 2:
        return Verdict("leakage", OK, 0, "the table states no split: it is drawn by patient when you train.")
    rows = stated[stated.groupby("component")["part"].transform("nunique") > 1].sort_values("component")
    by_patient, by_picture = (
        int((rows["part"].groupby(rows[name]).transform("nunique") > 1).sum()) for name in ("patient_id", "repeat")
    )
    links = f"({by_patient} by their patient, {by_picture} by the picture)"
    text = f"images linked across the parts of the split: {{n}} {links}. Move each patient to one part."
    return _verdict("leakage", ERROR, rows, text, "component")


def shortcuts(facts: Facts) -> Verdict:
    """Neither source, folder, format, size nor view tells the label."""
    table = association(facts.images)
    if table.empty:
        return Verdict("shortcuts", OK, 0, "too few patients to ask whether the origin tells the label.")
    ranked = table.sort_values("bacc", ascending=False, kind="stable")
    named = [f"{row.attribute} {row.bacc:.2f}" for row in ranked.itertuples() if row.chance < row.bacc >= INFORMATIVE]
    if not named:
        best = ranked.iloc[0]
        reached = f"{best['attribute']}, reaches a balanced accuracy of {best['bacc']:.2f}"
        text = f"no attribute tells the label: the best, {reached}."
        return Verdict("shortcuts", OK, 0, text, table)
    told = f"the label can be told without the picture (balanced accuracy by {', '.join(named)})"
    text = f"{told}. Add images of both classes from each origin."
    return Verdict("shortcuts", WARNING, len(facts.images), text, table)


def attributes(images: pd.DataFrame) -> pd.DataFrame:
    """What each image shows of its origin, without its content: source, folder, format, size and view, as text.

    Of the folder the parts that only state a label or a split are left out.
    """

    def folder(path: PurePath) -> str:
        return "/".join(part for part in path.parts[1:-1] if re.sub(r"\s", "", part.lower()) not in LAYOUT_WORDS)

    file = images["image_id"].map(PurePath)
    known = {
        "source": images["source"],
        "folder": file.map(folder),
        "format": file.map(lambda path: path.suffix.lower()),
        "size": images["width"].astype("string") + " x " + images["height"].astype("string"),
        "view": images["view"],
    }
    return pd.DataFrame({name: values.astype("string").fillna("unknown") for name, values in known.items()})


def association(images: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Balanced accuracy with which each attribute alone tells the label of images it was not fitted on.

    `images`: image table with `component`, `width` and `height`. The rule answers 'positive' where positives are more
    frequent among an attribute's value than overall, both taken from the other folds of a cross-validation whose
    folds share no component; a value not seen there counts as half right. Columns: attribute, values, images, bacc,
    chance (99 % of uninformative attributes stay below). Empty where a class has fewer than two components.
    """
    names = ["attribute", "values", "images", "bacc", "chance"]
    rows = images[images["label"].notna()].reset_index(drop=True)
    y, group = (rows["label"] == "covid").to_numpy(), rows["component"].to_numpy()
    folds = min(FOLDS, len(np.unique(group[y])), len(np.unique(group[~y])))
    found: list[tuple[str, int, int, float, float]] = []
    if folds < 2:
        return pd.DataFrame(found, columns=names)
    splits = grouped_folds(y, group, folds, seed)
    chance = 0.5 + 2.326 * 0.25 * float(np.sqrt(1 / y.sum() + 1 / (~y).sum()))
    for name, values in attributes(rows).items():
        answer = np.zeros(len(rows))  # 1 positive, -1 negative, 0 undecided
        for fit, held_out in splits:
            excess = pd.Series(y[fit]).groupby(values.to_numpy()[fit]).mean() - y[fit].mean()
            answer[held_out] = np.sign(values.iloc[held_out].map(excess).fillna(0).round(9))
        right = (1 + answer * np.where(y, 1, -1)) / 2
        found.append((name, values.nunique(), len(rows), (right[y].mean() + right[~y].mean()) / 2, chance))
    return pd.DataFrame(found, columns=names)


def _left_out(check: str, text: str, *reasons: str) -> Callable[[Facts], Verdict]:
    """A check that no row or file was left out by the reader for these reasons."""
    return lambda facts: _verdict(check, WARNING, _excluded(facts, *reasons), text)


CHECKS: tuple[Callable[[Facts], Verdict], ...] = (
    classes,
    labels,
    patients,
    _left_out("missing files", "files of the table that are not there: {n}. Restore them or drop their rows.", MISSING),
    _left_out(
        "unnamed files", "image files without a row in the table: {n}. Add rows for them or move them away; names "
        "must be UTF-8.", NOT_NAMED, NOT_UTF8,
    ),
    _left_out("repeated rows", "rows that repeat a file of an earlier row: {n}. Keep one row a file.", REPEATED),
    unreadable,
    exact_duplicates,
    near_duplicates,
    contradictions,
    leakage,
    shortcuts,
)  # fmt: skip
"""All checks in the order of the report."""


def _verdict(
    check: str, severity: str, rows: pd.DataFrame, text: str, group: str | None = None, none: str = "none found."
) -> Verdict:
    if rows.empty:
        return Verdict(check, OK, 0, none)
    return Verdict(check, severity, len(rows), text.format(n=len(rows)), _columns(rows, group))


def _columns(rows: pd.DataFrame, group: str | None = None) -> pd.DataFrame:
    """The columns of a finding's rows that help to look at them."""
    names = ["image_id", group, "label", "patient_id", "part", "change", "reason"]
    return rows[[name for name in names if name in rows]].reset_index(drop=True)


def _excluded(facts: Facts, *reasons: str) -> pd.DataFrame:
    excluded = facts.collection.excluded
    return excluded[excluded["reason"].isin(reasons)]
