"""Perceptual hashes of our own: which radiographs are the same picture under another name.

A 256-bit pHash (signs of the 16 x 16 lowest DCT coefficients about their median). The usual 64 bits do not
do: all chest radiographs look alike at that resolution, and random pairs reach the distance of known repeats.
`distance_distribution` measures both, so that the threshold can be seen to lie in the gap.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from cxrlib.images.decoding import QuarantineError, min_max, read_raw, to_uint8
from cxrlib.paths import cache_root
from cxrlib.storage import atomic_path, lock

HASH_SIDE = 16  # 16 x 16 coefficients: 256 bits
BITS = HASH_SIDE**2
THRESHOLD = 32
"""Largest Hamming distance, of 256 bits, of two images that count as the same picture.

On the open collection the number of pairs is flat between 20 and 40 (repeats lie below, the tail of unlike
pairs begins above), and every pair up to here that its publishers had not linked shows the same radiograph.
"""

_VERSION = 1  # raise it whenever the same file would give another hash
_BLOCK = 2048  # rows of the distance matrix at a time


def image_identity(images: pd.DataFrame) -> pd.Series:
    """What tells an image's content apart, a text per row: its SHA-256, else its file's size in bytes.

    Where a publisher's hash is not known the size stands in, so that a large collection need not be read
    whole before its table can be used.
    """
    sha256 = images["sha256"].astype(object).where(images["sha256"].notna(), None)
    return pd.Series(
        [known or _file_size(path) for known, path in zip(sha256, images["path"], strict=True)], images.index
    )


def perceptual_hashes(images: pd.DataFrame) -> pd.DataFrame:
    """The hash of every image that can be decoded: `image_id`, `hash` (32 bytes), in the order of `images`.

    A hash that the table states (column `phash`, hexadecimal) is taken from there. Every other file is hashed
    once: one Parquet table under `cache_root()/hashes` grows by what is new in it. Generated images have no row,
    nor has a file that cannot be decoded: neither can repeat another one.
    """
    stated = images["phash"] if "phash" in images else pd.Series(None, index=images.index, dtype="str")
    hashes = stated.map(bytes.fromhex, na_action="ignore").astype(object)
    files = images[stated.isna() & ~images["path"].str.startswith("phantom:")]
    if len(files):
        key = files["image_id"] + " " + image_identity(files)
        hashes[files.index] = key.map(_known(key.tolist(), files["path"].tolist())).astype(object)
    table = pd.DataFrame({"image_id": images["image_id"], "hash": hashes})
    return table.dropna(subset="hash").reset_index(drop=True)


def near_pairs(hashes: np.ndarray, threshold: int = THRESHOLD) -> np.ndarray:
    """Pairs of rows (i < j), int64 [P, 2], of `hashes` (uint8 [N, 32]) at most `threshold` bits apart."""
    found = [np.empty((0, 2), np.int64)]
    for start, distance in _distance_blocks(hashes):
        i, j = np.nonzero(distance <= threshold)
        keep = j > i
        found.append(np.column_stack([i[keep] + start, j[keep] + start]))
    return np.concatenate(found)


def distance_distribution(images: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of images lie at each Hamming distance: `kind`, `distance` (0 to 256), `pairs`.

    Kinds: 'linked by the publisher' (a common duplicate group or file), 'same patient' (other pairs of one
    patient) and 'unlinked' (all remaining pairs, those across sources included).
    """
    hashes = perceptual_hashes(images)
    table = hashes.merge(images, on="image_id", validate="one_to_one")
    packed = pack(table["hash"])
    total = np.zeros(BITS + 1, np.int64)
    for _, distance in _distance_blocks(packed):
        distance[np.tril_indices(len(distance), m=distance.shape[1])] = BITS + 1  # each pair once
        total += np.bincount(distance.ravel(), minlength=BITS + 2)[: BITS + 1]
    repeats = _pairs_within(table["duplicate_group"]) | _pairs_within(table["sha256"])
    patients = _pairs_within(table["patient_id"]) - repeats
    counts = {"linked by the publisher": _histogram(packed, repeats), "same patient": _histogram(packed, patients)}
    counts["unlinked"] = total - counts["linked by the publisher"] - counts["same patient"]
    return pd.concat(
        [pd.DataFrame({"kind": kind, "distance": np.arange(BITS + 1), "pairs": n}) for kind, n in counts.items()],
        ignore_index=True,
    )


def pack(hashes: pd.Series) -> np.ndarray:
    """Hashes as stored (32 bytes each) as uint8 [N, 32]."""
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), BITS // 8)


def _known(keys: list[str], paths: list[str]) -> dict[str, bytes | None]:
    """Hashes by key, from the cache as far as they are there; None for a file that cannot be decoded."""
    cached = cache_root() / "hashes" / f"phash-{BITS}-v{_VERSION}.parquet"
    with lock(cached):
        known: dict[str, bytes | None] = {}
        if cached.is_file():
            table = pd.read_parquet(cached)
            known = dict(zip(table["key"], table["hash"], strict=True))
        missing = {key: path for key, path in zip(keys, paths, strict=True) if key not in known}
        if missing:
            quiet = not sys.stderr.isatty()
            with ThreadPoolExecutor() as pool:
                found = pool.map(_hash, missing.values())
                bar = tqdm(found, total=len(missing), desc="perceptual hashes", unit="image", disable=quiet)
                known |= dict(zip(missing, bar, strict=True))
            with atomic_path(cached) as part:
                pd.DataFrame({"key": list(known), "hash": list(known.values())}).to_parquet(part)
    return known


def _hash(path: str) -> bytes | None:
    try:
        image = to_uint8(min_max(read_raw(path)))
    except QuarantineError:
        return None
    return np.packbits(imagehash.phash(Image.fromarray(image), hash_size=HASH_SIDE).hash).tobytes()


def _distance_blocks(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, distances int16 [rows, N - first row]) block by block: the upper triangle of the matrix."""
    signs = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(signs), _BLOCK):
        product = signs[start : start + _BLOCK] @ signs[start:].T
        yield start, ((BITS - product) / 2).astype(np.int16)


def _pairs_within(groups: pd.Series) -> set[tuple[int, int]]:
    """Pairs of positions (i < j) that share a value of `groups`; nulls share nothing."""
    members = groups.reset_index(drop=True).groupby(groups.reset_index(drop=True)).groups.values()
    return {(i, j) for rows in members for n, i in enumerate(rows) for j in rows[n + 1 :]}


def _histogram(packed: np.ndarray, pairs: set[tuple[int, int]]) -> np.ndarray:
    if not pairs:
        return np.zeros(BITS + 1, np.int64)
    index = np.array(sorted(pairs))
    differing = np.bitwise_xor(packed[index[:, 0]], packed[index[:, 1]])
    return np.bincount(np.unpackbits(differing, axis=1).sum(axis=1), minlength=BITS + 1)


def _file_size(path: str) -> str:
    try:
        return f"{Path(path).stat().st_size} bytes"
    except OSError:
        return path if path.startswith("phantom:") else "missing"
