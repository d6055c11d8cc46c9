"""NIH ChestX-ray14: `Data_Entry_2017.csv` or its correction of 2020, and images in one folder or in twelve."""

from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import Collection, collect, files_under, healthy, population, read_table, views
from cxrlib.data.readers.catalogue import CATALOGUE, problem

NAME = "ChestX-ray14"
TITLE = CATALOGUE[NAME].title

_REQUIRED = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


def read(root: Path) -> Collection:
    """Read the folder `root`: the table, `images/` or `images_001/images/` and so on, the two lists if there.

    The corrected table of 2020 is preferred. `split` follows the publisher's lists and is null without them.
    Left out, with a reason: missing files and files that the table does not name. Raises DataError for an
    unknown header or if there is no healthy or no diseased image.
    """
    tables = sorted(root.glob("Data_Entry_2017*.csv"))
    if not tables:
        raise problem(NAME, f"there is no Data_Entry_2017.csv in {root}")
    table = read_table(NAME, tables[-1], _REQUIRED)
    folders = sorted(path.name for path in root.glob("images*") if path.is_dir())
    if not folders:
        raise problem(NAME, f"there is no folder images or images_001 in {root}")
    place = {file.rsplit("/", 1)[-1]: file for file in files_under(root, folders)}
    names = table["Image Index"].str.strip()
    finding = table["Finding Labels"].str.strip()
    rows = pd.DataFrame(
        {
            "file": names.map(place).fillna("images/" + names),
            "source": NAME,
            "label": "non_covid",
            "finding": finding,
            "healthy": healthy(finding),
            "patient_id": "nih:" + table["Patient ID"].str.strip().str.lstrip("0"),
            "view": views(table["View Position"]),
            "modality": "X-ray",
            "population": population(table["Patient Age"]),
            "licence": CATALOGUE[NAME].licence,
            "split": names.map(_splits(root)),
        }
    )
    rows = rows.join(_sizes(table))
    return collect(
        NAME,
        root,
        rows.assign(image_id=f"{NAME}/images/" + names),
        reasons=[],
        folders=folders,
        classes={"healthy": ("healthy", True), "diseased": ("healthy", False)},
        version=tables[-1].stem,
    )


def _splits(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for part, name in _LISTS.items():
        if (root / name).is_file():
            found |= dict.fromkeys((root / name).read_text().split(), part)
    return found


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Pixels of the original radiograph, where the table states them ('OriginalImage[Width', 'Height]')."""
    columns = {"OriginalImage[Width": "original_width", "Height]": "original_height"}
    known = table[[name for name in columns if name in table]].rename(columns=columns)
    return known.apply(pd.to_numeric, errors="coerce").astype("Int64")
