"""CheXpert of the Stanford ML Group, in full or as `CheXpert-v1.0-small`: adults, before COVID-19."""

from pathlib import Path

import pandas as pd

from cxrlib.data.readers import base

NAME = "CheXpert"
FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""The 14 observations, in the publisher's order; 1.0 is positive, -1.0 uncertain, 0.0 or blank negative."""


def read(root: Path) -> base.Collection:
    """Read the folder `root` that holds `train.csv`, `valid.csv` and the images.

    `finding` joins the positive observations by '|', uncertain ones marked; `healthy` is a positive
    'No Finding'. `split` is 'train' for the publisher's training part; `source_split` also names the
    validation part. Left out, with a reason: lateral views, missing files, files that no row names.
    Raises DataError for an unknown header or path.
    """
    required = ("Path", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    parts = [
        base.read_table(NAME, root / f"{part}.csv", required).assign(source_split=part) for part in ("train", "valid")
    ]
    table = pd.concat(parts, ignore_index=True)
    path = table["Path"].str.extract(r"^[^/]+/(?P<file>(?:train|valid)/(?P<patient>patient\d+)/.+)$")
    for wrong in table["Path"][path["file"].isna()].head(1):
        form = "<folder>/train/patient00001/study1/view1_frontal.jpg"
        raise base.problem(NAME, f"the path '{wrong}' is not of the form {form}")
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
            "view": base.views(table["AP/PA"]),
            "modality": "X-ray",
            "population": base.population(table["Age"]),
            "licence": base.CATALOGUE[NAME].licence,
            "split": table["source_split"].where(table["source_split"] == "train"),
            "source_split": table["source_split"],
        }
    )
    lateral = [(table["Frontal/Lateral"].str.strip() != "Frontal", "lateral view")]
    version = "small" if "small" in table["Path"].iloc[0].split("/")[0] else "full resolution"
    return base.collect(NAME, root, rows, lateral, base.files_under(root, ("train", "valid")), version)
