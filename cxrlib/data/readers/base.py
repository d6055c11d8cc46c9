"""What the readers share: the image table, the catalogue of what publishers offer, a reason for everything left out."""

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root

LABELS = ("covid", "non_covid")

IMAGE_TABLE = pa.DataFrameSchema(
    {
        "image_id": pa.Column(str, unique=True, description="'<collection>/<path inside it>', stable across machines"),
        "path": pa.Column(str, description="file to decode (absolute), or 'phantom:<number>' for a generated image"),
        "sha256": pa.Column(str, nullable=True, description="digest of the file, or of the generator's parameters"),
        "collection": pa.Column(str, description="name of the reader that yielded the row"),
        "source": pa.Column(str, description="the collection's own sub-source, e.g. 'hannover'"),
        "label": pa.Column(str, pa.Check.isin(LABELS), nullable=True, description="'covid', 'non_covid' or null"),
        "finding": pa.Column(str, nullable=True, description="the publisher's finding, as printed"),
        "healthy": pa.Column("boolean", nullable=True, description="no finding reported (null: not known)"),
        "patient_id": pa.Column(str, nullable=True, description="'<source>:<id>'; null where not published"),
        "view": pa.Column(str, nullable=True, description="'PA', 'AP', 'AP Supine', 'L', ... or null"),
        "modality": pa.Column(str, pa.Check.isin(("X-ray", "CT", "unknown"))),
        "population": pa.Column(str, pa.Check.isin(("adult", "paediatric", "unknown"))),
        "licence": pa.Column(str, description="licence of this image, as its publisher states it"),
        "width": pa.Column("Int64", nullable=True, description="pixels as published"),
        "height": pa.Column("Int64", nullable=True, description="pixels as published"),
        "duplicate_group": pa.Column(str, nullable=True, description="shared by near-duplicate images"),
        "split": pa.Column(str, pa.Check.isin(("train", "test")), nullable=True, description="as published"),
    },
    strict=False,  # a reader may add columns of its own, e.g. 'in_july2020_metadata'
    coerce=True,
)

EXCLUSIONS = ("image_id", "collection", "reason")
"""Columns of a table of what is left out; a reason is a short noun phrase, such as 'CT slice'."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm"})
HEALTHY_FINDINGS = frozenset({"normal", "no finding"})
NOT_NAMED = "file that the table does not name"
MISSING = "missing file"
REPEATED = "repeats a file of an earlier row"
NOT_AN_IMAGE = "not an image file"

_VIEWS = {
    "pa": "PA", "ap": "AP", "ap supine": "AP Supine", "ap erect": "AP", "ap semi erect": "AP", "l": "L",
    "lateral": "L", "ll": "L", "rl": "L", "axial": "Axial", "coronal": "Coronal",
}  # fmt: skip
_ADULT, _OLDEST = 18, 120  # years


@dataclass(frozen=True)
class Publication:
    """One collection as published.

    `access`: what it takes to get it. `fetchable`: `make data` can get it. `folders`: where it may lie
    under the data root, the first that holds a file or folder matching `marker` counts. `layout`: what lies in it.
    `citation`: keys of the bibliography, with commas. `images`: how many its publisher states (None: it changes).
    """

    name: str
    title: str
    publisher: str
    url: str
    licence: str
    access: str
    fetchable: bool
    folders: tuple[str, ...]
    marker: str
    layout: str
    citation: str
    images: int | None = None


CATALOGUE = {
    name: Publication(name, **{**entry, "folders": tuple(entry["folders"])})
    for name, entry in tomllib.loads((files(__package__) / "catalogue.toml").read_text(encoding="utf-8")).items()
}
"""The published collections by name, from `catalogue.toml`."""


def publication(name: str) -> Publication:
    """The entry of a collection; ParameterError for an unknown name (the phantoms are built in and have none)."""
    if name not in CATALOGUE:
        raise ParameterError(f"unknown collection '{name}': choose one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def where_to_get(name: str) -> str:
    """Where to get a collection and how it must lie, as the second half of a sentence."""
    entry = publication(name)
    place = f"under {data_root() / entry.folders[0]} ({entry.layout})"
    if entry.fetchable:
        return f"fetch it with `make data`, or lay it {place}"
    return f"download it from {entry.url} ({entry.access}) and lay it {place}"


def locate(name: str, root: Path | None = None) -> Path | None:
    """Folder of a collection under the data root (or `root`), or None if it does not lie there."""
    if name not in CATALOGUE:  # the phantoms
        return None
    places = [(root or data_root()) / folder for folder in CATALOGUE[name].folders]
    return next((place for place in places if place.is_dir() and any(place.glob(CATALOGUE[name].marker))), None)


def problem(name: str, text: str) -> DataError:
    """The error for a collection that is missing or not as published: what is wrong, and where to get it."""
    return DataError(f"{publication(name).title}: {text}; {where_to_get(name)}.")


@dataclass(frozen=True, eq=False)
class Collection:
    """One collection as read: `images` is a `IMAGE_TABLE`, `excluded` has the columns `EXCLUSIONS`.

    Rows of the publisher's table and image files that it does not name add up to the two. `version`: which of several
    published versions. `labels`: how each value of a user's label was read (columns value, label, rows).
    """

    name: str
    title: str
    images: pd.DataFrame
    excluded: pd.DataFrame
    version: str = ""
    labels: pd.DataFrame | None = None


def collect(
    name: str,
    root: Path,
    rows: pd.DataFrame,
    reasons: Iterable[tuple[pd.Series, str]] = (),
    files: Iterable[str] | None = None,
    version: str = "",
    title: str | None = None,
) -> Collection:
    """A collection from its publisher's rows and the files on disk.

    `rows`: columns of the image table that are known, and `file` (POSIX path inside `root`); `image_id` if it is not
    '<name>/<file>'. `reasons`: (mask, reason) pairs for rows to leave out; the first that holds counts. `files`: those
    that are there (None: every one that a row names). Left out too: rows whose file is missing or was named before,
    and files that no row names. Raises DataError.
    """
    if "image_id" not in rows:
        rows = rows.assign(image_id=f"{name}/" + rows["file"])
    rows = rows.assign(collection=name, path=[str(root.absolute() / file) for file in rows["file"]])
    there = set(rows["file"] if files is None else files)
    reason = first_reason(rows.index, [*reasons, (~rows["file"].isin(there), MISSING)])
    kept = rows["file"][reason.isna()]
    reason[kept.index[kept.duplicated()]] = REPEATED
    columns = [*IMAGE_TABLE.columns, *rows.columns.difference([*IMAGE_TABLE.columns, "file"], sort=False)]
    images = validate_images(rows[reason.isna()].reindex(columns=columns))
    strangers = pd.Series(sorted(there.difference(rows["file"])), dtype=str)
    unnamed = is_image(strangers).map({True: NOT_NAMED, False: NOT_AN_IMAGE})
    unnamed = pd.DataFrame({"image_id": f"{name}/" + strangers, "reason": unnamed})
    excluded = pd.concat([rows.assign(reason=reason)[reason.notna()], unnamed]).assign(collection=name)
    excluded = excluded[[*EXCLUSIONS]].reset_index(drop=True)
    return Collection(name, title or publication(name).title, images, excluded, version)


def validate_images(images: pd.DataFrame) -> pd.DataFrame:
    """`images` checked against `IMAGE_TABLE`; raises DataError naming the first wrong column and row."""
    try:
        return IMAGE_TABLE.validate(images.reset_index(drop=True))
    except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        raise DataError(f"the image table is not valid: {error}".replace("\n", " ")[:600]) from error


def first_reason(index: pd.Index, reasons: Iterable[tuple[pd.Series, str]]) -> pd.Series:
    """For each row the first reason whose mask holds, null where none does."""
    found = pd.Series(pd.NA, index=index, dtype="string")
    for mask, text in reasons:
        found = found.mask(mask & found.isna(), text)
    return found


def files_under(root: Path, folders: Iterable[str]) -> Iterator[str]:
    """POSIX paths inside `root` of all files in these folders, sorted, no hidden ones, pipes or devices; links are followed.

    A byte of a name that is not UTF-8 becomes a replacement character, so that no row of a table names that file.
    """
    for folder in folders:
        seen: set[str] = set()  # a link may lead back to a folder above it
        for place, inner, names in os.walk(root / folder, followlinks=True):
            seen.add(os.path.realpath(place))
            visible = sorted(name for name in inner if not name.startswith("."))
            inner[:] = [name for name in visible if os.path.realpath(os.path.join(place, name)) not in seen]
            inside = Path(place).relative_to(root)
            for name in sorted(name for name in names if not name.startswith(".")):
                if os.path.exists(path := os.path.join(place, name)) and not os.path.isfile(path):
                    continue  # reading it would wait for ever
                yield (inside / name).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_table(name: str, path: Path, required: Iterable[str]) -> pd.DataFrame:
    """A publisher's CSV, all text, '' where blank; DataError if it is unreadable or lacks one of `required`."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
    except FileNotFoundError:
        raise problem(name, f"there is no {path}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise problem(name, f"{path} is not a readable CSV table ({error})".replace("\n", " ")) from error
    table.columns = table.columns.str.strip().str.lstrip("\ufeff")
    if lacking := [column for column in required if column not in table]:
        found = ", ".join(table.columns[:12])
        raise problem(name, f"the header of {path} is unknown: no column {', '.join(lacking)} among {found}")
    return table


def blank_to_null(values: pd.Series) -> pd.Series:
    """Text with blanks as null."""
    return values.str.strip().replace("", None)


def views(values: pd.Series) -> pd.Series:
    """Views as 'PA', 'AP', 'AP Supine', 'L', 'Axial' or 'Coronal'; null for any other text."""
    return values.str.strip().str.lower().map(_VIEWS).astype("string")


def population(ages: pd.Series) -> pd.Series:
    """'adult' from 18 years ('18', '018Y', '216M'), 'paediatric' below, 'unknown' where blank, 0 or beyond 120."""
    parts = ages.str.strip().str.extract(r"^(?P<number>\d+(?:\.\d+)?)(?P<unit>[YMD]?)$")
    years = pd.to_numeric(parts["number"]) / parts["unit"].map({"Y": 1, "": 1, "M": 12, "D": 365.25})
    known = years.gt(0) & years.le(_OLDEST)
    group = years.ge(_ADULT).map({True: "adult", False: "paediatric"})
    return group.where(known, "unknown")


def healthy(findings: pd.Series) -> pd.Series:
    """Whether a finding says that there is none ('Normal', 'No Finding'), null where it is null."""
    said = findings.str.strip().str.lower().isin(HEALTHY_FINDINGS).astype("boolean")
    return said.mask(findings.isna())


def is_image(files: pd.Series) -> pd.Series:
    """Whether names of files end like an image's."""
    return ("." + files.str.rsplit(".", n=1).str[-1].str.lower()).isin(IMAGE_SUFFIXES)
