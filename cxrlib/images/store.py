"""Every image decoded once: a memory-mapped uint8 array, its table, what was quarantined, a digest.

A store is a folder under `cache_root()/images`, named by a digest of what goes into it. It is built in a
temporary folder and moved into place when complete, under an inter-process lock, so a killed build or
two builds at once leave either the whole store or none.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from cxrlib.data.schema import validate_exclusions
from cxrlib.errors import DataError
from cxrlib.images.decoding import (
    PHANTOM,
    PREPROCESSING_VERSION,
    QuarantineError,
    decode,
    min_max,
    preprocess,
    read_bytes,
    render_phantoms,
    to_uint8,
)
from cxrlib.paths import cache_root
from cxrlib.storage import atomic_path, digest, lock

CHUNK = 256  # images decoded between two writes
THREADS = min(8, max(2, os.cpu_count() or 2))  # Pillow and hashlib release the interpreter lock


@dataclass(frozen=True)
class ImageStore:
    """Preprocessed images, a row each, in the order of their `image_id`.

    `pixels`: uint8 [N, size, size], memory-mapped, read only. `table`: N rows with `image_id`, `row`, `width`
    and `height` as decoded, `sha256` of the file. `quarantined`: `schema.EXCLUSIONS` of the images that could
    not serve. `digest`: SHA-256 of identifiers, pixels and quarantine, equal on every machine that decodes alike.
    """

    size: int
    pixels: np.ndarray
    table: pd.DataFrame
    quarantined: pd.DataFrame
    digest: str

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.table["image_id"])

    def rows(self, image_ids: Iterable[str]) -> np.ndarray:
        """Rows of `pixels`, int64, of the images named; DataError if one is quarantined or unknown."""
        wanted = pd.Index(list(image_ids), dtype=self._index.dtype)
        rows = self._index.get_indexer(wanted)
        if (rows < 0).any():
            raise DataError(self._missing(wanted[rows < 0]))
        return rows.astype(np.int64)

    def take(self, image_ids: Iterable[str]) -> np.ndarray:
        """Pixels uint8 [n, size, size] of the images named, in that order, in memory; DataError as `rows`."""
        return np.asarray(self.pixels[self.rows(image_ids)])

    def _missing(self, image_ids: pd.Index) -> str:
        reasons = self.quarantined.set_index("image_id")["reason"]
        bad = image_ids[image_ids.isin(reasons.index)]
        if len(bad):
            return f"{len(bad)} of the images are quarantined, first {bad[0]} ({reasons[bad[0]]}): leave them out."
        return f"{len(image_ids)} of the images are not in this store, first {image_ids[0]}: open it with their rows."


class _Loaded(NamedTuple):
    """What became of one image: pixels, or the reason why there are none."""

    pixels: np.ndarray | None
    width: int
    height: int
    sha256: str | None
    reason: str


def open_store(images: pd.DataFrame, size: int, verify: bool = True) -> ImageStore:
    """The store of `images` (rows of `schema.IMAGE_TABLE`) at `size` x `size`, built now if it is not there.

    `verify` quarantines a file whose SHA-256 differs from its table's. A store with quarantined files is
    built again once one of those files has changed. Raises DataError if no image at all can be read.
    """
    images = _checked(images)
    folder = cache_root() / "images" / _key(images, size, verify)
    if not _complete(folder, images):
        with lock(folder):
            if not _complete(folder, images):  # another process may have built it meanwhile
                for abandoned in folder.parent.glob(f".{folder.name}.*"):  # of a build that was killed
                    shutil.rmtree(abandoned, ignore_errors=True)
                with atomic_path(folder, "store.json") as part:
                    _build(images, size, verify, part)
    return _load(folder, size)


def _checked(images: pd.DataFrame) -> pd.DataFrame:
    absent = {"image_id", "path", "sha256", "collection"} - set(images)
    if absent:
        raise DataError(f"the image table lacks the column(s) {', '.join(sorted(absent))}: pass an edition's images.")
    if images["image_id"].duplicated().any():
        raise DataError(f"image_id '{images.loc[images['image_id'].duplicated(), 'image_id'].iloc[0]}' occurs twice.")
    if images.empty:
        raise DataError("the image table is empty: nothing to preprocess.")
    return images.sort_values("image_id", ignore_index=True)


def _key(images: pd.DataFrame, size: int, verify: bool) -> str:
    """Readable name plus 16 hexadecimal digits; a row without a SHA-256 counts by its file's size and time."""
    content = [
        [name, _stamp(path) if pd.isna(sha256) else sha256]
        for name, path, sha256 in zip(images["image_id"], images["path"], images["sha256"], strict=True)
    ]
    identity = digest({"images": content, "size": size, "verify": verify, "version": PREPROCESSING_VERSION})
    return f"{size}px-{identity[:16]}"


def _stamp(path: str) -> str:
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
    now = images.loc[images["image_id"].isin(then.index)].set_index("image_id")["path"].map(_stamp)
    return now.to_dict() == then.to_dict()


def _load(folder: Path, size: int) -> ImageStore:
    try:
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        table = pd.read_parquet(folder / "table.parquet")
        quarantined = validate_exclusions(pd.read_parquet(folder / "quarantined.parquet").drop(columns="stamp"))
        content = json.loads((folder / "store.json").read_text())["digest"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the image store {folder} is damaged: delete that folder and run again.") from error
    if pixels.shape != (len(table), size, size):
        raise DataError(f"the image store {folder} is damaged: delete that folder and run again.")
    return ImageStore(size, pixels, table, quarantined, content)


def _build(images: pd.DataFrame, size: int, verify: bool, folder: Path) -> None:
    """Write the four files of a store, the pixels as they come, so memory stays at a chunk."""
    folder.mkdir()
    kept: list[tuple[str, int, int, int, str | None]] = []
    bad: list[tuple[str, str, str, str]] = []
    content = hashlib.sha256()
    with open(folder / "pixels.npy", "wb") as file:
        _write_header(file, len(images), size)
        for row, loaded in zip(images.itertuples(), _load_all(images, size, verify), strict=True):
            if loaded.pixels is None:
                bad.append((str(row.image_id), str(row.collection), loaded.reason, _stamp(str(row.path))))
                continue
            file.write(loaded.pixels.tobytes())
            content.update(str(row.image_id).encode() + b"\0" + loaded.pixels.tobytes())
            kept.append((str(row.image_id), len(kept), loaded.width, loaded.height, loaded.sha256))
        if not kept:
            raise DataError(f"none of the {len(images)} images can be used; the first, {bad[0][0]}: {bad[0][2]}.")
        file.seek(0)
        _write_header(file, len(kept), size)
    content.update(json.dumps([entry[:3] for entry in bad]).encode())
    pd.DataFrame(kept, columns=["image_id", "row", "width", "height", "sha256"]).to_parquet(folder / "table.parquet")
    names = ["image_id", "collection", "reason", "stamp"]
    pd.DataFrame(bad, columns=names, dtype="str").to_parquet(folder / "quarantined.parquet")
    (folder / "store.json").write_text(json.dumps({"digest": content.hexdigest(), "version": PREPROCESSING_VERSION}))


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    """The .npy header; NumPy pads it so that the first axis may change in place."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)


def _load_all(images: pd.DataFrame, size: int, verify: bool) -> Iterator[_Loaded]:
    """Every image of the table in its order, decoded by threads or rendered in chunks."""
    quiet = not sys.stderr.isatty()
    with (
        tqdm(total=len(images), desc=f"images at {size} px", unit="image", file=sys.stderr, disable=quiet) as bar,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for start in range(0, len(images), CHUNK):
            part = images.iloc[start : start + CHUNK]
            generated = part["path"].str.startswith(PHANTOM)
            phantoms = iter(_generate(part[generated], size) if generated.any() else ())
            stored = part[~generated]
            files = pool.map(_decode_file, stored["path"], stored["sha256"], repeat(size), repeat(verify))
            for made in generated:
                yield next(phantoms if made else files)
                bar.update()


def _decode_file(path: str, expected: str | None, size: int, verify: bool) -> _Loaded:
    """One file, its bytes read once for both the hash and the pixels."""
    sha256 = None
    try:
        content = read_bytes(path)
        sha256 = hashlib.sha256(content).hexdigest()
        if verify and not pd.isna(expected) and sha256 != expected:
            raise QuarantineError("sha256 differs from its table")
        image = decode(content)
        return _Loaded(preprocess(image, size), image.shape[1], image.shape[0], sha256, "")
    except QuarantineError as error:
        return _Loaded(None, 0, 0, sha256, error.reason)


def _generate(part: pd.DataFrame, size: int) -> list[_Loaded]:
    """Phantoms, rendered at the size asked for and scaled like any other image."""
    loaded = []
    for image, sha256 in zip(render_phantoms(part["path"].tolist(), size), part["sha256"], strict=True):
        try:
            loaded.append(_Loaded(to_uint8(min_max(image)), size, size, sha256, ""))
        except QuarantineError as error:
            loaded.append(_Loaded(None, 0, 0, sha256, error.reason))
    return loaded
