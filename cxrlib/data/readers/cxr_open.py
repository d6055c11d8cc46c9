"""The open edition's collection: radiographs from public repositories, listed in `manifest.csv`.

It comes in two forms with the same rows, image ids and labels. The packaged form holds 8-bit grey JPEGs of at
least 288 pixels; the form that `python -m cxrlib fetch cxr-open` makes holds the originals, named with their
own suffix. Digests of files, and so of the edition and of every run, differ between the two.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base
from cxrlib.data.schema import LABELS
from cxrlib.paths import data_root

NAME = "cxr-open"
TITLE = base.CATALOGUE[NAME].title
NO_LICENCE = "not stated"
CANDIDATES = "metadata/deepcovid/candidates_frontal_covid_2020-04-19.csv"
ORIGINALS = "image_path"
"""Column of a fetched manifest: the packaged form's path, from which the image id comes in both forms."""

_REQUIRED = (
    "path", "sha256", "source", "source_repo", "source_commit", "original_path", "width0", "height0", "finding",
    "label", "population", "population_basis", "view", "patient_id", "modality", "licence", "duplicate_group",
    "source_split", "in_july2020_metadata",
)  # fmt: skip
_EXTRA = ("population_basis", "original_path", "source_repo", "source_split")


def read(root: Path) -> base.Collection:
    """Read the folder `root`: `manifest.csv`, `images/` and, in the packaged form, `metadata/`; see `_collection`."""
    table = base.read_table(NAME, root / "manifest.csv", _REQUIRED)
    version = "originals, as fetched" if ORIGINALS in table else "packaged"
    return _collection(root, table, ("images",), version)


def read_manifest() -> base.Collection:
    """The packaged form as the manifest inside this package lists it: the same rows, ids and digests, no images.

    `path` names the file where it would lie under the data root.
    """
    return _collection(data_root() / base.CATALOGUE[NAME].folders[0], manifests.cxr_open(), None, "packaged")


def _collection(root: Path, table: pd.DataFrame, folders: tuple[str, ...] | None, version: str) -> base.Collection:
    """The collection of a manifest; `folders` None: without looking for its files.

    CT slices and lateral views stay, with modality and view. Extra columns: `in_july2020_metadata`,
    `covidx_candidate` (one of the 218 images from which COVIDX-Ray-5K's were chosen) and `covidx_known` (one of
    the four of those that can be named) as bool, `population_basis`, `original_path`, `source_repo`,
    `source_split`, and `phash`, the perceptual hash that the package holds of files with that SHA-256. Left out, with
    a reason: rows without a finding, unless they are candidates (these have a null label: the list of candidates
    states their diagnosis), missing files and files that no row names. Raises DataError for an unknown header or
    label, or an empty class.
    """
    candidate, known = _candidates(root, table)
    if unknown := set(table["label"]) - {*LABELS, ""}:
        allowed = f"allowed are {', '.join(LABELS)} or blank"
        raise base.problem(NAME, f"the column label of manifest.csv holds '{min(unknown)}', {allowed}")
    finding = base.blank_to_null(table["finding"])
    rows = pd.DataFrame(
        {
            "image_id": f"{NAME}/" + table[ORIGINALS if ORIGINALS in table else "path"],
            "file": table["path"],
            "sha256": base.blank_to_null(table["sha256"]),
            "source": table["source"],
            "label": base.blank_to_null(table["label"]),
            "finding": finding,
            "healthy": base.healthy(finding).mask(table["label"] == ""),
            "patient_id": base.blank_to_null(table["patient_id"]),
            "view": base.views(table["view"]),
            "modality": table["modality"],
            "population": table["population"],
            "licence": table["licence"].mask(table["licence"].str.strip() == "", NO_LICENCE),
            "width": _pixels(table["width0"]),
            "height": _pixels(table["height0"]),
            "duplicate_group": base.blank_to_null(table["duplicate_group"]),
            "in_july2020_metadata": table["in_july2020_metadata"] == "1",
            "covidx_candidate": candidate,
            "covidx_known": known,
            **{name: base.blank_to_null(table[name]) for name in _EXTRA},
            "phash": table["sha256"].map(manifests.cxr_open().drop_duplicates("sha256").set_index("sha256")["phash"]),
        }
    )
    reasons = [((table["label"] == "") & ~candidate, "no finding stated")]
    return base.collect(NAME, root, rows, reasons, folders, base.BOTH_LABELS, version)


def _pixels(values: pd.Series) -> pd.Series:
    for wrong in values[~values.str.fullmatch(r"\d*")].head(1):
        raise base.problem(NAME, f"the column {values.name} of manifest.csv holds '{wrong}', not a number of pixels")
    return pd.to_numeric(values.replace("", None)).astype("Int64")


def _candidates(root: Path, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Which rows are candidates for COVIDX-Ray-5K, and which are known to belong to it: bool."""
    if {"covidx_candidate", "covidx_known"} <= set(table):
        return table["covidx_candidate"] == "1", table["covidx_known"] == "1"
    listed = base.read_table(NAME, root / CANDIDATES, ("bundle_path", "in_deepcovid_sample_figure"))
    known = listed.loc[listed["in_deepcovid_sample_figure"] == "1", "bundle_path"]
    return table["path"].isin(listed["bundle_path"]), table["path"].isin(known)
