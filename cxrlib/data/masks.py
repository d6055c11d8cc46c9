"""Lung masks: which images have one, and where it lies. Published masks were drawn by a network: no ground truth."""

from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxrlib.data.readers import locate
from cxrlib.errors import DataError
from cxrlib.images.phantom import masks as phantom_masks

MASK_FOLDER = {"cxr-open": "masks/ieee8023_lungVAE", "covid-chestxray-dataset": "annotations/lungVAE-masks"}
"""Where a collection stores lung masks, named <image>_mask.png."""

Masks = npt.NDArray[np.bool_]


def has_mask(images: pd.DataFrame) -> pd.Series:
    """Whether an image's lungs are known, bool: a phantom's always, a radiograph's where its collection has a mask."""
    stored = map(_file, images["image_id"], images["collection"])
    return images["path"].str.startswith("phantom:") | np.array([file is not None for file in stored], dtype=bool)


def lung_masks(images: pd.DataFrame, size: int) -> Masks:
    """Lungs of each image, bool [N, size, size], row by row; published masks are resized like their image.

    Raises DataError for an image without one.
    """
    found = np.zeros((len(images), size, size), bool)
    generated = images["path"].str.startswith("phantom:").to_numpy()
    if generated.any():
        found[generated] = phantom_masks(images.loc[generated, "path"].tolist(), size)[0]
    for row in np.flatnonzero(~generated):
        name, collection = images[["image_id", "collection"]].iloc[row]
        file = _file(name, collection)
        if file is None:
            raise DataError(f"{name} has no lung mask: select images with masks.has_mask.")
        with Image.open(file) as mask:
            found[row] = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.BOX)) > 127
    return found


def _file(image_id: str, collection: str) -> Path | None:
    if collection not in MASK_FOLDER or (collection == "cxr-open" and "/ieee8023/" not in image_id):
        return None
    return _files(collection, locate(collection)).get(PurePosixPath(image_id).stem)


@lru_cache(maxsize=8)
def _files(collection: str, root: Path | None) -> dict[str, Path]:
    found = [] if root is None else (root / MASK_FOLDER[collection]).glob("*_mask.png")
    return {path.stem.removesuffix("_mask"): path for path in found}
