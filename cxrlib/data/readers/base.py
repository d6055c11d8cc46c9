"""What the readers share: one collection, its table of images, and a reason for everything left out."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrlib.data.readers.catalogue import problem, publication
from cxrlib.data.schema import IMAGE_TABLE, validate_exclusions, validate_images

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


@dataclass(frozen=True, eq=False)
class Collection:
    """One collection as read: `images` is a `schema.IMAGE_TABLE`, `excluded` a `schema.EXCLUSIONS`.

    Rows of the publisher's table and image files that it does not name add up to the two. `version` states
    which of the published versions this is, where there are several. `labels`: of a table of one's own, how each
    value of its label was read (columns value, label, rows).
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

    `rows`: columns of the image table that are known, and `file` (POSIX path inside `root`); `image_id` if it
    is not '<name>/<file>'. `reasons`: (mask, reason) pairs for rows to leave out; the first that holds counts.
    Rows whose file is missing or was named before are left out too, and files under `folders` that no row
    names; with `folders` None the table stands alone and no file is looked for. `elsewhere`: files known to be
    there outside these folders; `ignore`: files inside them that are no part of the collection. `classes`: for
    each class that must not be empty its (column, value). Raises DataError.
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
    for column in IMAGE_TABLE.columns:
        if column not in images:
            images[column] = None
    order = [*IMAGE_TABLE.columns, *(c for c in images if c not in IMAGE_TABLE.columns and c != "file")]
    return Collection(
        name=name,
        title=title or publication(name).title,
        images=validate_images(images[order]),
        excluded=validate_exclusions(excluded[["image_id", "collection", "reason"]]),
        version=version,
    )


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
            inner[:] = sorted(
                name
                for name in inner
                if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in seen
            )
            inside = Path(place).relative_to(root)
            yield from ((inside / name).as_posix() for name in sorted(names) if not name.startswith("."))


def read_table(name: str, path: Path, required: Iterable[str], rename: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A publisher's CSV with every value as text, '' where it is blank, and names of columns stripped.

    `rename` maps older names of columns to today's. Raises DataError if the file is missing, is no table or
    lacks one of `required`.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="replace")
    except FileNotFoundError:
        raise problem(name, f"there is no {path}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise problem(name, f"{path} is not a readable CSV table ({error})".replace("\n", " ")) from error
    table.columns = table.columns.str.strip().str.lstrip("\ufeff")
    table = table.rename(columns=dict(rename or {}))
    lacking = [column for column in required if column not in table]
    if lacking:
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
    """'adult' from 18 years, 'paediatric' below, 'unknown' where the age is blank, 0 or beyond 120.

    Ages are text in years, or with a unit as in the first table of ChestX-ray14 ('058Y', '013M', '009D').
    """
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
