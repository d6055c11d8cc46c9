"""Each reader on a tiny folder laid out as its publisher does it: what is read, what is left out, what is refused."""

from pathlib import Path

import pandas as pd
import pytest

from cxrlib.analysis.datasets import collections
from cxrlib.data.readers import CATALOGUE, READERS, Collection, locate, read_collection, where_to_get
from cxrlib.data.readers.base import EXCLUSIONS, population, publication, validate_images, views
from cxrlib.errors import DataError, ParameterError


def touch(root: Path, *files: str) -> None:
    """Make these files; readers do not open images."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"image")


def check(collection: Collection, rows: int, strangers: int = 0) -> Collection:
    """Both tables are valid, ids are sound and nothing vanished."""
    assert len(collection.images) + len(collection.excluded) == rows + strangers
    validate_images(collection.images)
    assert list(collection.excluded) == list(EXCLUSIONS) and collection.excluded.notna().all(axis=None)
    assert collection.images["image_id"].str.startswith(f"{collection.name}/").all()
    assert collection.images["path"].map(lambda path: Path(path).is_file()).all()
    assert set(collection.images["collection"]) == {collection.name}
    return collection


def reasons(collection: Collection) -> dict[str, int]:
    return collection.excluded["reason"].value_counts().to_dict()


def by_name(collection: Collection) -> pd.DataFrame:
    return collection.images.set_index(collection.images["image_id"].str.rsplit("/", n=1).str[-1])


# COVIDX-Ray-5K


def covidx_ray_5k(root: Path, train: int = 31, test: int = 40) -> Path:
    touch(root, *(f"train/covid/a{i}.jpeg" for i in range(train)), *(f"test/covid/b{i}.png" for i in range(test)))
    touch(root, "train/non/n1.jpg", "test/non/Cardiomegaly/patient00042_view1.jpg", "test/non/No_Finding/n3.jpg")
    return root


@pytest.mark.parametrize(
    ("train", "test", "version"), [(31, 40, "first"), (84, 100, "later"), (3, 4, "not a published")]
)
def test_covidx_ray_5k_states_its_version(tmp_path: Path, train: int, test: int, version: str) -> None:
    collection = check(read_collection("covidx_ray_5k", covidx_ray_5k(tmp_path, train, test)), train + test + 3)
    assert collection.version.startswith(version)
    counts = collection.images.groupby(["split", "label"]).size().to_dict()
    assert counts == {
        ("train", "covid"): train,
        ("test", "covid"): test,
        ("train", "non_covid"): 1,
        ("test", "non_covid"): 2,
    }


def test_covidx_ray_5k_sub_folders_give_findings(tmp_path: Path) -> None:
    rows = by_name(read_collection("covidx_ray_5k", covidx_ray_5k(tmp_path)))
    assert rows.loc["patient00042_view1.jpg", "finding"] == "Cardiomegaly"
    assert rows.loc["patient00042_view1.jpg", "patient_id"] == "CheXpert:patient00042"
    assert rows.loc["n3.jpg", "healthy"] and not rows.loc["patient00042_view1.jpg", "healthy"]
    assert pd.isna(rows.loc["n1.jpg", "healthy"]) and pd.isna(rows.loc["n1.jpg", "finding"])


def test_covidx_ray_5k_leaves_out_copies_and_strangers(tmp_path: Path) -> None:
    root = covidx_ray_5k(tmp_path)
    copy = "train/covid/covid_original_a1.jpeg_0a1b2c3d-0000-4000-8000-0123456789ab.jpeg"
    touch(root, copy, "train/notes.txt", "test/other/x.png", "train/covid/.DS_Store")
    collection = check(read_collection("covidx_ray_5k", root), 31 + 40 + 3 + 3)
    assert collection.version.startswith("first")
    assert reasons(collection) == {
        "augmented copy made by the publisher": 1,
        "not an image file": 1,
        "neither in a folder covid nor in one named non": 1,
    }


def test_covidx_ray_5k_knows_patients_of_the_open_edition(tmp_path: Path) -> None:
    root = covidx_ray_5k(tmp_path)
    touch(root, "test/covid/23E99E2E-447C-46E5-8EB2-D35D12473C39.png")
    row = by_name(read_collection("covidx_ray_5k", root)).loc["23E99E2E-447C-46E5-8EB2-D35D12473C39.png"]
    assert (row["patient_id"], row["view"], row["population"]) == ("ieee8023:40", "PA", "adult")


def test_covidx_ray_5k_may_lie_in_the_archives_own_folder(tmp_path: Path) -> None:
    covidx_ray_5k(tmp_path / "covidx_ray_5k" / "data_upload_v3")
    assert locate("covidx_ray_5k", tmp_path) == tmp_path / "covidx_ray_5k" / "data_upload_v3"


@pytest.mark.parametrize("gone", ["train/covid", "test/non"])
def test_covidx_ray_5k_needs_all_four_folders(tmp_path: Path, gone: str) -> None:
    root = covidx_ray_5k(tmp_path)
    for file in (root / gone).rglob("*.*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no usable image.*github\.com/shervinmin/DeepCovid"):
        read_collection("covidx_ray_5k", root)


# CheXpert

OBSERVATIONS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
CHEXPERT_HEADER = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{OBSERVATIONS}\n"


def chexpert(root: Path, folder: str = "CheXpert-v1.0-small", header: str = CHEXPERT_HEADER) -> Path:
    train = [
        ("train/patient00001/study1/view1_frontal.jpg", "Female,68,Frontal,AP", "1.0,,,,,,,,,,,,,1.0"),
        ("train/patient00002/study1/view1_frontal.jpg", "Male,17,Frontal,PA", ",,1.0,,,-1.0,,,,,0.0,,,"),
        ("train/patient00002/study1/view2_lateral.jpg", "Male,17,Lateral,", ",,1.0,,,,,,,,,,,"),
        ("train/patient00003/study1/view1_frontal.jpg", "Unknown,0,Frontal,LL", ",,,,,,,,,,,,,"),
    ]
    valid = [("valid/patient64541/study1/view1_frontal.jpg", "Male,73,Frontal,AP", ",".join(["0.0"] * 14))]
    for part, rows in (("train", train), ("valid", valid)):
        root.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{folder}/{file},{who},{what}\n" for file, who, what in rows)
        (root / f"{part}.csv").write_text(header + text)
        touch(root, *(file for file, _, _ in rows))
    (root / "train/patient00003/study1/view1_frontal.jpg").unlink()
    touch(root, "train/patient00009/study1/view1_frontal.jpg")
    return root


@pytest.mark.parametrize(
    ("folder", "version"), [("CheXpert-v1.0-small", "small"), ("CheXpert-v1.0", "full resolution")]
)
def test_chexpert(tmp_path: Path, folder: str, version: str) -> None:
    collection = check(read_collection("CheXpert", chexpert(tmp_path, folder)), rows=5, strangers=1)
    assert collection.version == version
    assert reasons(collection) == {"lateral view": 1, "missing file": 1, "file that the table does not name": 1}
    rows = collection.images.set_index("patient_id")
    assert rows["healthy"].to_dict() == {
        "CheXpert:patient00001": True,
        "CheXpert:patient00002": False,
        "CheXpert:patient64541": False,
    }
    assert rows.loc["CheXpert:patient00001", "finding"] == "No Finding|Support Devices"
    assert rows.loc["CheXpert:patient00002", "finding"] == "Cardiomegaly|Edema (uncertain)"
    assert rows["population"].tolist() == ["adult", "paediatric", "adult"]
    assert rows["view"].tolist() == ["AP", "PA", "AP"]
    assert rows["split"].fillna("").tolist() == ["train", "train", ""]
    assert set(rows["label"]) == {"non_covid"}


def test_chexpert_refuses_an_unknown_header(tmp_path: Path) -> None:
    chexpert(tmp_path, header=CHEXPERT_HEADER.replace("Frontal/Lateral", "Projection"))
    with pytest.raises(DataError, match=r"no column Frontal/Lateral.*stanfordmlgroup"):
        read_collection("CheXpert", tmp_path)


def test_chexpert_refuses_a_path_of_another_form(tmp_path: Path) -> None:
    table = chexpert(tmp_path) / "train.csv"
    table.write_text(table.read_text().replace("CheXpert-v1.0-small/train/patient00002/", "somewhere/"))
    with pytest.raises(DataError, match="somewhere/study1"):
        read_collection("CheXpert", tmp_path)


def test_chexpert_needs_both_tables(tmp_path: Path) -> None:
    (chexpert(tmp_path) / "valid.csv").unlink()
    with pytest.raises(DataError, match=r"there is no .*valid\.csv"):
        read_collection("CheXpert", tmp_path)


# All of them


def test_every_collection_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    assert set(READERS) == {*CATALOGUE, "phantom"}
    for name, entry in CATALOGUE.items():
        assert entry.layout in where_to_get(name) and str(tmp_path) in where_to_get(name)
        assert ("fetch it with `make data`" if entry.fetchable else entry.url) in where_to_get(name)
        assert locate(name) is None
        with pytest.raises(DataError, match=r"the collection is not there; .*\.$"):
            read_collection(name)
        with pytest.raises(DataError, match="there is no folder"):
            read_collection(name, tmp_path / "nowhere")


def test_a_folder_without_its_table_is_not_the_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    (tmp_path / "CheXpert-v1.0").mkdir()
    assert locate("CheXpert") is None
    chexpert(tmp_path / "CheXpert-v1.0")
    assert locate("CheXpert") == tmp_path / "CheXpert-v1.0"
    assert collections().set_index("title")["at hand"].to_dict() == {
        entry.title: "yes" if name == "CheXpert" else "no" for name, entry in CATALOGUE.items()
    }
    assert len(read_collection("CheXpert").images) == 3


def test_an_unknown_collection_is_refused() -> None:
    for function in (read_collection, where_to_get, publication):
        with pytest.raises(ParameterError, match="unknown collection 'chexpert': choose one of"):
            function("chexpert")
    assert locate("phantom") is None


def test_views_and_ages() -> None:
    assert views(pd.Series(["pa", "AP supine", "AP Erect", "LL", "?", "unknown", ""])).fillna("null").tolist() == [
        "PA", "AP Supine", "AP", "L", "null", "null", "null",
    ]  # fmt: skip
    ages = pd.Series(["18", "17", "17.9", "0", "", "121", "120", "216M", "215M", "young", "94 "])
    assert population(ages).tolist() == [
        "adult", "paediatric", "paediatric", "unknown", "unknown", "unknown", "adult", "adult", "paediatric", "unknown", "adult",
    ]  # fmt: skip
