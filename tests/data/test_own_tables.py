"""Tables of one's own as people write them: labels, patients, separators, encodings, paths; and copies that were changed."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from cxrlib.cli.main import main
from cxrlib.data.check import check
from cxrlib.data.division import divide
from cxrlib.data.editions import edition_of
from cxrlib.data.readers import Collection, own, read_data
from cxrlib.errors import DataError
from cxrlib.images.damage import jpeg_damage
from cxrlib.images.decoding import QuarantineError, decode, min_max, to_uint8
from cxrlib.images.hashing import TRANSFORMS, picture_hashes
from cxrlib.protocols import PROTOCOLS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four small pictures a.png to d.png, without a table."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (70, 80), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def write(folder: Path, labels: list[str], header: str = "file,label", sep: str = ",", **columns: list[str]) -> Path:
    """A table images.csv with these labels for a.png, b.png, ...; further columns as given."""
    lines = [sep.join([*header.split(","), *columns])]
    for place, label in enumerate(labels):
        lines.append(sep.join([f"{'abcd'[place]}.png", label, *(values[place] for values in columns.values())]))
    (folder / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("labels", "positive", "expected"),
    [
        (["Covid", "COVID-19", "covid 19", "normal"], "covid", ["covid"] * 3 + ["non_covid"]),
        (["Covid", "nan", "unknown", "normal"], "covid", ["covid", None, None, "non_covid"]),
        (["Covid", "N/A", "", "Normal"], None, ["covid", None, None, "non_covid"]),
        (["TB", "tb", "Clear", "clear"], "tb", ["covid", "covid", "non_covid", "non_covid"]),
        (["1", "1.0", "0", "0.0"], "1", ["covid", "covid", "non_covid", "non_covid"]),
        (["TRUE", "False", "pos", "NEG"], None, ["covid", "non_covid", "covid", "non_covid"]),
        (["1", "-1", "-1.0", "0"], None, ["covid", None, None, "non_covid"]),
        (["COVID+", "COVID-", "covid+", "tbd"], "COVID+", ["covid", "non_covid", "covid", None]),
    ],
)
def test_labels_are_read_without_case_and_unknown_ones_are_missing(folder, labels, positive, expected):
    collection = own.read(write(folder, labels), positive)
    read = collection.images.set_index("image_id")["label"]
    assert [None if pd.isna(value) else value for value in read] == expected
    assert collection.labels["rows"].sum() == 4
    assert set(collection.labels["value"]) == set(labels)


def test_the_report_shows_how_each_label_was_read(folder, capsys):
    write(folder, ["Covid", "covid pneumonia", "unknown", "normal"])
    report = check(own.read(folder, "covid"))
    text = report.to_text()
    assert "label 'Covid' read as covid: 1 rows" in text and "label 'unknown' read as none: 1 rows" in text
    assert "without a label: 1" in report.verdicts["labels"].sentence
    assert main(["check", str(folder), "--positive", "covid"]) == 1, "too few patients is an error"
    assert "label 'covid pneumonia' read as non_covid" in capsys.readouterr().out


@pytest.mark.parametrize("positive", ["covid", "", "unknown"])
def test_a_positive_label_that_no_row_has_is_not_guessed(folder, positive):
    with pytest.raises(DataError, match=r"no row of .* has the label"):
        own.read(write(folder, ["COVID+", "COVID-", "", "unknown"]), positive)


def test_patients_are_one_however_zeros_accents_and_sites_are_written(folder):
    people, sites = ["0007", "7", "Mu\u0308ller", "M\u00fcller"], ["North", "north", "x", "X"]
    images = own.read(write(folder, ["covid", "covid", "normal", "normal"], patient=people, site=sites)).images
    assert images["patient_id"].nunique() == 2


def test_patients_are_compared_as_people_mean_them(folder):
    write(
        folder,
        ["covid", "covid", "normal", "normal"],
        patient=["7001", "7001.0", "P1", "p1"],
        split=["train", "test"] * 2,
    )
    images = own.read(folder).images
    assert images["patient_id"].tolist() == ["own:7001", "own:7001", "own:p1", "own:p1"]
    assert check(own.read(folder)).verdicts["leakage"].count == 4


def test_unknown_patients_raise_no_false_alarm(folder):
    write(
        folder,
        ["covid", "covid", "normal", "normal"],
        patient=["unknown", "nan", "UNKNOWN", ""],
        split=["train", "test"] * 2,
    )
    report = check(own.read(folder))
    assert report.collection.images["patient_id"].isna().all()
    assert report.verdicts["leakage"].verdict == "OK"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_recognised(folder, separator):
    write(
        folder,
        ["covid", "normal", "covid", "normal"],
        sep=separator,
        site=["x, y"] * 4 if separator != "," else ["x"] * 4,
    )
    assert len(own.read(folder).images) == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings_are_recognised(folder, encoding):
    (folder / "a.png").rename(folder / "Müller.png")
    text = "file,label\nMüller.png,covid\nb.png,normal\n"
    (folder / "images.csv").write_bytes(text.encode(encoding))
    collection = own.read(folder)
    assert collection.images["image_id"].tolist() == ["own/Müller.png", "own/b.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n", "header but no row"),
        ("", "not a readable CSV"),
        ("file,label\na.png,covid,too,many\n", "not a readable CSV"),
        ("file,label\n,covid\n", "none of the 1 files"),
        ("file,label\na.png,covid\n", None),
    ],
)
def test_a_table_without_rows_or_with_too_many_values_is_one_sentence(folder, text, message):
    (folder / "images.csv").write_text(text)
    if message is None:
        assert len(own.read(folder).images) == 1
        return
    with pytest.raises(DataError, match=message):
        own.read(folder)


def test_a_file_name_that_is_not_utf8_is_listed(folder):
    os.rename(folder / "d.png", os.fsencode(folder) + b"/d\xff.png")
    report = check(own.read(write(folder, ["covid", "normal", "covid", "normal"])))
    assert report.left_out == {"missing file": 1, "file that the table does not name": 1}
    assert report.verdicts["unnamed files"].count == 1


def test_links_absolute_paths_and_parents_are_followed(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "inner").mkdir()
    (folder / "a.png").rename(elsewhere / "inner" / "a.png")
    (folder / "b.png").rename(elsewhere / "b.png")
    (folder / "images").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "inner" / "loop").symlink_to(folder, target_is_directory=True)
    rows = ["images/inner/a.png,covid", f"{elsewhere / 'b.png'},normal", f"{folder / 'c.png'},covid", "./d.png,normal"]
    (folder / "images.csv").write_text("\n".join(["file,label", *rows]))
    images = own.read(folder).images
    assert all(Path(path).is_file() for path in images["path"]) and len(images) == 4
    assert {"own/c.png", "own/d.png", "own/images/inner/a.png"} < set(images["image_id"])


def test_excels_line_that_names_the_separator_is_no_header(folder):
    table = write(folder, ["covid", "normal", "covid", "normal"], sep=";") / "images.csv"
    table.write_text("sep=;\r\n" + table.read_text())
    assert own.read(folder).images["label"].to_list() == ["covid", "non_covid", "covid", "non_covid"]


def test_a_pipe_is_no_image_and_is_not_waited_for(folder):
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    collection = own.read(write(folder, ["covid", "normal", "covid", "normal"]))
    assert len(collection.images) == 3 and collection.excluded["reason"].to_list() == ["missing file"]


def smooth(seed: int, height: int = 200, width: int = 180) -> Image.Image:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 9)
    return Image.fromarray(np.uint8(np.interp(field, (field.min(), field.max()), (0, 255))))


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.crop(
        (
            round(share * image.width),
            round(share * image.height),
            round((1 - share) * image.width),
            round((1 - share) * image.height),
        )
    )


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda image: image.rotate(90, expand=True),
    "turned back": lambda image: image.rotate(270, expand=True),
    "half a turn": lambda image: image.rotate(180),
    "inverted": ImageOps.invert,
    "cropped by 5 %": cropped(0.05),
    "cropped by 2.5 %": cropped(0.025),
    "cropped left": lambda image: image.crop((round(0.05 * image.width), 0, image.width, image.height)),
}


def test_changed_copies_across_a_split_are_found(tmp_path):
    rows = []
    for number, change in enumerate(CHANGES.values()):
        smooth(number).save(tmp_path / f"{number}.png")
        change(smooth(number)).save(tmp_path / f"{number}-changed.png")
        rows += [(f"{number}.png", "train"), (f"{number}-changed.png", "test")]
    table = pd.DataFrame(rows, columns=["file", "split"])
    table["label"], table["patient"] = np.where(table.index % 4 < 2, "covid", "normal"), [f"p{k}" for k in table.index]
    table.to_csv(tmp_path / "images.csv", index=False)
    report = check(own.read(tmp_path))
    assert report.verdicts["leakage"].count == report.verdicts["near-duplicates"].count == 2 * len(CHANGES)
    assert "mirrored, turned, inverted or cropped" in report.verdicts["near-duplicates"].sentence
    assert len(set(report.verdicts["near-duplicates"].rows["change"].dropna())) == len(CHANGES) - 1, (
        "to the left and back is one pair"
    )


def test_strips_and_nearly_constant_images_get_a_remark(folder):
    Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), 80)[:, None].T.copy()).save(folder / "a.png")  # 20480 x 1
    flat = np.full((90, 90), 100, np.uint8)
    flat[4, 5] = 101
    Image.fromarray(flat).save(folder / "b.png")
    verdict = check(own.read(write(folder, ["covid", "normal", "covid", "normal"]))).verdicts["unreadable images"]
    assert verdict.rows["image_id"].tolist() == ["own/a.png", "own/b.png"]


def test_a_garbled_jpeg_scan_gets_a_remark(folder):
    """Pillow decodes most such files without a word; libjpeg complains of most of them, and of no sound file."""
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(to_uint8(min_max(gaussian_filter(rng.normal(size=(96, 96)), 5)))).save(buffer, "JPEG", quality=90)
    sound, silent, seen = buffer.getvalue(), 0, 0
    assert jpeg_damage(sound) is None
    scan = sound.index(b"\xff\xda") + 20
    for start in range(scan, len(sound) - 60, 20):
        broken = sound[:start] + rng.bytes(20) + sound[start + 20 :]
        try:
            decode(broken)
        except QuarantineError:  # found as it always was
            continue
        silent += 1
        seen += jpeg_damage(broken) is not None
    assert silent > 20
    assert seen > silent / 2

    table = write(folder, ["covid", "normal", "covid", "normal"])
    (folder / "a.png").write_bytes(sound)
    assert check(own.read(table)).verdicts["damaged images"].verdict == "OK"
    (folder / "a.png").write_bytes(sound[:scan] + bytes(30) + sound[scan + 30 :])
    found = check(own.read(table)).verdicts["damaged images"]
    assert (found.verdict, found.rows["image_id"].tolist()) == ("warning", ["own/a.png"])
    assert found.rows["reason"].str.contains("Corrupt JPEG data").all()


def test_what_is_not_recognised_is_said(folder):
    by_name = check(own.read(write(folder, ["covid", "normal", "covid", "normal"]))).verdicts
    assert "is not recognised" in by_name["damaged images"].sentence
    assert "crops beyond 6 %" in by_name["near-duplicates"].sentence


def test_a_source_s_own_split_is_not_the_collection_s():
    images = pd.DataFrame(
        {
            "image_id": [f"t/{k:03}" for k in range(120)], "path": [f"phantom:{k}" for k in range(120)],
            "sha256": [f"{k:03}" for k in range(120)], "label": ["covid", "non_covid"] * 60, "patient_id": None,
            "duplicate_group": None, "split": None, "healthy": None, "population": "adult",
        }
    )  # fmt: skip
    images["source_split"] = [
        ("train", "test")[k % 4 // 2] if k % 2 else None for k in range(120)
    ]  # of the negatives only
    edition = edition_of(Collection("t", "t", images, images[["image_id"]].iloc[:0]))
    parts = divide(edition, pd.DataFrame({"image_id": [], "reason": []}), PROTOCOLS["clean"], seed=0)
    assert parts.counts().groupby("part")["images"].sum().sum() == 120
    assert parts.counts()["images"].gt(5).all()


@pytest.mark.real_data
@pytest.mark.slow
def test_on_radiographs_changed_files_are_found(real_data):
    from cxrlib.images.decoding import preprocess

    paths = read_data("cxr-open").images["path"].sample(60, random_state=0)
    files = [Image.open(path).convert("L") for path in paths]
    plain = np.stack([preprocess(np.asarray(image), 64) for image in files])
    known = np.stack([picture_hashes(transform(plain)) for transform in TRANSFORMS.values()])
    for name, change in CHANGES.items():
        changed = picture_hashes(np.stack([preprocess(np.asarray(change(image)), 64) for image in files]))
        distance = np.unpackbits(known ^ changed, axis=2).sum(axis=2).min(axis=0)
        assert (distance <= 32).all(), name
