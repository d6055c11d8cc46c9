"""Histogram equalisation, exact at any size."""

import numpy as np
import numpy.typing as npt


def equalised(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Each image with its histogram equalised, uint8 [N, S, S]: a grey becomes its share of darker pixels, darkest 0.

    Exact at any size; PIL's and torchvision's step is a whole number and saturates on images of few pixels.
    """
    n, area = len(pixels), pixels[0].size
    flat = pixels.reshape(n, area).astype(np.int64)
    counts = np.bincount((flat + 256 * np.arange(n)[:, None]).ravel(), minlength=256 * n).reshape(n, 256)
    below = counts.cumsum(axis=1)
    least = np.take_along_axis(counts, flat.min(axis=1, keepdims=True), axis=1)
    share = np.divide(below - least, area - least, out=np.zeros((n, 256)), where=area > least)
    levels = np.rint(255 * share.clip(0)).astype(np.uint8)
    return np.take_along_axis(levels, flat, axis=1).reshape(pixels.shape)
