"""The built-in collection: phantoms need no folder and no download."""

from pathlib import Path

import pandas as pd

from cxrlib.data.readers.base import Collection
from cxrlib.images.phantom.spec import default_spec, images

NAME = "phantom"
TITLE = "synthetic phantoms"


def read(root: Path | None = None) -> Collection:
    """The phantoms of the default spec; `root` is not used."""
    excluded = pd.DataFrame(columns=["image_id", "collection", "reason"], dtype=str)
    return Collection(NAME, TITLE, images(default_spec()), excluded, url="", citation="")
