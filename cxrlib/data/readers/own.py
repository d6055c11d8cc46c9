"""A folder of images and one table: data of your own, as the same image table that every reader yields.

The table needs a column for the file and one for the label; a column for the patient is what keeps a split clean.
Upper and lower case are alike everywhere but in the names of files.
"""

import io
import os
import re
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cxrlib.data.readers import base
from cxrlib.errors import DataError
from cxrlib.storage import file_digest

NAME = "own"
TABLES = ("images.csv", "labels.csv", "metadata.csv")
"""Names of the table, the first that is there counts; else the folder's only .csv or .tsv file."""

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

UNKNOWN = ("", "nan", "na", "n/a", "n.a.", "none", "null", "unknown", "unk", "not known", "missing", "not stated",
           "not available", "anonymous", "uncertain", "tbd", "?", "-", "-1", "-1.0")  # fmt: skip
"""Values, in lower case, that say that a label or a patient is not known; -1 is CheXpert's mark of an uncertain label."""

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

_COVID = {"covid", "covid19"}  # spellings of one disease, as `_key` writes them
_MODALITIES = {"x-ray": "X-ray", "xray": "X-ray", "cr": "X-ray", "dx": "X-ray", "ct": "CT"}


def read(root: Path, positive: str | None = None) -> base.Collection:
    """The collection in `root`: a folder with images and one table, or that table itself.

    Tables are separated by comma, semicolon or tab; files are relative to the table, or absolute. `positive` names the
    value of the label that counts as positive, every other known one being negative; without it the values must be in
    `LABELS`. A published validation part stands in the column `source_split`. Raises DataError for a missing, empty or
    unreadable table, an unknown or ambiguous header, an unknown label or split.
    """
    table, rows = _read_table(root)
    root = table.parent.absolute()
    on_disk = set(base.files_under(root, [""])) - {table.name}
    file = rows["file"].str.replace("\\", "/").str.removeprefix("./").str.removeprefix(f"{root.as_posix()}/")
    file = file.where(file.isin(on_disk) | ~("images/" + file).isin(on_disk), "images/" + file)
    there = on_disk.union(name for name in set(file) - on_disk if name and os.path.isfile(root / name))
    if not there.intersection(file):
        raise DataError(f"none of the {len(rows)} files that {table} names is there: paths must be relative to {root}.")
    label = _labels(rows["label"], positive, table)
    part = _meanings(rows["split"], SPLITS, f"{table} has splits that are unknown", "write train, valid or test")
    disputed = file.duplicated() & file.isin(file[label.groupby(file).transform("nunique") > 1])
    patient = rows["patient"].str.normalize("NFKC").str.casefold().str.replace(r"^0*(\d+)(\.0+)?$", r"\1", regex=True)
    stated = rows.mask(rows == "")
    source = stated["source"].fillna(NAME)
    found = pd.DataFrame(
        {
            "file": file,
            "image_id": f"{NAME}/" + file.str.lstrip("/"),
            "source": source,
            "label": label,
            "finding": stated["finding"],
            "healthy": base.healthy(stated["finding"]),
            "patient_id": source.str.casefold() + ":" + patient.mask(patient.isin(UNKNOWN)),
            "view": base.views(rows["view"]),
            "modality": rows["modality"].str.lower().map(_MODALITIES).fillna("unknown"),
            "population": base.population(rows["age"]),
            "licence": stated["licence"].fillna("not stated"),
            "split": part.where(part != "valid"),
            "source_split": part,
        }
    )
    reasons = [(file == "", "row without a file"), (~file.isin(there), base.MISSING), (disputed, CONTRADICTED)]
    collection = base.collect(NAME, root, found, reasons, there, table.name, "images of your own")
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest, collection.images["path"]))
    mapping = pd.DataFrame({"value": rows["label"], "label": label}).value_counts(dropna=False).rename("rows")
    return replace(collection, images=collection.images.assign(sha256=digests), labels=mapping.reset_index())


def _read_table(root: Path) -> tuple[Path, pd.DataFrame]:
    """Path of the table and its rows as stripped text, in the columns `COLUMNS`; '' where nothing is stated."""
    path = root if root.is_file() else _find_table(root)
    try:
        text = re.sub(r"\Asep=.\s+", "", _decoded(path.read_bytes()))  # Excel's first line, which names the separator
        separator = max(",;\t", key=text.partition("\n")[0].count)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows with more values than the header has
            table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False)
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path} is not a readable CSV table ({error}).".replace("\n", " ")) from error
    meant = {header: role for role, headers in COLUMNS.items() for header in headers}
    headers = table.columns.to_series().str.strip().str.lower().str.replace(r"[\s-]+", "_", regex=True)
    roles = headers.map(meant).dropna()
    for role in ("file", "label"):
        if role not in roles.values:
            there = f"(there are {', '.join(list(table)[:12])})"
            raise DataError(f"{path} has no column for the {role}: name it {' or '.join(COLUMNS[role][:3])} {there}.")
    for role in roles[roles.duplicated()]:
        names = ", ".join(roles.index[roles == role])
        raise DataError(f"{path} has several columns for the {role} ({names}): keep one of them.")
    if table.empty:
        raise DataError(f"{path} has a header but no row: add a row for each image.")
    table = table.rename(columns=roles).reindex(columns=[*COLUMNS], fill_value="").fillna("")
    return path, table.apply(lambda column: column.str.strip())


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: give a folder with images and a CSV table.")
    named = [root / name for name in TABLES if (root / name).is_file()]
    found = named[:1] or sorted(path for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    if len(found) != 1:
        what = f"{len(found)} CSV files, none named {' or '.join(TABLES)}" if found else "no CSV table"
        raise DataError(f"{root} holds {what}: put one images.csv there with the columns file, label and patient.")
    return found[0]


def _labels(values: pd.Series, positive: str | None, table: Path) -> pd.Series:
    """Each value as 'covid', 'non_covid' or null."""
    key, missing = values.map(_key), values.str.lower().isin(UNKNOWN)
    if positive is not None:
        wanted = _key(positive)
        hit = key.isin(_COVID if wanted in _COVID else {wanted}) & ~missing
        if not hit.any():
            raise DataError(f"no row of {table} has the label '{positive}': there are {_some(values)}.")
        return hit.map({True: "covid", False: "non_covid"}).where(~missing, None)
    wrong = f"{table} has labels that are neither positive nor negative"
    return _meanings(values, LABELS, wrong, "write covid and non_covid, or name the positive one with --positive")


def _meanings(values: pd.Series, names: Mapping[str, tuple[str, ...]], wrong: str, advice: str) -> pd.Series:
    """Each value as the name that has it among its spellings, null where not known; DataError for any other value."""
    meaning = values.map(_key).map({_key(value): name for name, spellings in names.items() for value in spellings})
    strange = values[meaning.isna() & ~values.str.lower().isin(UNKNOWN)]
    if len(strange):
        raise DataError(f"{wrong} ({_some(strange)}): {advice}.")
    return meaning


def _key(value: str) -> str:
    """A label without case, blanks and hyphens inside and a fraction of zero: 'COVID-19' is 'covid19', '1.0' is '1'.

    A sign at an end stays: 'COVID-' is not 'covid', nor '-1' '1'.
    """
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", "", re.sub(r"^(\d+)\.0+$", r"\1", value.strip().casefold()))


def _some(values: pd.Series) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values.unique())[:5])


def _digest(path: str) -> str | None:
    """SHA-256 of a file; null if it may not be read, which the image store then states."""
    return file_digest(path) if os.access(path, os.R_OK) else None
