"""Parts of an image blacked out, and the lung masks that some of it needs."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxrlib.data.readers import locate
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.phantom import masks as phantom_masks

BORDER = 1 / 8
"""Width of the frame that counts as border, as a share of the side."""
MASK_FOLDERS = {"cxr-open": ("masks/ieee8023_lungVAE",), "covid-chestxray-dataset": ("annotations/lungVAE-masks",)}
"""Where a collection keeps lung masks, named <image>_mask.png."""
REGIONS = ("whole image", "border only", "centre blacked out", "lungs only", "lungs hidden")

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


def frame(size: int, width: float = BORDER) -> Masks:
    """Which pixels lie in the outer frame of an image of `size` pixels a side, bool [size, size].

    `width`: of the frame, as a share of the side, above 0 and below 1/2; at least one pixel. ParameterError otherwise.
    """
    if not 0 < width < 0.5:
        raise ParameterError(
            f"width = {width} is not allowed: a border is wider than 0 and narrower than half the side."
        )
    edge = max(round(width * size), 1)
    inside = np.zeros((size, size), bool)
    inside[edge : size - edge, edge : size - edge] = True
    return ~inside


def centre(size: int, width: float = 0.5) -> Masks:
    """Which pixels lie in the central square of `width` times the side, bool [size, size]."""
    return ~frame(size, (1 - width) / 2)


def cover(pixels: Pixels, region: str, lungs: Masks | None = None) -> Pixels:
    """`pixels`, uint8 [N, S, S], with all black that `region` (of `REGIONS`) does not show; a new array.

    "border only" keeps the outer eighth on each side; "centre blacked out" hides the central half of the side. `lungs`, bool
    [N, S, S], is needed for the regions that name them. Raises ParameterError for another region, DataError without masks.
    """
    size = pixels.shape[1]
    if region == "whole image":
        return pixels.copy()
    if region in ("border only", "centre blacked out"):
        kept = frame(size) if region == "border only" else ~centre(size)
        return np.where(kept[None], pixels, np.uint8(0))
    if region not in REGIONS:
        raise ParameterError(f"unknown region '{region}': choose one of {', '.join(REGIONS)}.")
    if lungs is None or lungs.shape != pixels.shape:
        raise DataError(f"'{region}' needs a lung mask for every image: select the images that have one.")
    return np.where(lungs if region == "lungs only" else ~lungs, pixels, np.uint8(0))


def has_mask(images: pd.DataFrame) -> pd.Series:
    """Whether an image's lungs are known, bool: a phantom's always, a radiograph's where its collection has a mask."""
    return pd.Series(
        [path.startswith("phantom:") or _mask_file(name, c) is not None for path, name, c in _keys(images)],
        images.index,
    )


def lung_masks(images: pd.DataFrame, size: int) -> Masks:
    """Lungs of each image, bool [N, size, size], in the order of the rows; published masks are resized like their image.

    Published masks were drawn by a network (LungVAE) and are not ground truth; phantoms' are. Raises DataError for an image
    without one.
    """
    found = np.zeros((len(images), size, size), bool)
    generated = images["path"].str.startswith("phantom:").to_numpy()
    if generated.any():
        found[generated] = phantom_masks(images.loc[generated, "path"].tolist(), size)[0]
    for row, (path, name, collection) in enumerate(_keys(images)):
        if path.startswith("phantom:"):
            continue
        file = _mask_file(name, collection)
        if file is None:
            raise DataError(f"{name} has no lung mask: select images with regions.has_mask.")
        with Image.open(file) as mask:
            found[row] = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.BOX)) > 127
    return found


def _keys(images: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(zip(images["path"], images["image_id"], images["collection"], strict=True))


def _mask_file(image_id: str, collection: str) -> Path | None:
    if collection == "cxr-open" and "/ieee8023/" not in image_id:
        return None
    return _mask_files(collection, _root(collection)).get(PurePosixPath(image_id).stem)


def _root(collection: str) -> Path | None:
    return locate(collection) if collection in MASK_FOLDERS else None


@lru_cache(maxsize=8)
def _mask_files(collection: str, root: Path | None) -> dict[str, Path]:
    folders: Sequence[Path] = [] if root is None else [root / name for name in MASK_FOLDERS[collection]]
    return {path.stem.removesuffix("_mask"): path for folder in folders for path in sorted(folder.glob("*_mask.png"))}
