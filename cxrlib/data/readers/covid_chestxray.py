"""COVID-ChestXray: covid-chestxray-dataset of Cohen et al., in any state of its metadata since April 2020.

Everything in folder `images` with a finding is kept, CT slices and lateral views included, with modality and
view set: the protocols differ in what they take of it. Patient ids and groups of near-duplicates are written
as in the open edition, so that images of the same patient are found across collections.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base

NAME = "covid-chestxray-dataset"
SOURCE = "ieee8023"
NO_LICENCE = "not stated in metadata.csv (blank)"

_REQUIRED = ("patientid", "age", "finding", "view", "modality", "folder", "filename", "license")
_UNLABELLED = frozenset({"", "todo", "unknown"})


def read(root: Path) -> base.Collection:
    """Read the clone or the fetched folder at `root`: `metadata.csv`, `images/`, `volumes/`.

    Left out, with a reason: CT volumes, rows without a finding ('todo', 'Unknown'), missing files, rows that
    repeat a file, image files that no row names. Raises DataError for an unknown header.
    """
    table = base.read_table(NAME, root / "metadata.csv", _REQUIRED)
    known = manifests.cxr_open().query("source == @SOURCE and duplicate_group != ''")
    groups = known.set_index(known["original_path"].str.rsplit("/", n=1).str[-1])["duplicate_group"]
    finding = base.blank_to_null(table["finding"])
    covid = table["finding"].str.contains("COVID-19", regex=False)
    rows = pd.DataFrame(
        {
            "file": table["folder"] + "/" + table["filename"],
            "source": SOURCE,
            "label": covid.map({True: "covid", False: "non_covid"}),
            "finding": finding,
            "healthy": base.healthy(finding),
            "patient_id": f"{SOURCE}:" + base.blank_to_null(table["patientid"]),
            "view": base.views(table["view"]),
            "modality": table["modality"],
            "population": base.population(table["age"]),
            "licence": table["license"].mask(table["license"].str.strip() == "", NO_LICENCE),
            "duplicate_group": table["filename"].map(groups),
        }
    )
    folders = ("images", "volumes")
    reasons = [
        (table["folder"] == "volumes", "CT volume"),
        (~table["folder"].isin(folders), "in neither of the folders images and volumes"),
        (table["finding"].str.strip().str.lower().isin(_UNLABELLED), "no finding stated"),
    ]
    version = f"{len(table)} rows of metadata"
    return base.collect(NAME, root, rows, reasons, base.files_under(root, folders), version)


def released_filter(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a state of the publisher's table that the authors' released code takes, with their `label`.

    It asks that the finding contain 'COVID-19' (label 'covid') or 'No Finding' ('non_covid') and that the
    folder be `images`; neither modality nor view. On the state of 7 July 2020 that gives the 512 and 17 of
    Table I, CT slices among them.
    """
    finding = table["finding"]
    covid = finding.str.contains("COVID-19", regex=False)
    taken = (covid | finding.str.contains("No Finding", regex=False)) & (table["folder"] == "images")
    return table.assign(label=covid.map({True: "covid", False: "non_covid"}))[taken]
