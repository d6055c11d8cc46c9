"""COVIDx of COVID-Net: lists `train*.txt` and `test*.txt` in the several layouts of its versions.

A line is `patient file class`, since version 3 with the source as a fourth word. The class is normal,
pneumonia or COVID-19 (version 1: bacteria and viral for pneumonia; the B lists: negative and positive).
"""

import re
from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import Collection, collect
from cxrlib.data.readers.catalogue import CATALOGUE, problem

NAME = "COVIDx"
TITLE = CATALOGUE[NAME].title
CLASSES = {
    "COVID-19": ("covid", False),
    "positive": ("covid", False),
    "normal": ("non_covid", True),
    "pneumonia": ("non_covid", False),
    "bacteria": ("non_covid", False),
    "viral": ("non_covid", False),
    "negative": ("non_covid", None),
}
"""Class as printed: (label, whether healthy)."""

_LINE = re.compile(
    r"(?P<patient>\S+) +(?P<name>.+\.(?:png|jpe?g)) +(?P<finding>\S+)(?: +(?P<source>\S+))?", re.IGNORECASE
)
_NAMESPACE = {"cohen": "ieee8023", "actmed": "actualmed"}  # patient ids as the open edition writes them


def read(root: Path) -> Collection:
    """Read the folder `root`: one `train*.txt`, one `test*.txt`, at most one `val*.txt`, and the image folders.

    The finding is the class as printed. Left out, with a reason: missing files, rows that repeat a file, files
    that no list names. Raises DataError for a line that cannot be read, an unknown class or an empty class.
    """
    lists = {part: _only(root, part) for part in ("train", "val", "test")}
    found = {part: path for part, path in lists.items() if path is not None}
    for part in ("train", "test"):
        if part not in found:
            raise problem(NAME, f"there is no {part}*.txt in {root}")
    lines = pd.DataFrame([line for part, path in found.items() for line in _lines(part, path)])
    if lines.empty:
        raise problem(NAME, f"the lists in {root} are empty")
    source = lines["source"].fillna(NAME)
    rows = pd.DataFrame(
        {
            "file": lines["part"] + "/" + lines["name"],
            "source": source,
            "label": lines["finding"].map({name: label for name, (label, _) in CLASSES.items()}),
            "finding": lines["finding"],
            "healthy": lines["finding"].map({name: well for name, (_, well) in CLASSES.items()}).astype("boolean"),
            "patient_id": source.replace(_NAMESPACE) + ":" + lines["patient"],
            "modality": "X-ray",
            "population": "unknown",
            "licence": CATALOGUE[NAME].licence,
            "split": lines["part"].where(lines["part"] != "val"),
            "source_split": lines["part"],
        }
    )
    return collect(
        NAME,
        root,
        rows,
        reasons=[],
        folders=tuple(found),
        classes={"COVID-19": ("label", "covid"), "non-COVID": ("label", "non_covid")},
        version=" and ".join(path.name for path in found.values()),
    )


def _only(root: Path, part: str) -> Path | None:
    paths = sorted(root.glob(f"{part}*.txt"))
    if len(paths) > 1:
        raise problem(NAME, f"{root} holds {' and '.join(path.name for path in paths)}: keep the one of your version")
    return paths[0] if paths else None


def _lines(part: str, path: Path) -> list[dict[str, str | None]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or match["finding"] not in CLASSES:
            expected = f"'patient file class [source]' with a class of {', '.join(CLASSES)}"
            raise problem(NAME, f"line {number} of {path.name} is not {expected}: '{line.strip()[:80]}'")
        rows.append({"part": part, **match.groupdict()})
    return rows
