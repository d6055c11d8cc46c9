"""COVID-ChestXray in all the states of its table, made up and real, and the released code's filter."""

from pathlib import Path

import pandas as pd
import pytest

from cxrlib.data import manifests
from cxrlib.data.readers import read_collection
from cxrlib.data.readers.original import NO_LICENCE, released_filter
from cxrlib.errors import DataError
from cxrlib.paper import tables as paper

NAME = "covid-chestxray-dataset"
ROWS = [  # patient, age, finding, view, modality, folder, file, licence
    ("2", "65", "COVID-19", "PA", "X-ray", "images", "a.jpg", "CC BY-NC-SA"),
    ("2", "65", "COVID-19, ARDS", "Axial", "CT", "images", "b.png", ""),
    ("3", "12", "No Finding", "L", "X-ray", "images", "c.png", ""),
    ("4", "", "SARS", "AP semi erect", "X-ray", "images", "d.jpeg", ""),
    ("5", "", "COVID-19", "Axial", "CT", "volumes", "e.nii.gz", ""),
    ("6", "", "todo", "?", "X-ray", "images", "f.png", ""),
    ("7", "", "COVID-19", "PA", "X-ray", "images", "gone.png", ""),
    ("8", "", "SARS", "PA", "X-ray", "images", "d.jpeg", ""),
]
HEADER = "patientid,age,finding,view,modality,folder,filename,url,license,clinical_notes"


def lay(root: Path, rows: list[tuple[str, ...]] = ROWS) -> Path:
    """The folder as its publisher lays it, with one more file than the table names."""
    fields = ("patientid", "age", "finding", "view", "modality", "folder", "filename", "license")
    lines = [HEADER]
    for row in rows:
        value = dict(zip(fields, row, strict=True))
        lines.append(",".join(f'"{value.get(name, "")}"' for name in HEADER.split(",")))
    root.mkdir(exist_ok=True)
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    for _, _, _, _, _, folder, name, _ in rows:
        if name != "gone.png":
            (root / folder).mkdir(exist_ok=True)
            (root / folder / name).write_bytes(b"image")
    (root / "images" / "unlisted.png").write_bytes(b"image")
    return root


def test_reads_what_the_protocols_need_and_says_what_it_left_out(tmp_path: Path) -> None:
    collection = read_collection(NAME, lay(tmp_path))
    assert len(collection.images) + len(collection.excluded) == len(ROWS) + 1
    assert collection.excluded["reason"].value_counts().to_dict() == {
        "CT volume": 1,
        "no finding stated": 1,
        "missing file": 1,
        "repeats a file of an earlier row": 1,
        "file that the table does not name": 1,
    }
    rows = collection.images.set_index(collection.images["image_id"].str[-5:].str.lstrip("/"))
    assert rows["label"].tolist() == ["covid", "covid", "non_covid", "non_covid"]
    assert rows["modality"].tolist() == ["X-ray", "CT", "X-ray", "X-ray"]
    assert rows["view"].tolist() == ["PA", "Axial", "L", "AP"]
    assert rows["healthy"].tolist() == [False, False, True, False]
    assert rows["patient_id"].tolist() == ["ieee8023:2", "ieee8023:2", "ieee8023:3", "ieee8023:4"]
    assert rows["population"].tolist() == ["adult", "adult", "paediatric", "unknown"]
    assert rows["licence"].tolist() == ["CC BY-NC-SA", NO_LICENCE, NO_LICENCE, NO_LICENCE]


def test_a_file_is_repeated_only_if_its_first_row_was_kept(tmp_path: Path) -> None:
    rows = [*ROWS, ("9", "", "SARS", "PA", "X-ray", "images", "f.png", "")]
    collection = read_collection(NAME, lay(tmp_path, rows=rows))
    assert collection.images["image_id"].str.endswith("f.png").sum() == 1


def test_later_names_of_findings_are_read(tmp_path: Path) -> None:
    rows = [(*row[:2], row[2].replace("COVID-19", "Pneumonia/Viral/COVID-19"), *row[3:]) for row in ROWS]
    labels = read_collection(NAME, lay(tmp_path, rows=rows)).images["label"].tolist()
    assert labels == ["covid", "covid", "non_covid", "non_covid"]


@pytest.mark.parametrize("column", ["patientid", "finding", "view", "filename"])
def test_an_unknown_header_is_refused(tmp_path: Path, column: str) -> None:
    table = lay(tmp_path) / "metadata.csv"
    table.write_text(table.read_text().replace(column, "something", 1))
    with pytest.raises(DataError, match=f"no column {column} among .*; fetch it with"):
        read_collection(NAME, tmp_path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*metadata\.csv"):
        read_collection(NAME, tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "", "a/../../b.png"])
def test_a_path_out_of_the_folder_is_never_read(tmp_path: Path, name: str) -> None:
    table = lay(tmp_path) / "metadata.csv"
    table.write_text(table.read_text().replace('"a.jpg"', f'"{name}"'))
    (tmp_path / "secret.png").write_bytes(b"image")
    paths = read_collection(NAME, tmp_path).images["path"].map(Path)
    assert len(paths) == 3 and all(path.resolve().parent == tmp_path / "images" for path in paths)


def test_table_1_from_the_packages_own_copy_of_the_metadata() -> None:
    printed = next(row for row in paper.TABLE_1 if row.cohort == "covid_chestxray")
    taken = released_filter(manifests.covid_chestxray())
    counts = taken["label"].value_counts()
    assert (counts["covid"], counts["non_covid"]) == (printed.train_covid, printed.train_non_covid) == (512, 17)
    assert taken.groupby("label")["modality"].value_counts().to_dict() == {
        ("covid", "X-ray"): 453,
        ("covid", "CT"): 59,
        ("non_covid", "X-ray"): 13,
        ("non_covid", "CT"): 4,
    }
    assert ((taken["label"] == "covid") & (taken["view"] == "L")).sum() == 24


@pytest.mark.real_data
def test_the_packages_copy_of_the_metadata_is_the_real_one(real_data: Path) -> None:
    path = next((real_data / "cxr-open" / "metadata" / "ieee8023").glob("metadata_2020-07-07*.csv"))
    ours = manifests.covid_chestxray()
    assert ours.equals(pd.read_csv(path, dtype=str, keep_default_na=False)[list(ours)])


@pytest.mark.real_data
def test_the_real_images_under_the_publishers_layout(real_data: Path, tmp_path: Path) -> None:
    """The packaged JPEGs of July 2020, renamed as the table names them: 510 + 17, as the released filter takes them."""
    known = manifests.cxr_open().query("source == 'ieee8023'")
    (tmp_path / "images").mkdir()
    for packaged, original in zip(known["path"], known["original_path"], strict=True):
        (tmp_path / "images" / Path(original).name).symlink_to(real_data / "cxr-open" / packaged)
    manifests.covid_chestxray().to_csv(tmp_path / "metadata.csv", index=False)
    collection = read_collection(NAME, tmp_path)
    assert len(collection.images) + len(collection.excluded) == 758 + 27
    taken = collection.images.query("label == 'covid' or healthy == True")
    assert taken["label"].value_counts().to_dict() == {"covid": 510, "non_covid": 17}
    assert collection.excluded["reason"].value_counts().to_dict() == {
        "no finding stated": 101,
        "file that the table does not name": 27,
        "CT volume": 21,
        "missing file": 6,
    }
    opened = read_collection("cxr-open", real_data / "cxr-open").images.query("source == 'ieee8023'").copy()
    for images in (opened, collection.images):
        images["stem"] = images["image_id"].str.extract(r"([^/]+)\.\w+$")
    both = opened.merge(collection.images, on="stem", suffixes=("", "_2"))
    both = both[both["in_july2020_metadata"]]
    assert len(both) == len(collection.images)
    for column in ("label", "finding", "view", "modality", "population", "patient_id", "duplicate_group"):
        assert both[column].fillna("").eq(both[f"{column}_2"].fillna("")).all(), column
