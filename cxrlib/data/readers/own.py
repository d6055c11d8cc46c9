"""A folder of images and one CSV table: data of your own, as the same table that every reader yields.

The table needs a column for the file and one for the label; a column for the patient is what keeps a split
clean. `COLUMNS` declares the names that are understood, `LABELS` the values of the label.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import (
    IMAGE_SUFFIXES,
    MISSING,
    NOT_AN_IMAGE,
    NOT_NAMED,
    REPEATED,
    Collection,
    blank_to_null,
    first_reason,
    healthy,
    population,
    views,
)
from cxrlib.data.schema import IMAGE_TABLE, validate_exclusions, validate_images
from cxrlib.errors import DataError
from cxrlib.paths import data_root
from cxrlib.storage import file_digest

NAME = "own"
TITLE = "images of your own"
TABLES = ("images.csv", "labels.csv", "metadata.csv")
"""Names of the table, the first that is there counts; else the folder's only CSV file."""

COLUMNS = {
    "file": ("file", "image", "filename", "file_name", "path", "image_path", "image_file", "image_index"),
    "label": ("label", "class", "target"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id"),
    "finding": ("finding", "findings", "diagnosis"),
    "view": ("view", "projection", "view_position"),
    "split": ("split", "set", "partition"),
    "source": ("source", "site", "hospital", "institution"),
    "age": ("age", "patient_age"),
    "modality": ("modality",),
    "licence": ("licence", "license"),
}
"""Each column and the headers that mean it; upper case, blanks and hyphens in a header do not matter."""

LABELS = {
    "covid": ("covid", "covid-19", "covid19", "positive", "pos", "1", "1.0", "true", "yes"),
    "non_covid": ("non_covid", "non-covid", "noncovid", "negative", "neg", "0", "0.0", "false", "no", "normal",
                  "healthy", "no finding"),
}  # fmt: skip
"""Values of the label, in lower case, of the positive and of the negative class."""

SPLITS = {
    "train": ("train", "training", "dev", "development"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing", "eval", "evaluation"),
}
CONTRADICTED = "repeats a file of an earlier row under another label"

_MODALITIES = {"x-ray": "X-ray", "xray": "X-ray", "cr": "X-ray", "dx": "X-ray", "ct": "CT", "": "unknown"}


def locate() -> Path | None:
    """The folder `own` under the data root, or None if it is not there."""
    folder = data_root() / NAME
    return folder if folder.is_dir() else None


def read(root: Path, positive: str | None = None) -> Collection:
    """The collection in `root`: a folder with images and one CSV table, or that table itself.

    `positive` names the value of the label that counts as the positive class, every other value being negative;
    without it the values must be among `LABELS`. A published validation part stands in the column `source_split`.
    Left out, with a reason: missing files, rows that repeat a file, files that no row names. Raises DataError for a
    missing or unreadable table, an unknown or ambiguous header, an unknown label or split.
    """
    table, rows = _read_table(root)
    root = table.parent
    on_disk = set(_files(root, table))
    file = rows["file"].str.strip().str.replace("\\", "/").str.removeprefix("./")
    file = file.where(file.isin(on_disk) | ~("images/" + file).isin(on_disk), "images/" + file)
    label = _labels(rows["label"], positive, table)
    part = _parts(rows["split"], table) if "split" in rows else pd.Series(None, index=rows.index, dtype="string")
    repeated = file.duplicated()
    disputed = file.isin(file[label.groupby(file).transform("nunique") > 1])
    reason = first_reason(
        rows.index,
        [
            (file == "", "row without a file"),
            (~file.isin(on_disk), MISSING),
            (repeated & disputed, CONTRADICTED),
            (repeated, REPEATED),
        ],
    )
    kept = reason.isna()
    strangers = sorted(on_disk.difference(file))
    excluded = pd.concat(
        [
            pd.DataFrame({"image_id": f"{NAME}/" + file, "reason": reason})[~kept],
            pd.DataFrame({"image_id": [f"{NAME}/{name}" for name in strangers], "reason": list(map(_kind, strangers))}),
        ]
    ).assign(collection=NAME)
    source = _column(rows, "source").fillna(NAME)
    finding = _column(rows, "finding")
    images = pd.DataFrame(
        {
            "image_id": f"{NAME}/" + file,
            "path": file.map(lambda name: str(root.absolute() / name)),
            "collection": NAME,
            "source": source,
            "label": label,
            "finding": finding,
            "healthy": healthy(finding),
            "patient_id": source + ":" + _column(rows, "patient"),
            "view": views(_column(rows, "view").fillna("")),
            "modality": _column(rows, "modality").fillna("").str.lower().map(_MODALITIES).fillna("unknown"),
            "population": population(_column(rows, "age").fillna("")),
            "licence": _column(rows, "licence").fillna("not stated"),
            "split": part.where(part != "valid"),
            "source_split": part,
        }
    )[kept]
    if images.empty:
        raise DataError(f"none of the {len(rows)} files that {table} names is there: paths must be relative to {root}.")
    with ThreadPoolExecutor() as pool:
        images["sha256"] = list(pool.map(_digest, images["path"]))
    for name in IMAGE_TABLE.columns:
        if name not in images:
            images[name] = None
    excluded = validate_exclusions(excluded[["image_id", "collection", "reason"]])
    return Collection(NAME, TITLE, validate_images(images), excluded, url="", citation="", version=table.name)


def _read_table(root: Path) -> tuple[Path, pd.DataFrame]:
    """Path of the table and its rows as text, columns named as in `COLUMNS`."""
    path = root if root.is_file() else _find_table(root)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is not a readable CSV table ({error}).".replace("\n", " ")) from error
    headers = {name: re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff").lower()) for name in table}
    roles: dict[str, list[str]] = {}
    for name, header in headers.items():
        for role, known in COLUMNS.items():
            if header in known:
                roles.setdefault(role, []).append(name)
    for role in ("file", "label"):
        if role not in roles:
            raise DataError(
                f"{path} has no column for the {role}: name it {' or '.join(COLUMNS[role][:3])} "
                f"(there are {', '.join(list(table)[:12])})."
            )
    for role, names in roles.items():
        if len(names) > 1:
            raise DataError(f"{path} has several columns for the {role} ({', '.join(names)}): keep one of them.")
    return path, table.rename(columns={names[0]: role for role, names in roles.items()})


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: give a folder with images and a CSV table.")
    for name in TABLES:
        if (root / name).is_file():
            return root / name
    found = sorted(root.glob("*.csv"))
    if len(found) != 1:
        what = f"{len(found)} CSV files, none named {' or '.join(TABLES)}" if found else "no CSV table"
        raise DataError(f"{root} holds {what}: put one images.csv there with the columns file, label and patient.")
    return found[0]


def _labels(values: pd.Series, positive: str | None, table: Path) -> pd.Series:
    text = values.str.strip()
    if positive is not None:
        hit = text == positive
        if not hit.any():
            raise DataError(f"no row of {table} has the label '{positive}': there are {_some(text)}.")
        return hit.map({True: "covid", False: "non_covid"}).where(text != "", None)
    known = {value: label for label, names in LABELS.items() for value in names}
    label = text.str.lower().map(known)
    unknown = text[label.isna() & (text != "")]
    if len(unknown):
        raise DataError(
            f"{table} has labels that are neither positive nor negative ({_some(unknown)}): write covid and non_covid, "
            "or name the positive one with --positive."
        )
    return label


def _parts(values: pd.Series, table: Path) -> pd.Series:
    text = values.str.strip()
    part = text.str.lower().map({value: part for part, names in SPLITS.items() for value in names})
    unknown = text[part.isna() & (text != "")]
    if len(unknown):
        raise DataError(f"{table} has splits that are unknown ({_some(unknown)}): write train, valid or test.")
    return part


def _some(values: pd.Series) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values.unique())[:5])


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column with blanks as null; all null where the table has none."""
    if name not in rows:
        return pd.Series(None, index=rows.index, dtype="string")
    return blank_to_null(rows[name]).astype("string")


def _files(root: Path, table: Path) -> Iterator[str]:
    """POSIX paths inside `root` of all files but the table and hidden ones."""
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.is_file() and path != table and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix()


def _kind(file: str) -> str:
    return NOT_NAMED if Path(file).suffix.lower() in IMAGE_SUFFIXES else NOT_AN_IMAGE


def _digest(path: str) -> str | None:
    """SHA-256 of a file; null if it may not be read, which the image store then states."""
    try:
        return file_digest(path)
    except OSError:
        return None
