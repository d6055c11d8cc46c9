"""What covid-chestxray-dataset's table held, and when: the paper's counts recomputed from its past states."""

from pathlib import Path

import pandas as pd

from cxrlib.data.draws import FRONTAL_VIEWS, LATERAL_VIEWS
from cxrlib.data.readers import locate
from cxrlib.data.readers.base import views
from cxrlib.data.readers.covid_chestxray import read_metadata, released_filter

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
    table = read_metadata(file)
    table = table[table["folder"] == "images"]
    view = views(table["view"])
    xray = table["modality"] == "X-ray"
    frontal, lateral = xray & view.isin(FRONTAL_VIEWS), xray & view.isin(LATERAL_VIEWS)
    kinds = {
        "frontal": frontal,
        "lateral": lateral,
        "other_xray": xray & ~frontal & ~lateral,
        "ct": table["modality"] == "CT",
    }
    taken = released_filter(table)["label"]
    row: dict[str, object] = {"date": file.stem.split("_")[1]}
    for name, label in (("covid", "covid"), ("no_finding", "non_covid")):
        index = taken.index[taken == label]
        row[name] = len(index)
        row |= {f"{name}_{kind}": int(is_kind[index].sum()) for kind, is_kind in kinds.items()}
    covid = table.index.isin(taken.index[taken == "covid"])
    row["frontal"] = int(frontal.sum())
    row["covid_frontal_patients"] = table.loc[frontal & covid, "patientid"].nunique()
    return row
