"""Every image decoded once: a memory-mapped uint8 array, its table, what was quarantined.

A store is a folder under `cache_root()/images`, named by a digest of what goes into it. It is built in a temporary
folder under a lock and moved into place when complete: a killed build or two at once leave the whole or none.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxrlib.errors import DataError
from cxrlib.images.decoding import PHANTOM, PREPROCESSING_VERSION, QuarantineError, decode, preprocess, read_bytes
from cxrlib.images.phantom import render
from cxrlib.paths import cache_root
from cxrlib.storage import atomic_path, digest, lock

CHUNK = 256  # images decoded between two writes
THREADS = min(8, max(2, os.cpu_count() or 2))  # Pillow and hashlib release the interpreter lock
_QUARANTINED = ["image_id", "collection", "reason"]


@dataclass(frozen=True)
class ImageStore:
    """Preprocessed images, a row each, in the order of their `image_id`.

    `pixels`: uint8 [N, size, size], memory-mapped, read only. `table`: N rows with `image_id`, `width` and `height` as
    decoded, `sha256` of the file. `quarantined`: `image_id`, `collection`, `reason` of the images that could not serve.
    """

    pixels: np.ndarray
    table: pd.DataFrame
    quarantined: pd.DataFrame

    def rows(self, image_ids: Iterable[str]) -> np.ndarray:
        """Rows of `pixels`, int64, of the images named; DataError if one is quarantined or unknown."""
        known = pd.Index(self.table["image_id"])
        wanted = pd.Index(list(image_ids), dtype=known.dtype)
        rows = known.get_indexer(wanted)
        if (missing := wanted[rows < 0]).size:
            reasons = self.quarantined.set_index("image_id")["reason"]
            reason = reasons.get(missing[0], "open the store with its row")
            raise DataError(f"{len(missing)} of the images are not in this store, first {missing[0]} ({reason}).")
        return rows.astype(np.int64)

    def take(self, image_ids: Iterable[str]) -> np.ndarray:
        """Pixels uint8 [n, size, size] of the images named, in that order, in memory; DataError as `rows`."""
        return np.asarray(self.pixels[self.rows(image_ids)])


def open_store(images: pd.DataFrame, size: int) -> ImageStore:
    """The store of `images` (rows of an edition's table) at `size` x `size`, built now if it is not there.

    A file whose SHA-256 differs from its table's is quarantined. A store with quarantined files is built again once one
    of those files has changed. Raises DataError if no image at all can be read, or if the store is damaged.
    """
    if images.empty:
        raise DataError("the image table is empty: nothing to preprocess.")
    images = images.sort_values("image_id", ignore_index=True)
    folder = cache_root() / "images" / _key(images, size)
    if not _complete(folder, images):
        with lock(folder):
            if not _complete(folder, images):  # another process may have built it meanwhile
                for abandoned in folder.parent.glob(f".{folder.name}.*"):  # of a build that was killed
                    shutil.rmtree(abandoned, ignore_errors=True)
                with atomic_path(folder, marker="store.json") as part:
                    _build(images, size, part)
    try:
        table, bad = (pd.read_parquet(folder / f"{name}.parquet") for name in ("table", "quarantined"))
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")[: len(table)]
    except (OSError, ValueError) as error:
        raise DataError(f"the image store {folder} is damaged: delete that folder and run again.") from error
    return ImageStore(pixels, table, bad[_QUARANTINED])


def _key(images: pd.DataFrame, size: int) -> str:
    """Readable name plus 16 hexadecimal digits; a row without a SHA-256 counts by its file's size and time."""
    content = [
        [name, stamp(path) if pd.isna(sha256) else sha256]
        for name, path, sha256 in zip(images["image_id"], images["path"], images["sha256"], strict=True)
    ]
    identity = digest({"images": content, "size": size, "verify": True, "version": PREPROCESSING_VERSION})
    return f"{size}px-{identity[:16]}"


def stamp(path: str) -> str:
    """Size and modification time of a file, as a text; the path of a generated image; 'missing'."""
    if path.startswith(PHANTOM):
        return path
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _complete(folder: Path, images: pd.DataFrame) -> bool:
    """Whether the store is there and none of the files it quarantined has changed since."""
    if not (folder / "store.json").is_file():
        return False
    then = pd.read_parquet(folder / "quarantined.parquet").set_index("image_id")["stamp"]
    now = images.loc[images["image_id"].isin(then.index)].set_index("image_id")["path"].map(stamp)
    return now.to_dict() == then.to_dict()


def _build(images: pd.DataFrame, size: int, folder: Path) -> None:
    """Write the pixels as they come, so that memory stays at a chunk, then what is known of each image."""
    folder.mkdir()
    usable: list[tuple[str, int, int, str | None]] = []
    bad: list[tuple[str, str, str, str]] = []
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (len(images), size, size))
    quiet = not sys.stderr.isatty()
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=len(images), desc=f"images at {size} px", unit="image", file=sys.stderr, disable=quiet) as bar,
    ):
        for start in range(0, len(images), CHUNK):
            part = images.iloc[start : start + CHUNK]
            decoded = pool.map(load_image, part["path"], part["sha256"], repeat(size))
            rows = zip(part["image_id"], part["collection"], part["path"], decoded, strict=True)
            for name, collection, path, (found, *facts) in rows:
                bar.update()
                if isinstance(found, str):
                    bad.append((name, collection, found, stamp(path)))
                else:
                    pixels[len(usable)] = found
                    usable.append((name, *facts))
    if not usable:
        raise DataError(f"none of the {len(images)} images can be used; the first, {bad[0][0]}: {bad[0][2]}.")
    pixels.flush()
    pd.DataFrame(usable, columns=["image_id", "width", "height", "sha256"]).to_parquet(folder / "table.parquet")
    pd.DataFrame(bad, columns=[*_QUARANTINED, "stamp"], dtype="str").to_parquet(folder / "quarantined.parquet")


def load_image(path: str, expected: str | None, size: int) -> tuple[np.ndarray | str, int, int, str | None]:
    """Preprocessed pixels (or the reason why there are none), width and height as decoded, SHA-256 of the file.

    A SHA-256 other than the `expected` one, if any, is a reason. A file's bytes are read once for both.
    """
    sha256 = expected
    try:
        if path.startswith(PHANTOM):
            image = render([path], size)[0]
        else:
            content = read_bytes(path)
            sha256 = hashlib.sha256(content).hexdigest()
            if not pd.isna(expected) and sha256 != expected:
                raise QuarantineError("sha256 differs from its table")
            image = decode(content)
        return preprocess(image, size), image.shape[1], image.shape[0], sha256
    except QuarantineError as error:
        return error.reason, 0, 0, sha256
