"""A collection: images in covid/ and other/, the patient in the file's name (p12_1.png), as one more reader."""

from pathlib import Path

import pandas as pd

from cxrlib.data.readers import CATALOGUE, READERS, Publication
from cxrlib.data.readers.base import Collection, collect, files_under


def read(root: Path) -> Collection:
    rows = pd.DataFrame({"file": [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.png"))]})
    rows["label"] = rows["file"].str.split("/").str[0].map({"covid": "covid", "other": "non_covid"})
    rows["patient_id"] = "clinic:" + rows["file"].str.extract(r"/(p\d+)_")[0]
    rows = rows.assign(source="clinic", modality="X-ray", population="adult", licence="internal")
    return collect("clinic", root, rows, files=files_under(root, ["covid", "other"]))


CATALOGUE["clinic"] = Publication(
    name="clinic", title="our clinic", publisher="us", url="https://example.org", licence="internal", images=None,
    access="our archive", fetchable=False, folders=("clinic",), marker="covid/*.png", layout="folders covid and other",
    citation="",
)  # fmt: skip
READERS["clinic"] = read
