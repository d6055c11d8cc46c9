"""Perceptual hashes: which radiographs are the same picture under another name, or a changed copy of it.

A 256-bit pHash (signs of the 16 x 16 lowest DCT coefficients about their median). The usual 64 bits do not
do: all chest radiographs look alike at that resolution, and random pairs reach the distance of known repeats.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from tqdm import tqdm

from cxrlib.images.decoding import QuarantineError, min_max, read_raw, to_uint8
from cxrlib.paths import cache_root
from cxrlib.storage import atomic_path, lock

HASH_SIDE = 16  # 16 x 16 coefficients: 256 bits
SIDE = 4 * HASH_SIDE  # pixels a side at which a picture is hashed
BITS = HASH_SIDE**2
THRESHOLD = 32
"""Largest Hamming distance, of 256 bits, of two images that count as the same picture.

On the open collection the number of pairs is flat between 20 and 40 (repeats lie below, the tail of unlike
pairs begins above), and every pair up to here that its publishers had not linked shows the same radiograph.
"""

_VERSION = 1  # raise it whenever the same file would give another hash
_BLOCK = 2048  # rows of the distance matrix at a time


def _crop(pixels: np.ndarray, margins: tuple[float, ...]) -> np.ndarray:
    """Pictures without these shares of their left, top, right and bottom, resized to what they were."""
    side, (left, top, right, bottom) = pixels.shape[1], margins
    box = (side * left, side * top, side * (1 - right), side * (1 - bottom))
    cropped = (Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR, box) for picture in pixels)
    return np.stack([np.asarray(picture) for picture in cropped])


_CROPS = {  # shares of left, top, right and bottom
    "2.5 % of each side": (0.025, 0.025, 0.025, 0.025), "5 % of each side": (0.05, 0.05, 0.05, 0.05),
    "5 % left": (0.05, 0, 0, 0), "5 % top": (0, 0.05, 0, 0), "5 % right": (0, 0, 0.05, 0),
    "5 % bottom": (0, 0, 0, 0.05),
    "5 % left and top": (0.05, 0.05, 0, 0), "5 % right and top": (0, 0.05, 0.05, 0),
    "5 % left and bottom": (0.05, 0, 0, 0.05), "5 % right and bottom": (0, 0, 0.05, 0.05),
}  # fmt: skip
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda pixels: pixels[:, :, ::-1],
    "upside down": lambda pixels: pixels[:, ::-1],
    **{f"turned by {90 * k} degrees": partial(np.rot90, k=k, axes=(1, 2)) for k in (1, 2, 3)},
    "inverted": lambda pixels: 255 - pixels,
    **{f"cropped by {name}": partial(_crop, margins=margins) for name, margins in _CROPS.items()},
}
"""Changed copies of a picture that `transformed_pairs` looks for: functions of uint8 [N, 64, 64].

Measured on 300 radiographs of the open edition and their changed files: of mirrored, turned and inverted copies and
those cropped as named here or by 3 % of each side, 100 % lie at most 32 bits from a transform of the original, of those
cropped by 4 or 6 % of each side 98 %. Crops beyond 6 %, other angles and several changes at once are not looked for.
"""


def image_identity(images: pd.DataFrame) -> pd.Series:
    """What tells an image's content apart, a text per row: its SHA-256, else its file's size (no file is read)."""
    sha256 = images["sha256"].astype(object)
    return sha256.where(sha256.notna(), images.loc[sha256.isna(), "path"].map(_file_size))


def perceptual_hashes(images: pd.DataFrame) -> pd.DataFrame:
    """The hash of every image that can be decoded: `image_id`, `hash` (32 bytes), in the order of `images`.

    A hash that the table states (column `phash`, hexadecimal) is taken from there; every other file is read once, into
    a cache under `cache_root()/hashes`. Generated images and files that cannot be decoded have no row.
    """
    stated = images["phash"] if "phash" in images else pd.Series(None, index=images.index, dtype="str")
    hashes = stated.map(bytes.fromhex, na_action="ignore").astype(object)
    files = images[stated.isna() & ~images["path"].str.startswith("phantom:")]
    if len(files):
        key = files["image_id"] + " " + image_identity(files)
        hashes[files.index] = key.map(_known(dict(zip(key, files["path"], strict=True)))).astype(object)
    table = pd.DataFrame({"image_id": images["image_id"], "hash": hashes})
    return table.dropna(subset="hash").reset_index(drop=True)


def near_pairs(hashes: np.ndarray, threshold: int = THRESHOLD, others: np.ndarray | None = None) -> np.ndarray:
    """Pairs of rows, int64 [P, 2], at most `threshold` bits apart: i < j of `hashes` (uint8 [N, 32]).

    With `others` (uint8 [M, 32]) all pairs of a row of `hashes` and a row of `others`.
    """
    found = [np.empty((0, 2), np.int64)]
    for start, distance in distance_blocks(hashes, others):
        pairs = np.argwhere(distance <= threshold)
        found.append(pairs + np.array((start, 0)) if others is not None else pairs[pairs[:, 1] > pairs[:, 0]] + start)
    return np.concatenate(found)


def transformed_pairs(pixels: np.ndarray) -> pd.DataFrame:
    """Pairs of pictures (uint8 [N, 64, 64]) one of which is a changed copy: `first`, `second` (rows), `transform`."""
    plain, tables = picture_hashes(pixels), []
    for name, transform in TRANSFORMS.items():
        pairs = near_pairs(picture_hashes(transform(pixels)), THRESHOLD, plain)
        tables.append(pd.DataFrame(pairs, columns=["first", "second"]).assign(transform=name))
    table = pd.concat(tables)
    table = table[table["first"] != table["second"]]  # a symmetric picture is a copy of itself
    ends = pd.DataFrame(np.sort(table[["first", "second"]], axis=1))
    return table[~ends.duplicated().to_numpy()].reset_index(drop=True)


def picture_hashes(pixels: np.ndarray) -> np.ndarray:
    """Hashes, uint8 [N, 32], of pictures uint8 [N, 64, 64]; within a few bits of those of their files."""
    low = dctn(pixels.astype(np.float32), axes=(1, 2))[:, :HASH_SIDE, :HASH_SIDE].reshape(len(pixels), -1)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)


def pack(hashes: pd.Series) -> np.ndarray:
    """Hashes as stored (32 bytes each) as uint8 [N, 32]."""
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), BITS // 8)


def _file_hash(path: str) -> bytes | None:
    """The hash of the grey picture behind a path; None if it cannot be decoded."""
    try:
        picture = Image.fromarray(to_uint8(min_max(read_raw(path))))
    except QuarantineError:
        return None
    return np.packbits(imagehash.phash(picture, hash_size=HASH_SIDE).hash).tobytes()


def _known(paths: dict[str, str]) -> dict[str, bytes | None]:
    """Hashes by the keys of `paths`, from the cache where they are there; None for a file that cannot be decoded."""
    cached = cache_root() / "hashes" / f"phash-{BITS}-v{_VERSION}.parquet"
    with lock(cached):
        known: dict[str, bytes | None] = (
            pd.read_parquet(cached).set_index("key")["hash"].to_dict() if cached.is_file() else {}
        )
        if missing := {key: path for key, path in paths.items() if key not in known}:
            quiet = not sys.stderr.isatty()
            with ThreadPoolExecutor() as pool:
                found = pool.map(_file_hash, missing.values())
                bar = tqdm(found, total=len(missing), desc="perceptual hashes", unit="image", disable=quiet)
                known |= dict(zip(missing, bar, strict=True))
            with atomic_path(cached) as part:
                pd.DataFrame({"key": list(known), "hash": list(known.values())}).to_parquet(part)
    return known


def distance_blocks(hashes: np.ndarray, others: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, distances int16 [rows, M]) block by block: to `others`, else to the rows from the first one on."""
    signs = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
    to = None if others is None else np.unpackbits(others, axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(signs), _BLOCK):
        product = signs[start : start + _BLOCK] @ (signs[start:] if to is None else to).T
        yield start, ((BITS - product) / 2).astype(np.int16)


def _file_size(path: str) -> str:
    try:
        return f"{Path(path).stat().st_size} bytes"
    except OSError:
        return path if path.startswith("phantom:") else "missing"
