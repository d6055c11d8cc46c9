"""The collections of the original edition: COVIDX-Ray-5K, with covid-chestxray-dataset and CheXpert, which it drew on.

Patients and groups of near-duplicates are written as in the open edition, so that they link across collections.
"""

from pathlib import Path

import pandas as pd

from cxrlib.data import manifests
from cxrlib.data.readers import base

COVIDX, CHESTXRAY, CHEXPERT = "covidx_ray_5k", "covid-chestxray-dataset", "CheXpert"
SOURCE = "ieee8023"  # of covid-chestxray-dataset in the open edition
NO_LICENCE = "not stated in metadata.csv (blank)"
VERSIONS = {(31, 40): "first version (31 + 40 COVID-19 images)", (84, 100): "later version (84 + 100 COVID-19 images)"}
"""Published versions of COVIDX-Ray-5K by their COVID-19 images for training and test; the paper used the first."""

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""The 14 observations of CheXpert, in the publisher's order; 1.0 is positive, -1.0 uncertain, 0.0 or blank negative."""

_FOLDERS = ("train/covid", "train/non", "test/covid", "test/non")
_COVID_LICENCE = "per image, as in covid-chestxray-dataset; not known for this file"
_NON_COVID_LICENCE = "Stanford University Dataset Research Use Agreement (CheXpert)"
_AUGMENTED = r"_original_.*_[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\.\w+$"  # as Augmentor names copies
_REQUIRED = ("patientid", "age", "finding", "view", "modality", "folder", "filename", "license")
_UNLABELLED = frozenset({"", "todo", "unknown"})


def read_covidx(root: Path) -> base.Collection:
    """COVIDX-Ray-5K of Minaee et al.: folders `train|test/covid|non`, of which two versions were published.

    Its COVID-19 images keep the names they have in covid-chestxray-dataset, so what the open edition's manifest knows
    of a name is taken from there. Left out: the publisher's augmented copies, files that are no images, other folders.
    Raises DataError if one of the four folders holds no image.
    """
    file = pd.Series(list(base.files_under(root, ("train", "test"))), dtype=str)
    for folder in _FOLDERS:
        if not base.is_image(file[file.str.startswith(f"{folder}/")]).any():
            raise base.problem(COVIDX, f"no usable image in {root / folder}")
    parts = file.str.split("/")
    split, kind, depth = parts.str[0], parts.str[1], parts.str.len()
    covid = kind == "covid"
    known = manifests.cxr_open().query("source == @SOURCE").replace("", None)
    known = known.set_index(known["path"].str.extract(r"([^/]+)\.\w+$", expand=False))
    known = known.reindex(parts.str[-1].str.rsplit(".", n=1).str[0].where(covid)).set_axis(file.index)
    sub_folder = parts.str[2].where(~covid & (depth > 3)).str.replace("_", " ")
    finding = pd.Series("COVID-19", index=file.index).where(covid, sub_folder)
    chexpert = f"{CHEXPERT}:" + file.str.extract(r"(patient\d{5})", expand=False)
    rows = pd.DataFrame(
        {
            "file": file,
            "source": covid.map({True: SOURCE, False: CHEXPERT}),
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
    return base.collect(COVIDX, root, rows, reasons, file, VERSIONS.get((train, test), unknown))


def read_chestxray(root: Path) -> base.Collection:
    """Covid-chestxray-dataset of Cohen et al., in any state since April 2020: `metadata.csv`, `images/`, `volumes/`.

    CT slices and lateral views stay, for the protocols differ in what they take. Left out: CT volumes, rows without a
    finding, and what `base.collect` leaves out. Raises DataError for an unknown header.
    """
    table = base.read_table(CHESTXRAY, root / "metadata.csv", _REQUIRED)
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
    reasons = [
        (table["folder"] == "volumes", "CT volume"),
        (~table["folder"].isin(["images", "volumes"]), "in neither of the folders images and volumes"),
        (table["finding"].str.strip().str.lower().isin(_UNLABELLED), "no finding stated"),
    ]
    files = base.files_under(root, ("images", "volumes"))
    return base.collect(CHESTXRAY, root, rows, reasons, files, version=f"{len(table)} rows of metadata")


def released_filter(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a state of covid-chestxray-dataset's table that the authors' released code takes, with their `label`.

    It looks at finding and folder, not at modality or view: of 7 July 2020 it takes the 512 and 17 of Table I.
    """
    finding = table["finding"]
    covid = finding.str.contains("COVID-19", regex=False)
    taken = (covid | finding.str.contains("No Finding", regex=False)) & (table["folder"] == "images")
    return table.assign(label=covid.map({True: "covid", False: "non_covid"}))[taken]


def read_chexpert(root: Path) -> base.Collection:
    """CheXpert of the Stanford ML Group, in full or as `CheXpert-v1.0-small`: `train.csv`, `valid.csv` and the images.

    `finding` joins the positive observations by '|', uncertain ones marked; `split` knows the publisher's training part,
    `source_split` its validation part as well. Left out: lateral views. Raises DataError for an unknown header or path.
    """
    required = ("Path", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    parts = {part: base.read_table(CHEXPERT, root / f"{part}.csv", required) for part in ("train", "valid")}
    table = pd.concat([rows.assign(source_split=part) for part, rows in parts.items()], ignore_index=True)
    path = table["Path"].str.extract(r"^[^/]+/(?P<file>(?:train|valid)/(?P<patient>patient\d+)/.+)$")
    for wrong in table["Path"][path["file"].isna()].head(1):
        form = "<folder>/train/patient00001/study1/view1_frontal.jpg"
        raise base.problem(CHEXPERT, f"the path '{wrong}' is not of the form {form}")
    finding = pd.Series("", index=table.index)
    for name in FINDINGS:
        for pattern, text in ((r"^1(\.0*)?$", f"|{name}"), (r"^-1(\.0*)?$", f"|{name} (uncertain)")):
            finding += table[name].str.match(pattern).map({True: text, False: ""})
    rows = pd.DataFrame(
        {
            "file": path["file"],
            "source": CHEXPERT,
            "label": "non_covid",
            "finding": finding.str.removeprefix("|").replace("", None),
            "healthy": table["No Finding"].str.match(r"^1(\.0*)?$"),
            "patient_id": f"{CHEXPERT}:" + path["patient"],
            "view": base.views(table["AP/PA"]),
            "modality": "X-ray",
            "population": base.population(table["Age"]),
            "licence": base.CATALOGUE[CHEXPERT].licence,
            "split": table["source_split"].where(table["source_split"] == "train"),
            "source_split": table["source_split"],
        }
    )
    lateral = [(table["Frontal/Lateral"].str.strip() != "Frontal", "lateral view")]
    version = "small" if "small" in table["Path"].iloc[0].split("/")[0] else "full resolution"
    return base.collect(CHEXPERT, root, rows, lateral, base.files_under(root, ("train", "valid")), version)
