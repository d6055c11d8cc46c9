"""Parts of an image blacked out; the lung masks that some of them need are in `data.masks`."""

import numpy as np
import numpy.typing as npt

from cxrlib.errors import DataError, ParameterError

BORDER = 1 / 8
"""Width of the frame that counts as border, as a share of the side."""
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


def cover(pixels: Pixels, region: str, lungs: Masks | None = None) -> Pixels:
    """`pixels`, uint8 [N, S, S], with all black that `region` (of `REGIONS`) does not show; a new array.

    "border only" shows the outer eighth on each side; "centre blacked out" hides the central half of the side. `lungs`, bool
    [N, S, S], is needed for the regions that name them. Raises ParameterError for another region, DataError without masks.
    """
    size = pixels.shape[1]
    if region == "whole image":
        return pixels.copy()
    if region in ("border only", "centre blacked out"):
        return np.where(frame(size, BORDER if region == "border only" else 1 / 4), pixels, np.uint8(0))
    if region not in REGIONS:
        raise ParameterError(f"unknown region '{region}': choose one of {', '.join(REGIONS)}.")
    if lungs is None or lungs.shape != pixels.shape:
        raise DataError(f"'{region}' needs a lung mask for every image: select the images that have one.")
    return np.where(lungs if region == "lungs only" else ~lungs, pixels, np.uint8(0))
