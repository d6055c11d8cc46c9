"""The open edition's collection: radiographs from public repositories, listed in `manifest.csv`.

Two forms with the same rows, ids and labels: packaged, 8-bit grey JPEGs of at least 288 pixels, and the originals that
`make data` fetches. Digests of files, and so of the edition and of every run, differ between the two.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base
from cxrlib.paths import data_root

NAME = "cxr-open"
NO_LICENCE = "not stated"
ORIGINALS = "image_path"
"""Column of a fetched manifest: the packaged form's path, from which the image id comes in both forms."""

_KEPT = ("population_basis", "original_path", "source_repo", "source_split")
_REQUIRED = (
    "path", "sha256", "source", "width0", "height0", "finding", "label", "population", "view", "patient_id", "modality",
    "licence", "duplicate_group", "in_july2020_metadata", *_KEPT,
)  # fmt: skip


def read(root: Path | None = None) -> base.Collection:
    """Read the folder `root`: `manifest.csv` and `images/`; without it the packaged form as this package's manifest
    lists it: the same rows, ids and digests, no images, `path` where each would lie under the data root.

    Extra columns: `in_july2020_metadata`, `covidx_candidate` (one of the 218 images from which COVIDX-Ray-5K's were
    chosen) and `covidx_known` (one of the four of those that can be named) as bool, `_KEPT`, and `phash`, where the
    package knows that SHA-256. Left out: rows without a finding, unless they are candidates (the list of candidates
    states their diagnosis, their label is null). Raises DataError for an unknown header or a value not allowed.
    """
    packaged = manifests.cxr_open()
    table = packaged if root is None else base.read_table(NAME, root / "manifest.csv", _REQUIRED)
    files = None if root is None else base.files_under(root, ("images",))
    root = root or data_root() / base.CATALOGUE[NAME].folders[0]
    place = table[ORIGINALS if ORIGINALS in table else "path"]
    candidate, known = (
        place.isin(packaged.loc[packaged[name] == "1", "path"]) for name in ("covidx_candidate", "covidx_known")
    )
    finding = base.blank_to_null(table["finding"])
    rows = pd.DataFrame(
        {
            "image_id": f"{NAME}/" + place,
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
            "width": base.blank_to_null(table["width0"]),
            "height": base.blank_to_null(table["height0"]),
            "duplicate_group": base.blank_to_null(table["duplicate_group"]),
            "in_july2020_metadata": table["in_july2020_metadata"] == "1",
            "covidx_candidate": candidate,
            "covidx_known": known,
            **{name: base.blank_to_null(table[name]) for name in _KEPT},
            "phash": table["sha256"].map(packaged.drop_duplicates("sha256").set_index("sha256")["phash"]),
        }
    )
    reasons = [((table["label"] == "") & ~candidate, "no finding stated")]
    version = "originals, as fetched" if ORIGINALS in table else "packaged"
    return base.collect(NAME, root, rows, reasons, files, version)
