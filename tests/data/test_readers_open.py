"""The open collection: its manifest in both forms, and the facts of the real one."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from cxrlib.data import manifests
from cxrlib.data.readers import read_collection
from cxrlib.errors import DataError

NAME = "cxr-open"
KNOWN = "images/ieee8023/23E99E2E-447C-46E5-8EB2-D35D12473C39.jpg"  # one of the four that can be named
CANDIDATE = "images/ieee8023/4-x-day1.jpg"
ROW = {
    "sha256": "0" * 64, "source": "ieee8023", "source_repo": "someone/repository", "source_commit": "c0ffee",
    "original_path": "images/x.png", "width0": "640", "height0": "480", "finding": "COVID-19", "label": "covid",
    "population": "adult", "population_basis": "age in metadata.csv", "view": "PA", "patient_id": "ieee8023:1",
    "modality": "X-ray", "licence": "CC BY-NC-SA 4.0", "duplicate_group": "", "source_split": "",
    "in_july2020_metadata": "1",
}  # fmt: skip
ROWS = {
    KNOWN: {},
    "images/ieee8023/b.jpg": {"modality": "CT", "view": "Axial", "licence": " "},
    "images/ieee8023/c.jpg": {"finding": "todo", "label": ""},
    CANDIDATE: {"finding": "", "label": "", "view": "unknown", "modality": "unknown", "patient_id": ""},
    "images/hannover/e.jpg": {"source": "hannover", "view": "?", "in_july2020_metadata": "0"},
    "images/nih/f.jpg": {"source": "nih", "label": "non_covid", "finding": "No finding", "duplicate_group": "dup1"},
    "images/nih/gone.jpg": {"source": "nih", "label": "non_covid", "finding": "Hernia"},
}


def lay(root: Path, rows: dict[str, dict[str, str]] = ROWS, **extra: str) -> Path:
    """A packaged collection of a few files."""
    lines = [{"path": path, **ROW, **values, **extra} for path, values in rows.items()]
    with open(root / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    for path in rows:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if "gone" not in path:
            (root / path).write_bytes(b"image")
    (root / "images" / "readme.txt").write_text("")
    return root


def test_manifest(tmp_path: Path) -> None:
    collection = read_collection(NAME, lay(tmp_path))
    assert len(collection.images) + len(collection.excluded) == len(ROWS) + 1
    assert collection.excluded["reason"].value_counts().to_dict() == {
        "no finding stated": 1,
        "missing file": 1,
        "not an image file": 1,
    }
    rows = collection.images
    left_out = ("images/ieee8023/c.jpg", "images/nih/gone.jpg")
    assert rows["image_id"].tolist() == [f"cxr-open/{path}" for path in ROWS if path not in left_out]
    assert rows["label"].fillna("null").tolist() == ["covid", "covid", "null", "covid", "non_covid"]
    assert rows["healthy"].astype(object).fillna("null").tolist() == [False, False, "null", False, True]
    assert rows["view"].fillna("null").tolist() == ["PA", "Axial", "null", "null", "PA"]
    assert rows["modality"].tolist() == ["X-ray", "CT", "unknown", "X-ray", "X-ray"]
    assert rows["licence"].tolist() == ["CC BY-NC-SA 4.0", "not stated", *["CC BY-NC-SA 4.0"] * 3]
    assert rows["covidx_candidate"].tolist() == [True, False, True, False, False]
    assert rows["covidx_known"].tolist() == [True, False, False, False, False]
    assert rows["in_july2020_metadata"].tolist() == [True, True, True, False, True]
    assert rows["width"].tolist() == [640] * 5 and rows["duplicate_group"].isna().tolist() == [True] * 4 + [False]
    assert collection.version == "packaged"


def test_a_fetched_manifest_keeps_the_image_ids(tmp_path: Path) -> None:
    rows = {
        KNOWN.replace(".jpg", ".png"): {"image_path": KNOWN},
        "images/nih/f.PNG": {"image_path": "images/nih/f.jpg", "label": "non_covid"},
    }
    collection = read_collection(NAME, lay(tmp_path, rows))
    assert collection.images["image_id"].tolist() == [f"cxr-open/{KNOWN}", "cxr-open/images/nih/f.jpg"]
    assert [Path(path).suffix for path in collection.images["path"]] == [".png", ".PNG"]
    assert collection.images["covidx_candidate"].tolist() == [True, False]
    assert collection.version == "originals, as fetched"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("in_july2020_metadata", "in_july"), "no column in_july2020_metadata"),
        (lambda text: text.replace(",non_covid,", ",healthy,"), "label"),
        (lambda text: text.replace(",X-ray,", ",MR,"), "modality"),
        (lambda text: text.replace(",640,", ",wide,"), "width"),
    ],
)
def test_a_manifest_that_is_not_as_published_is_refused(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    manifest = lay(tmp_path) / "manifest.csv"
    manifest.write_text(change(manifest.read_text()))
    with pytest.raises(DataError, match=message):
        read_collection(NAME, tmp_path)


def test_the_packages_manifest_names_each_file_once() -> None:
    known = manifests.cxr_open()
    assert len(known) == 9960
    assert known["original_sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert known["source_commit"].str.fullmatch("[0-9a-f]{40}").all()
    name = known["source"] + "/" + known["original_path"].str.rsplit("/", n=1).str[-1]
    assert not name.str.lower().duplicated().any()
    assert known["covidx_candidate"].eq("1").sum() == 218 and known["covidx_known"].eq("1").sum() == 4


@pytest.mark.real_data
def test_the_packages_manifest_is_the_real_one(real_data: Path) -> None:
    real = pd.read_csv(real_data / NAME / "manifest.csv", dtype=str, keep_default_na=False)
    shared = [column for column in manifests.cxr_open() if column in real and column != "phash"]
    assert len(shared) == 22
    assert manifests.cxr_open()[shared].equals(real[shared])


@pytest.mark.real_data
def test_the_packages_candidates_are_those_of_the_published_list(real_data: Path) -> None:
    listed = pd.read_csv(real_data / NAME / "metadata/deepcovid/candidates_frontal_covid_2020-04-19.csv", dtype=str)
    known = manifests.cxr_open()
    assert set(known.loc[known["covidx_candidate"] == "1", "path"]) == set(listed["bundle_path"])
    named = listed.loc[listed["in_deepcovid_sample_figure"] == "1", "bundle_path"]
    assert set(known.loc[known["covidx_known"] == "1", "path"]) == set(named)


@pytest.mark.real_data
def test_real_counts(real_data: Path) -> None:
    collection = read_collection(NAME, real_data / NAME)
    images = collection.images
    assert len(images) + len(collection.excluded) == 9960
    assert collection.excluded["reason"].value_counts().to_dict() == {"no finding stated": 124}
    xray = images[images["modality"] == "X-ray"]
    counts = xray.groupby(["source", "label"]).size().to_dict()
    assert counts[("ieee8023", "covid")] == 458 and counts[("ieee8023", "non_covid")] == 119
    assert counts[("hannover", "covid")] == 243 and images.query("source == 'hannover'")["patient_id"].nunique() == 71
    assert counts[("actualmed", "covid")] == 26 and counts[("actualmed", "non_covid")] == 18
    assert counts[("radiographydb_normal", "non_covid")] == 5596 and counts[("nlm_tb", "non_covid")] == 388
    assert counts[("nih_talo", "non_covid")] + counts[("nih_jrzech", "non_covid")] == 1421
    assert counts[("kermany", "non_covid")] == 1500
    assert (images["modality"] == "CT").sum() == 63
    assert images["covidx_candidate"].sum() == 218 and images["covidx_known"].sum() == 4
    july = images[images["in_july2020_metadata"]]
    assert (july["label"] == "covid").sum() == 510 and july["healthy"].sum() == 17
    assert images["label"].isna().sum() == 4 and images.loc[images["label"].isna(), "covidx_candidate"].all()
    assert images["healthy"].sum() == xray["finding"].str.lower().isin(["normal", "no finding"]).sum() + 4
    assert set(images["view"].dropna()) == {"PA", "AP", "AP Supine", "L", "Axial", "Coronal"}
    assert images["sha256"].str.fullmatch("[0-9a-f]{64}").all()
