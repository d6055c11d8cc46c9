"""What covid-chestxray-dataset's table held, and when: the paper's counts recomputed from its past states."""

from pathlib import Path

import pandas as pd

from cxrlib.draws import FRONTAL_VIEWS, LATERAL_VIEWS
from cxrlib.readers import locate

_FOLDER = "metadata/ieee8023"  # of the open collection, which keeps five past states


def chestxray_history(root: Path | None = None) -> pd.DataFrame:
    """One row a past state of the table, oldest first; an empty frame where the open collection is not there.

    `covid` and `no_finding` count what the released code takes (the finding contains the label, folder
    `images`), split by what the image is: `_frontal`, `_lateral`, `_other_xray` and `_ct`. `frontal` counts
    frontal X-rays of any finding in that folder, `covid_frontal_patients` the people with such a COVID-19 X-ray.
    """
    root = root or locate("cxr-open")
    files = sorted((root / _FOLDER).glob("metadata_*.csv")) if root else []
    return pd.DataFrame([_state(file) for file in files])


def _state(file: Path) -> dict[str, object]:
    table = pd.read_csv(file, dtype=str, keep_default_na=False).rename(columns=str.strip).rename(columns=str.lower)
    if "folder" in table:  # the first states had images only
        table = table[table["folder"] == "images"]
    xray = table["modality"] == "X-ray"
    frontal, lateral = xray & table["view"].isin(FRONTAL_VIEWS), xray & table["view"].isin(LATERAL_VIEWS)
    kinds = {
        "frontal": frontal,
        "lateral": lateral,
        "other_xray": xray & ~frontal & ~lateral,
        "ct": table["modality"] == "CT",
    }
    row: dict[str, object] = {"date": file.stem.split("_")[1]}
    for name, text in (("covid", "COVID-19"), ("no_finding", "No Finding")):
        taken = table["finding"].str.contains(text, regex=False)
        row[name] = int(taken.sum())
        row |= {f"{name}_{kind}": int((taken & is_kind).sum()) for kind, is_kind in kinds.items()}
    covid = table["finding"].str.contains("COVID-19", regex=False)
    row["frontal"] = int(frontal.sum())
    row["covid_frontal_patients"] = table.loc[frontal & covid, "patientid"].nunique()
    return row
