"""The paper's 32-fold augmentation (section VI.A), and a light one in batches, beyond the paper.

One left-right flip doubles the set; then, for r in -5, -2, 1, 4, a copy of everything so far is rotated by r and
appended, so it doubles four times more: 31 -> 62 -> 124 -> 248 -> 496 -> 992. Rotations compound, and so does their
interpolation: the last copies were resampled four times, as in the released code.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from fastai.vision.augment import aug_transforms

from cxrlib.errors import DataError, ParameterError

ANGLES = (-5, -2, 1, 4)
"""Degrees, in the order the paper applies them; positive turns an image counter-clockwise."""

COPIES = 2 ** (1 + len(ANGLES))
"""Variants of an image, the image itself among them: 32."""

ROTATIONS = ("fixed", "random")
"""Readings of an angle r: r itself (the paper's text), or uniform in [-|r|, |r|] per image (released code)."""

_CHUNK_PIXELS = 2**19  # pixels of originals augmented at once: 8 images of 256 x 256


def augment(images: np.ndarray, rotation: str, seed: int) -> np.ndarray:
    """The 32 variants of each image: uint8 [N, H, W] -> uint8 [32 N, H, W]; variant k of image i at k N + i.

    Variant k is flipped if bit 0 of k is set, and rotated by `ANGLES[j]` if bit j + 1 is. Bilinear, the edge repeated;
    values stay floating-point until the last copy. With `rotation` "fixed" the seed plays no part. Raises DataError for
    another dtype or shape, ParameterError for an unknown `rotation`.
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise DataError(f"augment takes uint8 images [N, H, W], not {images.dtype} {list(images.shape)}.")
    count, height, width = images.shape
    angles = torch.from_numpy(draw_angles(count, rotation, seed))
    out = np.empty((COPIES, count, height, width), dtype=np.uint8)
    step = max(1, _CHUNK_PIXELS // max(height * width, 1))
    for start in range(0, count, step):
        part = slice(start, start + step)
        originals = torch.tensor(images[part], dtype=torch.float32)
        copies = torch.stack([originals, originals.flip(-1)])
        for j in range(len(ANGLES)):
            turned = rotate(copies.flatten(0, 1), angles[j, : len(copies), part].flatten())
            copies = torch.cat([copies, turned.view_as(copies)])
        out[:, part] = copies.round_().to(torch.uint8).numpy()
    return out.reshape(COPIES * count, height, width)


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """float32 [N, H, W], each image turned counter-clockwise about its centre by its own angle [N]; bilinear."""
    height, width = images.shape[-2:]
    radians = torch.deg2rad(degrees.to(torch.float64))
    cosine, sine, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    rows = (cosine, -sine * height / width, zero, sine * width / height, cosine, zero)
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.dtype)
    stack = images.unsqueeze(1)
    grid = F.affine_grid(matrix, list(stack.shape), align_corners=False)
    return F.grid_sample(stack, grid, mode="bilinear", padding_mode="border", align_corners=False).squeeze(1)


def draw_angles(count: int, rotation: str, seed: int) -> np.ndarray:
    """Angles of the four rotations, in degrees: float64 [4, 16, count].

    Entry [j, m, i] turns copy m of image i at the j-th doubling; only its first 2^(j+1) copies exist then, the others
    are never used. Raises ParameterError for an unknown `rotation`.
    """
    if rotation not in ROTATIONS:
        raise ParameterError(f"rotation = {rotation!r} is not allowed: choose {' or '.join(ROTATIONS)}.")
    shape = (len(ANGLES), COPIES // 2, count)
    fixed = np.broadcast_to(np.asarray(ANGLES, dtype=np.float64)[:, None, None], shape)
    return fixed.copy() if rotation == "fixed" else np.random.default_rng(seed).uniform(-1, 1, shape) * np.abs(fixed)


def total_angles(count: int, rotation: str, seed: int) -> np.ndarray:
    """Sum of the rotations each variant went through, in degrees: float64 [32, count], rows as in `augment`."""
    total = np.zeros((2, count))
    for drawn in draw_angles(count, rotation, seed):
        total = np.concatenate([total, total + drawn[: len(total)]])
    return total


def variant_table() -> pd.DataFrame:
    """The 32 variants as designed: `variant`, `name`, `flipped`, `resampled` (times), `angle` (nominal, degrees)."""
    rows = []
    for k in range(COPIES):
        turns = [angle for j, angle in enumerate(ANGLES) if k >> (j + 1) & 1]
        parts = ["flip"] * (k & 1) + [f"{angle:+d}°" for angle in turns]
        rows.append((k, " ".join(parts) or "original", bool(k & 1), len(turns), sum(turns)))
    return pd.DataFrame(rows, columns=["variant", "name", "flipped", "resampled", "angle"])


def batch_transforms(name: str) -> list[Any]:
    """fastai batch transforms, applied on the device: none, or light ones (beyond the paper, off by default).

    "light": flip, rotation of at most 5 degrees, zoom of at most 5 %, small changes of brightness and contrast. They
    draw from torch's global generator, so `torch.manual_seed` fixes them. Raises ParameterError for an unknown name.
    """
    if name not in ("none", "light"):
        raise ParameterError(f"batch_augmentation = {name!r} is not allowed: choose none or light.")
    light = dict(max_rotate=5.0, min_zoom=0.95, max_zoom=1.05, max_lighting=0.1, max_warp=0.0, pad_mode="border")
    return [] if name == "none" else list(aug_transforms(**light))
