"""COVID-ChestXray: covid-chestxray-dataset of Cohen et al., in any state of its metadata since March 2020.

Everything in folder `images` with a finding is kept, CT slices and lateral views included, with modality and
view set: the protocols differ in what they take of it. Patient ids and groups of near-duplicates are written
as in the open edition, so that images of the same patient are found across collections.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base

NAME = "covid-chestxray-dataset"
TITLE = base.CATALOGUE[NAME].title
SOURCE = "ieee8023"
NO_LICENCE = "not stated in metadata.csv (blank)"

_REQUIRED = ("patientid", "finding", "view", "filename")
_UNLABELLED = frozenset({"", "todo", "unknown"})
_CT_VIEWS = frozenset({"ct", "axial", "coronal"})


def read(root: Path) -> base.Collection:
    """Read the clone or the fetched folder at `root`: `metadata.csv`, `images/`, `volumes/`.

    Left out, with a reason: CT volumes, rows without a finding ('todo', 'Unknown'), missing files, rows that
    repeat a file, image files that no row names. Raises DataError for an unknown header, an unsafe path or
    an empty class.
    """
    table = read_metadata(root / "metadata.csv")
    known = manifests.cxr_open().query("source == @SOURCE and duplicate_group != ''")
    groups = known.set_index(known["original_path"].str.rsplit("/", n=1).str[-1])["duplicate_group"]
    unsafe = table["filename"].str.contains(r"^/|\\|(?:^|/)\.\.(?:/|$)") | (table["filename"] == "")
    if unsafe.any():
        raise base.problem(NAME, f"row {unsafe.idxmax() + 2} of metadata.csv names no file inside its folder")
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
    reasons = [
        (table["folder"] == "volumes", "CT volume"),
        (table["folder"] != "images", "in neither of the folders images and volumes"),
        (table["finding"].str.strip().str.lower().isin(_UNLABELLED), "no finding stated"),
    ]
    return base.collect(
        NAME, root, rows, reasons, ("images", "volumes"), base.BOTH_LABELS, f"{len(table)} rows of metadata"
    )


def read_metadata(path: Path) -> pd.DataFrame:
    """The publisher's table at `path` under the names of columns it has had since April 2020, all text.

    The first states lack some: `folder` is then 'images', `modality` is CT where the view says so and X-ray
    elsewhere, `age` and `license` are ''. Raises DataError for an unknown header.
    """
    table = base.read_table(NAME, path, ())
    table.columns = table.columns.str.lower().str.replace(" ", "_")
    base.require_columns(NAME, path, table, _REQUIRED)
    by_view = table["view"].str.strip().str.lower().isin(_CT_VIEWS).map({True: "CT", False: "X-ray"})
    modality = table["modality"].str.strip() if "modality" in table else by_view
    folder = table["folder"].str.strip() if "folder" in table else pd.Series("images", index=table.index)
    return table.assign(
        filename=table["filename"].str.strip(),
        folder=folder.mask(folder == "", "images"),
        modality=modality.where(modality.isin(["X-ray", "CT"]), "unknown"),
        age=table.get("age", ""),
        license=table.get("license", ""),
    )


def released_filter(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `read_metadata` that the authors' released code takes, with their `label`.

    It asks that the finding contain 'COVID-19' (label 'covid') or 'No Finding' ('non_covid') and that the
    folder be `images`; neither modality nor view. On the state of 7 July 2020 that gives the 512 and 17 of
    Table I, CT slices among them.
    """
    finding = table["finding"]
    covid = finding.str.contains("COVID-19", regex=False)
    taken = (covid | finding.str.contains("No Finding", regex=False)) & (table["folder"] == "images")
    return table.assign(label=covid.map({True: "covid", False: "non_covid"}))[taken]
