"""What is wrong with a collection before anything is trained on it: each check looks at one thing and says what to do.

`association` measures how much of the label source, folder, format and size tell. A network can read all of these off
the pixels (borders, sharpness, compression, markers), so a label that follows from them can be learned without a lung.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.data.division import published_split
from cxrlib.data.editions import link
from cxrlib.data.folds import grouped_folds
from cxrlib.data.readers import own
from cxrlib.data.readers.base import LABELS, MISSING, NOT_NAMED, REPEATED, Collection
from cxrlib.images.damage import jpeg_damage
from cxrlib.images.decoding import PHANTOM, read_bytes
from cxrlib.images.hashing import SIDE, transformed_pairs
from cxrlib.images.store import open_store

OK, WARNING, ERROR = "OK", "warning", "error"
FEWEST = 10  # patients of a class that can be divided into training, validation and test part at all
INFORMATIVE = 0.65  # balanced accuracy from which on an attribute that is no picture counts as telling the label
FOLDS = 5
LAYOUT_WORDS = {"non", "images"}.union(*own.LABELS.values(), *own.SPLITS.values())
"""Names of folders that state the label or the split and are no property of the picture."""


@dataclass(frozen=True)
class Facts:
    """What the checks look at.

    `images`: the readable rows with `sha256`, `width`, `height`, `component`, `repeat` (with changed copies) and `part`
    (published split, null if none). `changed`: pairs of image ids (first, second), one a copy by `transform`.
    """

    collection: Collection
    images: pd.DataFrame
    quarantined: pd.DataFrame
    changed: pd.DataFrame


@dataclass(frozen=True)
class Verdict:
    """Outcome of one check: `verdict` of OK, warning or error, how many images it concerns, what to do, and which."""

    verdict: str
    count: int
    sentence: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class CheckReport:
    """Verdicts over one collection by the name of their check, in the order of `CHECKS`; `changed` as in `Facts`."""

    collection: Collection
    verdicts: dict[str, Verdict]
    changed: pd.DataFrame

    @property
    def worst(self) -> str:
        """The worst verdict: error, warning or OK."""
        return max((v.verdict for v in self.verdicts.values()), key=(OK, WARNING, ERROR).index)

    @property
    def left_out(self) -> dict[str, int]:
        """How many rows and files the reader left out, by reason: findings, or rules of the collection."""
        return {str(reason): int(n) for reason, n in self.collection.excluded["reason"].value_counts().items()}

    @property
    def labels(self) -> pd.DataFrame:
        """How each value of the label was read, in a table of one's own: value, label ('none' for unknown), rows."""
        empty = pd.DataFrame(columns=["value", "label", "rows"])
        return empty if self.collection.labels is None else self.collection.labels.fillna({"label": "none"})

    @property
    def table(self) -> pd.DataFrame:
        """A row a check: check, verdict, images, what to do."""
        rows = [(name, v.verdict, v.count, v.sentence) for name, v in self.verdicts.items()]
        return pd.DataFrame(rows, columns=["check", "verdict", "images", "what to do"])

    def to_text(self, most: int = 5) -> str:
        """The table for a terminal, with the first `most` images behind each finding."""
        lines = [f"{self.collection.title}: {len(self.collection.images)} images"]
        lines += [f"   label {row.value!r} read as {row.label}: {row.rows} rows" for row in self.labels.itertuples()]
        lines += [f"   left out by the reader: {n}, {reason}" for reason, n in self.left_out.items()]
        for name, v in self.verdicts.items():
            lines.append(f"{v.verdict:>7}  {name}: {v.sentence}")
            if v.verdict != OK and "image_id" in v.rows:
                lines += [f"{'':9}- {image}" for image in v.rows["image_id"].head(most)]
                if len(v.rows) > most:
                    lines.append(f"{'':9}- and {len(v.rows) - most} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with every image behind each finding."""
        return {
            "collection": self.collection.name,
            "images": len(self.collection.images),
            "labels": self.labels.to_dict("records"),
            "left_out": self.left_out,
            "clean": self.worst == OK,
            "checks": [
                {"check": name, "verdict": v.verdict, "images": v.count, "what_to_do": v.sentence}
                | {"rows": v.rows.astype(object).where(v.rows.notna(), None).to_dict("records")}
                for name, v in self.verdicts.items()
            ],
        }


def check(collection: Collection) -> CheckReport:
    """The report on a collection; decodes every image once, at 64 pixels a side, into the image cache.

    Raises DataError if no image at all can be decoded.
    """
    store = open_store(collection.images, SIDE)
    decoded = store.table.set_index("image_id")
    images = collection.images[collection.images["image_id"].isin(decoded.index)].reset_index(drop=True)
    for name in ("sha256", "width", "height"):
        images[name] = images[name].fillna(images["image_id"].map(decoded[name]))
    pairs = transformed_pairs(np.asarray(store.pixels))
    pairs = pairs.assign(**{end: decoded.index[pairs[end]] for end in ("first", "second")})
    images = link(images.assign(part=published_split(images)), pairs)
    facts = Facts(collection, images, store.quarantined, pairs)
    return CheckReport(collection, {name: one(facts) for name, one in CHECKS.items()}, pairs)


def classes(facts: Facts) -> Verdict:
    """Both classes are there, with enough patients to divide."""
    known = facts.images.groupby("label")["component"].agg(["size", "nunique"]).reindex(LABELS, fill_value=0)
    text = " and ".join(f"{size} {label} images of {people} patients" for label, size, people in known.itertuples())
    rare = known["size"].min()
    if known["nunique"].min() < FEWEST:
        return Verdict(ERROR, int(rare), f"there are {text}: collect at least {FEWEST} patients of each class.")
    return Verdict(OK, len(facts.images), f"there are {text}, {known['size'].max() / rare:.3g} to 1.")


def labels(facts: Facts) -> Verdict:
    """Every image has a label."""
    unknown = facts.images["label"].isna()
    return _found(WARNING, facts.images[unknown], "images without a label: {n}. Label them, or they are left out.")


def patients(facts: Facts) -> Verdict:
    """Every image names its patient."""
    rows = facts.images[facts.images["patient_id"].isna()]
    if len(rows) == len(facts.images):
        return _found(ERROR, rows, "no image names its patient: add a column patient.")
    text = "images without a patient: {n}, each counted as a patient of its own. Fill the column in."
    return _found(WARNING, rows, text)


def unreadable(facts: Facts) -> Verdict:
    """Every file can be decoded and holds a picture."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in facts.quarantined["reason"].value_counts().items())
    return _found(WARNING, facts.quarantined, f"images that cannot serve: {reasons}. Replace or drop them.")


def damaged(facts: Facts) -> Verdict:
    """No JPEG file makes its decoder complain."""
    files = facts.images[~facts.images["path"].str.startswith(PHANTOM)]
    rows = files.assign(reason=[jpeg_damage(read_bytes(path)) for path in files["path"]]).dropna(subset="reason")
    text = "JPEG files that decode with a complaint: {n}. Look at them, and fetch them again."
    none = "none found; damage whose bits decode to another picture without complaint is not recognised."
    return _found(WARNING, rows, text, none=none)


def exact_duplicates(facts: Facts) -> Verdict:
    """No two files have the same bytes."""
    images = facts.images[facts.images["sha256"].notna()]
    rows = images[images.duplicated("sha256", keep=False)].sort_values("sha256")
    return _found(WARNING, rows, "images whose file is another's as well: {n}. Keep one of each.", "sha256")


def near_duplicates(facts: Facts) -> Verdict:
    """No two different files show the same picture, be it mirrored, turned, inverted or cropped."""
    images, pairs = facts.images, facts.changed
    several = images.groupby("repeat")["sha256"].transform("nunique") > 1
    ends = pd.concat([pairs.set_index(end)["transform"] for end in ("first", "second")])
    change = images["image_id"].map(ends[~ends.index.duplicated()])
    rows = images.assign(change=change)[several].sort_values("repeat")
    changed = f", {n} of them mirrored, turned, inverted or cropped" if (n := rows["change"].notna().sum()) else ""
    text = f"images that show the picture of another file: {{n}}{changed}. Look at them, and keep one of each."
    none = "none found; crops beyond 6 %, angles other than 90 degrees and several changes at once are not looked for."
    return _found(WARNING, rows, text, "repeat", none)


def contradictions(facts: Facts) -> Verdict:
    """No picture has two labels."""
    rows = facts.images[facts.images.groupby("repeat")["label"].transform("nunique") > 1].sort_values("repeat")
    rows = pd.concat([rows, _left_out(facts, own.CONTRADICTED).assign(label="another")])
    text = "images or rows that give one picture two labels: {n}. Decide which is right."
    return _found(ERROR, rows, text, "repeat")


def leakage(facts: Facts) -> Verdict:
    """No patient and no picture is in two parts of the published split."""
    stated = facts.images[facts.images["part"].notna()]
    if stated["part"].nunique() < 2:
        return Verdict(OK, 0, "the table states no split: it is drawn by patient when you train.")
    rows = stated[stated.groupby("component")["part"].transform("nunique") > 1].sort_values("component")
    by_patient, by_picture = (
        int((rows["part"].groupby(rows[name]).transform("nunique") > 1).sum()) for name in ("patient_id", "repeat")
    )
    links = f"({by_patient} by their patient, {by_picture} by the picture)"
    text = f"images linked across the parts of the split: {{n}} {links}. Move each patient to one part."
    return _found(ERROR, rows, text, "component")


def shortcuts(facts: Facts) -> Verdict:
    """Neither source, folder, format, size nor view tells the label."""
    table = association(facts.images)
    if table.empty:
        return Verdict(OK, 0, "too few patients to ask whether the origin tells the label.", table)
    ranked = table.sort_values("bacc", ascending=False, kind="stable")
    telling = ranked[(ranked["bacc"] > ranked["chance"]) & (ranked["bacc"] >= INFORMATIVE)]
    if telling.empty:
        best, reached = ranked["attribute"].iloc[0], ranked["bacc"].iloc[0]
        text = f"no attribute tells the label: the best, {best}, reaches a balanced accuracy of {reached:.2f}."
        return Verdict(OK, 0, text, table)
    told = ", ".join(f"{row.attribute} {row.bacc:.2f}" for row in telling.itertuples())
    text = f"the label can be told without the picture (balanced accuracy by {told})."
    return Verdict(WARNING, len(facts.images), f"{text} Add images of both classes from each origin.", table)


def association(images: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Balanced accuracy with which source, folder, format, size or view tells the label of images it was not fitted on.

    `images`: image table with `component`, `width` and `height`. The rule answers 'positive' where positives are more
    frequent among an attribute's value than overall, both taken from the other folds of a cross-validation whose
    folds share no component; a value not seen there counts as half right. Columns: attribute, values, images, bacc,
    chance (99 % of uninformative attributes stay below). Empty where a class has fewer than two components.
    """
    rows = images[images["label"].notna()].reset_index(drop=True)
    y, group = (rows["label"] == "covid").to_numpy(), rows["component"].to_numpy()
    folds = min(FOLDS, len(np.unique(group[y])), len(np.unique(group[~y])))
    splits = grouped_folds(y, group, folds, seed) if folds > 1 else []
    file = rows["image_id"].map(PurePath)
    attributes = {
        "source": rows["source"],
        "folder": file.map(_folder),
        "format": file.map(lambda path: path.suffix.lower()),
        "size": rows["width"].astype("string") + " x " + rows["height"].astype("string"),
        "view": rows["view"],
    }
    found = []
    for name, values in attributes.items() if splits else ():
        values = values.astype("string").fillna("unknown")
        answer = np.zeros(len(rows))  # 1 positive, -1 negative, 0 undecided
        for fit, held_out in splits:
            excess = pd.Series(y[fit]).groupby(values.to_numpy()[fit]).mean() - y[fit].mean()
            answer[held_out] = np.sign(values.iloc[held_out].map(excess).fillna(0).round(9))
        right = (1 + answer * np.where(y, 1, -1)) / 2
        chance = 0.5 + 2.326 * 0.25 * float(np.sqrt(1 / y.sum() + 1 / (~y).sum()))
        found.append((name, values.nunique(), len(rows), (right[y].mean() + right[~y].mean()) / 2, chance))
    return pd.DataFrame(found, columns=["attribute", "values", "images", "bacc", "chance"])


def _folder(path: PurePath) -> str:
    """The folders of an image, without those that only state a label or a split."""
    return "/".join(part for part in path.parts[1:-1] if "".join(part.lower().split()) not in LAYOUT_WORDS)


def _left_out(facts: Facts, reason: str) -> pd.DataFrame:
    """The rows and files that the reader left out for this reason."""
    return facts.collection.excluded[facts.collection.excluded["reason"] == reason]


def _nothing_left_out(reason: str, text: str) -> Callable[[Facts], Verdict]:
    return lambda facts: _found(WARNING, _left_out(facts, reason), text)


CHECKS: dict[str, Callable[[Facts], Verdict]] = {
    "classes": classes,
    "labels": labels,
    "patients": patients,
    "missing files": _nothing_left_out(MISSING, "files of the table that are not there: {n}. Restore them or drop their rows."),
    "unnamed files": _nothing_left_out(NOT_NAMED, "image files without a row in the table: {n}. Add rows for them or move them away; names must be UTF-8."),
    "repeated rows": _nothing_left_out(REPEATED, "rows that repeat a file of an earlier row: {n}. Keep one row a file."),
    "unreadable images": unreadable,
    "damaged images": damaged,
    "exact duplicates": exact_duplicates,
    "near-duplicates": near_duplicates,
    "contradictory labels": contradictions,
    "leakage": leakage,
    "shortcuts": shortcuts,
}  # fmt: skip
"""All checks in the order of the report."""


def _found(severity: str, rows: pd.DataFrame, text: str, group: str = "", none: str = "none found.") -> Verdict:
    """`severity`, `text` and what helps to look at the rows, if there are any; else OK and `none`."""
    shown = [name for name in ("image_id", group, "label", "patient_id", "part", "change", "reason") if name in rows]
    verdict, sentence = (OK, none) if rows.empty else (severity, text.format(n=len(rows)))
    return Verdict(verdict, len(rows), sentence, rows[shown].reset_index(drop=True))
