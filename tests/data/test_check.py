"""The check of a collection: each planted problem is found, a clean folder yields none, and the reader's errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis.new_data.example import PROBLEMS, write_example
from cxrlib.cli.main import main
from cxrlib.data.check import CheckReport, association, check
from cxrlib.data.readers import own, read_data
from cxrlib.errors import DataError

FOUND = {  # problem: (checks that must not be OK, worst verdict of each, images)
    "duplicate across splits": {"exact duplicates": ("warning", 2), "leakage": ("error", 2)},
    "near-duplicate": {"near-duplicates": ("warning", 2)},
    "contradictory label": {"exact duplicates": ("warning", 2), "contradictory labels": ("error", 2)},
    "patient across splits": {"leakage": ("error", 2)},
    "truncated file": {"unreadable images": ("warning", 1)},
    "constant image": {"unreadable images": ("warning", 1)},
    "missing file": {"missing files": ("warning", 1)},
    "unnamed file": {"unnamed files": ("warning", 1)},
    "repeated row": {"repeated rows": ("warning", 1)},
    "unlabelled image": {"labels": ("warning", 1)},
    "label follows site": {"shortcuts": ("warning", 40)},
}


def findings(report: CheckReport) -> dict[str, tuple[str, int]]:
    return {name: (v.verdict, v.count) for name, v in report.verdicts.items() if v.verdict != "OK"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("own") / "clean", patients=20)


def test_a_clean_folder_yields_no_finding(clean: Path) -> None:
    report = check(own.read(clean))
    assert findings(report) == {}
    assert report.worst == "OK"
    assert report.table["verdict"].eq("OK").all()
    assert len(report.collection.images) == 40


@pytest.mark.parametrize("problem", PROBLEMS)
def test_each_planted_problem_is_found_and_nothing_else(problem: str, tmp_path: Path) -> None:
    report = check(own.read(write_example(tmp_path / "own", [problem], patients=20)))
    assert findings(report) == FOUND[problem]


def test_a_folder_without_patients_is_an_error(clean: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clean, tmp_path / "own")
    pd.read_csv(folder / "images.csv").drop(columns="patient").to_csv(folder / "images.csv", index=False)
    assert findings(check(own.read(folder))) == {"patients": ("error", 40)}


def test_the_images_behind_a_finding_are_named(tmp_path: Path) -> None:
    report = check(own.read(write_example(tmp_path / "own", PROBLEMS)))
    rows = report.verdicts
    assert set(rows["unreadable images"].rows["reason"]) == {"truncated file", "constant image"}
    assert set(rows["contradictory labels"].rows["image_id"]) == {"own/images/002.png", "own/images/disputed.png"}
    assert "own/images/copy.png" in set(rows["leakage"].rows["image_id"])
    assert "images/smaller.png" in report.to_text(most=50)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["clean"] is False
    assert sum(plain["left_out"].values()) == len(report.collection.excluded) == 3


def test_exit_status_says_clean_findings_or_unreadable(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(clean)]) == 0
    bad = write_example(tmp_path / "own", ["missing file"], patients=12)
    assert main(["check", str(bad), "--json"]) == 3
    text = capsys.readouterr().out
    report = json.loads(text[text.index("{") :])
    assert report["checks"][3]["images"] == 1
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_label_that_the_file_format_tells_is_noticed() -> None:
    rows = pd.DataFrame({"label": ["covid", "non_covid"] * 30})
    suffix = rows["label"].map({"covid": "png", "non_covid": "jpg"})
    rows["image_id"] = [
        f"own/{name}/{n}.{end}" for n, (name, end) in enumerate(zip(rows["label"], suffix, strict=True))
    ]
    rows = rows.assign(source="own", view=None, width=10, height=10, component=np.arange(60))
    table = association(rows).set_index("attribute")["bacc"]
    assert table["format"] == 1
    assert table["folder"] == table["size"] == 0.5  # a folder that only repeats the label is a layout


def test_attributes_that_say_nothing_stay_below_the_stated_chance() -> None:
    rng = np.random.default_rng(0)
    below = []
    for _ in range(60):
        rows = pd.DataFrame({"label": np.where(rng.random(80) < 0.4, "covid", "non_covid")})
        rows["image_id"] = [f"own/{n}.png" for n in range(80)]
        rows = rows.assign(
            source=rng.choice(["a", "b", "c"], 80), view=None, width=1, height=1, component=np.arange(80)
        )
        table = association(rows).set_index("attribute")
        below.append(table.loc["source", "bacc"] <= table.loc["source", "chance"])
    assert np.mean(below) >= 0.95


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("picture,label", "a.png,covid", "no column for the file"),
        ("file,findings", "a.png,covid", "no column for the label"),
        ("file,image,label", "a.png,a.png,covid", "several columns for the file"),
        ("file,label", "a.png,maybe", "neither positive nor negative"),
        ("file,label,split", "a.png,covid,holdout", "splits that are unknown"),
        ("file,label", "b.png,covid", "must be relative"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_to_do(header: str, row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "table.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(DataError, match=message):
        own.read(tmp_path)


def test_headers_and_labels_have_aliases(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "own", patients=12)
    table = pd.read_csv(folder / "images.csv")
    table = table.rename(columns={"file": "Image Index", "label": "Class", "patient": "Patient-ID"})
    table["Image Index"] = table["Image Index"].str.removeprefix("images/")
    table["Class"] = table["Class"].map({"covid": "TB", "non_covid": "clear"})
    table.to_csv(folder / "images.csv", index=False)
    images = own.read(folder, positive="TB").images
    assert images["label"].value_counts().to_dict() == {"covid": 12, "non_covid": 12}
    assert images["patient_id"].notna().all()
    with pytest.raises(DataError, match="no row"):
        own.read(folder, positive="tumour")


def test_published_layouts_are_recognised(tmp_path: Path) -> None:
    images = own.read(write_example(tmp_path / "x", patients=12)).images
    layout = tmp_path / "COVIDX-Ray-5K"
    for n, (path, label) in enumerate(zip(images["path"], images["label"], strict=True)):
        folder = layout / ("train", "test")[n % 2] / label.replace("non_covid", "non")
        folder.mkdir(parents=True, exist_ok=True)
        Path(path).rename(folder / f"patient{n:05}.png")
    collection = read_data(layout)
    assert (collection.name, len(collection.images)) == ("covidx_ray_5k", len(images))
    assert set(findings(check(collection))) == {"patients", "shortcuts"}, "its sources tell the label"
