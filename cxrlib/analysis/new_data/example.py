"""A small folder of phantoms with a CSV table, clean or with problems planted: what a folder of one's own looks like."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.images import phantom
from cxrlib.images.decoding import thumbnails
from cxrlib.images.hashing import SIDE as HASHED
from cxrlib.images.hashing import THRESHOLD, near_pairs, picture_hashes
from cxrlib.storage import atomic_path

PATIENTS = 36  # of each class, one image each
SPARE = 12  # phantoms of each class beyond those, in place of any that look alike
SIDE = 96  # pixels
EXAMPLE = "example"
TEST_FROM = 28  # patients of each class from this one on are the test part


def data_folder(data: str) -> Path:
    """What chapter 11 reads: `data` as it is, or for 'example' a new folder of phantoms with problems planted."""
    return write_example(Path(tempfile.mkdtemp(prefix="cxr-")) / EXAMPLE, PROBLEMS) if data == EXAMPLE else Path(data)


def write_example(folder: Path, problems: Iterable[str] = (), patients: int = PATIENTS) -> Path:
    """Write `images.csv` and `images/` with some of `PROBLEMS` into `folder`, which must not hold any file, and return it."""
    with atomic_path(folder) as part:
        (part / "images").mkdir(parents=True)
        rows = _clean(part, patients)
        for name in problems:
            rows = PROBLEMS[name](part, rows)
        rows.to_csv(part / "images.csv", index=False)
    return folder


def _clean(folder: Path, patients: int) -> pd.DataFrame:
    """Phantoms without confounding that all look different, both classes from both sites in equal shares, split by patient."""
    spec = phantom.PhantomSpec(seed=3, confounding=0.0)
    kinds = np.repeat(["covid", "normal"], patients + SPARE)
    pixels = phantom.render([spec.path(str(kind), number, number) for number, kind in enumerate(kinds)], SIDE)
    small = (thumbnails(pixels, HASHED) * 255).round().astype(np.uint8)
    alike = near_pairs(picture_hashes(small), THRESHOLD + 8)[:, 1]  # phantoms vary less than patients do
    unlike = np.setdiff1d(np.arange(len(pixels)), alike)
    rows = pd.DataFrame({"index": unlike, "kind": kinds[unlike]}).groupby("kind").head(patients).reset_index(drop=True)
    place, number = rows.groupby("kind").cumcount(), rows.index.map("{:03d}".format)
    for name, index in zip(number, rows["index"], strict=True):
        Image.fromarray(pixels[index]).save(folder / "images" / f"{name}.png")
    return pd.DataFrame(
        {
            "file": "images/" + number + ".png",
            "label": np.where(rows["kind"] == "covid", "covid", "non_covid"),
            "patient": "p" + number,
            "view": "PA",
            "site": np.where(place % 2, "north", "south"),
            "split": np.where(place >= TEST_FROM * patients // PATIENTS, "test", "train"),
        }
    )


def _again(rows: pd.DataFrame, like: int, **changes: str) -> pd.DataFrame:
    """`rows` with the row `like` again at its end, some of its values changed."""
    return pd.concat([rows, rows.loc[[like]].assign(**changes)], ignore_index=True)


def _copied(number: int, name: str, **changes: str) -> Callable[[Path, pd.DataFrame], pd.DataFrame]:
    def plant(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
        (folder / "images" / name).write_bytes((folder / rows["file"][number]).read_bytes())
        return _again(rows, number, file=f"images/{name}", **changes)

    return plant


def _near_duplicate(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    with Image.open(folder / rows["file"][1]) as image:
        image.resize((SIDE * 3 // 4, SIDE * 3 // 4), Image.Resampling.LANCZOS).save(folder / "images" / "smaller.png")
    return _again(rows, 1, file="images/smaller.png", patient="p901")


def _patient_across_splits(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    patient = rows["patient"].mask(rows.index == rows.index[rows["split"] == "test"][0], rows["patient"][3])
    return rows.assign(patient=patient)


def _truncated_file(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    file = folder / rows["file"][4]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return rows


def _constant_image(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    Image.fromarray(np.full((SIDE, SIDE), 128, np.uint8)).save(folder / rows["file"][5])
    return rows


def _missing_file(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    (folder / rows["file"][6]).unlink()
    return rows


PROBLEMS: dict[str, Callable[[Path, pd.DataFrame], pd.DataFrame]] = {
    "duplicate across splits": _copied(0, "copy.png", patient="p900", split="test"),
    "near-duplicate": _near_duplicate,
    "contradictory label": _copied(2, "disputed.png", label="non_covid"),
    "patient across splits": _patient_across_splits,
    "truncated file": _truncated_file,
    "constant image": _constant_image,
    "missing file": _missing_file,
    "unnamed file": lambda _, rows: rows.drop(index=7),
    "repeated row": lambda _, rows: _again(rows, 8),
    "unlabelled image": lambda _, rows: rows.assign(label=rows["label"].mask(rows.index == 9, "")),
    "label follows site": lambda _, rows: rows.assign(site=rows["label"].map({"covid": "north", "non_covid": "south"})),
}
"""Problems that can be planted, each alone or all together as in chapter 11."""
