"""CheXpert of the Stanford ML Group, in full or as `CheXpert-v1.0-small`: adults, before COVID-19."""

import re
from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import Collection, collect, population, read_table, views
from cxrlib.data.readers.catalogue import CATALOGUE, problem

NAME = "CheXpert"
TITLE = CATALOGUE[NAME].title
FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""The 14 observations, in the publisher's order; 1.0 is positive, -1.0 uncertain, 0.0 or blank negative."""


def read(root: Path) -> Collection:
    """Read the folder `root` that holds `train.csv`, `valid.csv` and the images.

    `finding` joins the positive observations by '|', uncertain ones marked; `healthy` is a positive
    'No Finding'. `split` is 'train' for the publisher's training part; `source_split` also names the
    validation part. Left out, with a reason: lateral views, missing files, files that no row names.
    Raises DataError for an unknown header or path, or if there is no healthy or no diseased image.
    """
    required = ("Path", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    parts = [read_table(NAME, root / f"{part}.csv", required).assign(source_split=part) for part in ("train", "valid")]
    table = pd.concat(parts, ignore_index=True)
    path = table["Path"].str.extract(r"^[^/]+/(?P<file>(?:train|valid)/(?P<patient>patient\d+)/.+)$")
    if path["file"].isna().any():
        wrong = table["Path"][path["file"].isna()].iloc[0]
        raise problem(
            NAME, f"the path '{wrong}' is not of the form <folder>/train/patient00001/study1/view1_frontal.jpg"
        )
    positive = {name: table[name].str.match(r"^1(\.0*)?$") for name in FINDINGS}
    uncertain = {name: table[name].str.match(r"^-1(\.0*)?$") for name in FINDINGS}
    sides = table["Frontal/Lateral"].str.strip()
    if not sides.isin(["Frontal", "Lateral"]).all():
        raise problem(NAME, f"the column Frontal/Lateral holds '{sides[~sides.isin(['Frontal', 'Lateral'])].iloc[0]}'")
    rows = pd.DataFrame(
        {
            "file": path["file"],
            "source": NAME,
            "label": "non_covid",
            "finding": _join(positive, uncertain),
            "healthy": positive["No Finding"],
            "patient_id": f"{NAME}:" + path["patient"],
            "view": views(table["AP/PA"]).where(sides == "Frontal", "L"),
            "modality": "X-ray",
            "population": population(table["Age"]),
            "licence": CATALOGUE[NAME].licence,
            "split": table["source_split"].where(table["source_split"] == "train"),
            "source_split": table["source_split"],
        }
    )
    return collect(
        NAME,
        root,
        rows,
        reasons=[(sides == "Lateral", "lateral view")],
        folders=("train", "valid"),
        classes={"healthy": ("healthy", True), "diseased": ("healthy", False)},
        version="small" if re.search("small", table["Path"].iloc[0].split("/")[0]) else "full resolution",
    )


def _join(positive: dict[str, pd.Series], uncertain: dict[str, pd.Series]) -> pd.Series:
    text = pd.Series("", index=positive["No Finding"].index)
    for name in FINDINGS:
        text += positive[name].map({True: f"|{name}", False: ""})
        text += uncertain[name].map({True: f"|{name} (uncertain)", False: ""})
    return text.str.removeprefix("|").replace("", None)
