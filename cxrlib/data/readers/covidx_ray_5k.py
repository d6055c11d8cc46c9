"""COVIDX-Ray-5K of Minaee et al.: folders `train|test/covid|non`, of which two versions were published.

The COVID-19 images were chosen from covid-chestxray-dataset and keep their names, so patient, view, licence
and group of near-duplicates are looked up by name in the open edition's manifest where it knows the file.
The negatives come from CheXpert; in some versions `non` has a sub-folder for each finding.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base

NAME = "covidx_ray_5k"
VERSIONS = {(31, 40): "first version (31 + 40 COVID-19 images)", (84, 100): "later version (84 + 100 COVID-19 images)"}
"""Published versions by their COVID-19 images for training and test; the paper used the first."""

FOLDERS = ("train/covid", "train/non", "test/covid", "test/non")
_COVID_LICENCE = "per image, as in covid-chestxray-dataset; not known for this file"
_NON_COVID_LICENCE = "Stanford University Dataset Research Use Agreement (CheXpert)"
_AUGMENTED = r"_original_.*_[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\.\w+$"  # as Augmentor names copies


def read(root: Path) -> base.Collection:
    """Read the folder `root` that holds `train` and `test`.

    Left out, with a reason: the publisher's own augmented copies, files that are no images, folders that are
    neither `covid` nor `non`. `version` states which published version the counts are of.
    Raises DataError if one of the four folders holds no image.
    """
    file = pd.Series(list(base.files_under(root, ("train", "test"))), dtype=str)
    for folder in FOLDERS:
        if not base.is_image(file[file.str.startswith(f"{folder}/")]).any():
            raise base.problem(NAME, f"no usable image in {root / folder}")
    parts = file.str.split("/")
    split, kind, depth = parts.str[0], parts.str[1], parts.str.len()
    covid = kind == "covid"
    known = _of_open_edition().reindex(parts.str[-1].str.rsplit(".", n=1).str[0].where(covid))
    known.index = file.index
    sub_folder = parts.str[2].where(~covid & (depth > 3)).str.replace("_", " ")
    finding = pd.Series("COVID-19", index=file.index).where(covid, sub_folder)
    chexpert = "CheXpert:" + file.str.extract(r"(patient\d{5})", expand=False)
    rows = pd.DataFrame(
        {
            "file": file,
            "source": covid.map({True: "ieee8023", False: "CheXpert"}),
            "label": covid.map({True: "covid", False: "non_covid"}),
            "finding": finding,
            "healthy": base.healthy(finding),
            "patient_id": known["patient_id"].where(covid, chexpert),
            "view": base.views(known["view"]),
            "modality": "X-ray",
            "population": known["population"].fillna("unknown").where(covid, "adult"),
            "licence": known["licence"].fillna(_COVID_LICENCE).where(covid, _NON_COVID_LICENCE),
            "duplicate_group": known["duplicate_group"],
            "split": split,
        }
    )
    augmented = file.str.contains(_AUGMENTED)
    reasons = [
        (~base.is_image(file), base.NOT_AN_IMAGE),
        (~kind.isin(["covid", "non"]) | (depth < 3), "neither in a folder covid nor in one named non"),
        (augmented, "augmented copy made by the publisher"),
    ]
    genuine = rows[~augmented & base.is_image(file) & covid]
    train, test = (int((genuine["split"] == part).sum()) for part in ("train", "test"))
    published = " or ".join(f"{n} + {m}" for n, m in VERSIONS)
    unknown = f"not a published version: {train} + {test} COVID-19 images, published are {published}"
    return base.collect(NAME, root, rows, reasons, file, VERSIONS.get((train, test), unknown))


def _of_open_edition() -> pd.DataFrame:
    known = manifests.cxr_open().query("source == 'ieee8023'")
    known = known.set_index(known["path"].str.extract(r"([^/]+)\.\w+$", expand=False))
    known["licence"] = known["licence"].mask(known["licence"].str.strip() == "", _COVID_LICENCE)
    return known[["patient_id", "view", "population", "licence", "duplicate_group"]].replace("", None)
