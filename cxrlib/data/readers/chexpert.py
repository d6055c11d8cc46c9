"""CheXpert of the Stanford ML Group, in full or as `CheXpert-v1.0-small`: adults, before COVID-19."""

from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import CATALOGUE, Collection, collect, population, problem, read_table, views

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
    for wrong in table["Path"][path["file"].isna()].head(1):
        form = "<folder>/train/patient00001/study1/view1_frontal.jpg"
        raise problem(NAME, f"the path '{wrong}' is not of the form {form}")
    sides = table["Frontal/Lateral"].str.strip()
    for wrong in sides[~sides.isin(["Frontal", "Lateral"])].head(1):
        raise problem(NAME, f"the column Frontal/Lateral holds '{wrong}'")
    finding = pd.Series("", index=table.index)
    for name in FINDINGS:
        for pattern, text in ((r"^1(\.0*)?$", f"|{name}"), (r"^-1(\.0*)?$", f"|{name} (uncertain)")):
            finding += table[name].str.match(pattern).map({True: text, False: ""})
    rows = pd.DataFrame(
        {
            "file": path["file"],
            "source": NAME,
            "label": "non_covid",
            "finding": finding.str.removeprefix("|").replace("", None),
            "healthy": table["No Finding"].str.match(r"^1(\.0*)?$"),
            "patient_id": f"{NAME}:" + path["patient"],
            "view": views(table["AP/PA"]).where(sides == "Frontal", "L"),
            "modality": "X-ray",
            "population": population(table["Age"]),
            "licence": CATALOGUE[NAME].licence,
            "split": table["source_split"].where(table["source_split"] == "train"),
            "source_split": table["source_split"],
        }
    )
    classes = {"healthy": ("healthy", True), "diseased": ("healthy", False)}
    version = "small" if "small" in table["Path"].iloc[0].split("/")[0] else "full resolution"
    return collect(NAME, root, rows, [(sides == "Lateral", "lateral view")], ("train", "valid"), classes, version)
