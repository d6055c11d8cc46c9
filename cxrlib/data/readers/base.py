"""What the readers share: the catalogue of what publishers offer, one collection, a reason for everything left out."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd

from cxrlib.data.schema import IMAGE_TABLE, validate_exclusions, validate_images
from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm"})
HEALTHY_FINDINGS = frozenset({"normal", "no finding"})
NOT_NAMED = "file that the table does not name"
MISSING = "missing file"
REPEATED = "repeats a file of an earlier row"
NOT_AN_IMAGE = "not an image file"
NOT_UTF8 = "file whose name is not UTF-8"

_VIEWS = {
    "pa": "PA", "ap": "AP", "ap supine": "AP Supine", "ap erect": "AP", "ap semi erect": "AP", "l": "L",
    "lateral": "L", "ll": "L", "rl": "L", "axial": "Axial", "coronal": "Coronal",
}  # fmt: skip
_ADULT, _OLDEST = 18, 120  # years
BOTH_LABELS = {"COVID-19": ("label", "covid"), "non-COVID": ("label", "non_covid")}
"""For `collect`: neither class may be empty."""


@dataclass(frozen=True)
class Publication:
    """One collection as published.

    `access`: what it takes to get it. `fetchable`: `python -m cxrlib fetch` can get it. `folders`: where it may lie
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
    """The entry of a collection; ParameterError for an unknown name or the built-in phantoms."""
    if name == "phantom":
        raise ParameterError("the phantoms are built in: they lie in no folder and need not be fetched.")
    if name not in CATALOGUE:
        raise ParameterError(f"unknown collection '{name}': choose one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def where_to_get(name: str) -> str:
    """Where to get a collection and how it must lie, as the second half of a sentence."""
    if name == "phantom":
        return "it is built in"
    entry = publication(name)
    place = f"under {data_root() / entry.folders[0]} ({entry.layout})"
    if entry.fetchable:
        return f"fetch it with `python -m cxrlib fetch {name}`, or lay it {place}"
    return f"download it from {entry.url} ({entry.access}) and lay it {place}"


def locate(name: str, root: Path | None = None) -> Path | None:
    """Folder of a collection under the data root (or `root`), or None if it does not lie there."""
    if name == "phantom":
        return None
    entry = publication(name)
    places = ((root or data_root()) / folder for folder in entry.folders)
    return next((place for place in places if place.is_dir() and any(place.glob(entry.marker))), None)


def problem(name: str, text: str) -> DataError:
    """The error for a collection that is missing or not as published: what is wrong, and where to get it."""
    return DataError(f"{publication(name).title}: {text}; {where_to_get(name)}.")


@dataclass(frozen=True, eq=False)
class Collection:
    """One collection as read: `images` is a `schema.IMAGE_TABLE`, `excluded` a `schema.EXCLUSIONS`.

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
    reasons: Iterable[tuple[pd.Series, str]],
    folders: Iterable[str] | None,
    classes: Mapping[str, tuple[str, object]],
    version: str = "",
    title: str | None = None,
    elsewhere: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Collection:
    """A collection from its publisher's rows and the files on disk.

    `rows`: columns of the image table that are known, and `file` (POSIX path inside `root`); `image_id` if it is not
    '<name>/<file>'. `reasons`: (mask, reason) pairs for rows to leave out; the first that holds counts. Left out too:
    rows whose file is missing or was named before, and files under `folders` (None: no file is looked for) that no row
    names. `elsewhere`: files known to be there outside these folders; `ignore`: files inside them that are no part of
    the collection. `classes`: for each class that must not be empty its (column, value). Raises DataError.
    """
    if "image_id" not in rows:
        rows = rows.assign(image_id=f"{name}/" + rows["file"])
    on_disk = [*rows["file"]] if folders is None else [*elsewhere, *files_under(root, folders)]
    strangers = {utf8(file): _stranger(file) for file in sorted(set(on_disk).difference(rows["file"], ignore))}
    present = rows["file"].isin([file for file in on_disk if utf8(file) == file])
    reason = first_reason(rows.index, [*reasons, (~present, MISSING)])
    repeated = rows.index[reason.isna()][rows["file"][reason.isna()].duplicated()]
    reason[repeated] = REPEATED
    left_out = pd.DataFrame({"image_id": rows["image_id"], "reason": reason})[reason.notna()]
    unnamed = pd.DataFrame({"image_id": [f"{name}/{file}" for file in strangers], "reason": [*strangers.values()]})
    excluded = pd.concat([left_out, unnamed]).assign(collection=name)
    images = rows[reason.isna()].assign(collection=name)
    images["path"] = [str(root.absolute() / file) for file in images["file"]]
    for what, (column, value) in classes.items():
        if not (images[column] == value).any():
            raise problem(name, f"no usable image of class {what} in {root}")
    images = images.assign(**{column: None for column in IMAGE_TABLE.columns if column not in images})
    images = images[[*IMAGE_TABLE.columns, *images.columns.difference([*IMAGE_TABLE.columns, "file"], sort=False)]]
    left_out = validate_exclusions(excluded[["image_id", "collection", "reason"]])
    return Collection(name, title or publication(name).title, validate_images(images), left_out, version)


def first_reason(index: pd.Index, reasons: Iterable[tuple[pd.Series, str]]) -> pd.Series:
    """For each row the first reason whose mask holds, null where none does."""
    found = pd.Series(pd.NA, index=index, dtype="string")
    for mask, text in reasons:
        found = found.mask(mask & found.isna(), text)
    return found


def files_under(root: Path, folders: Iterable[str]) -> Iterator[str]:
    """POSIX paths inside `root` of all files in these folders, hidden ones left out, sorted; links are followed."""
    for folder in folders:
        seen: set[str] = set()  # a link may lead back to a folder above it
        for place, inner, names in os.walk(root / folder, followlinks=True):
            seen.add(os.path.realpath(place))
            visible = sorted(name for name in inner if not name.startswith("."))
            inner[:] = [name for name in visible if os.path.realpath(os.path.join(place, name)) not in seen]
            inside = Path(place).relative_to(root)
            yield from ((inside / name).as_posix() for name in sorted(names) if not name.startswith("."))


def read_table(name: str, path: Path, required: Iterable[str]) -> pd.DataFrame:
    """A publisher's CSV, all text, '' where blank; DataError if it is unreadable or lacks one of `required`."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
    except FileNotFoundError:
        raise problem(name, f"there is no {path}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise problem(name, f"{path} is not a readable CSV table ({error})".replace("\n", " ")) from error
    table.columns = table.columns.str.strip().str.lstrip("\ufeff")
    require_columns(name, path, table, required)
    return table


def require_columns(name: str, path: Path, table: pd.DataFrame, required: Iterable[str]) -> None:
    """Raise DataError if a publisher's table lacks one of the `required` columns."""
    if lacking := [column for column in required if column not in table]:
        found = ", ".join(table.columns[:12])
        raise problem(name, f"the header of {path} is unknown: no column {', '.join(lacking)} among {found}")


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


def utf8(name: str) -> str:
    """A file's name with a replacement character for every byte that is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _stranger(file: str) -> str:
    if utf8(file) != file:
        return NOT_UTF8
    return NOT_NAMED if Path(file).suffix.lower() in IMAGE_SUFFIXES else NOT_AN_IMAGE
