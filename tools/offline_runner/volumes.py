"""Files packed into zip volumes of a limited size, and the index that a machine checks them against."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cxrlib.errors import DataError
from cxrlib.storage import atomic_path, file_digest

INDEX = "volumes.json"
_OVERHEAD = 256  # bytes a zip entry takes besides its content and twice its name, rounded up
_STORED = frozenset({".jpg", ".jpeg", ".png", ".safetensors", ".pth", ".gz", ".whl", ".so"})


def pack(files: Iterable[tuple[str, Path]], folder: Path, name: str, limit: int) -> dict[str, Any]:
    """Write (path inside, source) pairs into `name`-01.zip, ... in `folder`, each of at most `limit` bytes.

    A file that does not fit into a volume is cut into parts 'path.part000', ... The answer has `volumes` (name,
    bytes, sha256 of each) and `joined` (for each file that was cut: number of parts and sha256). The same files give
    the same bytes. Raises DataError if `limit` is too small to hold anything.
    """
    room = limit - 2048
    if room < 4096:
        raise DataError(f"a volume of {limit} bytes is too small: allow at least 8192.")
    joined: dict[str, Any] = {}
    batches: list[list[tuple[str, Path, int, int]]] = []
    used = room
    for entry in _entries(files, room, joined):
        size = _bound(entry)
        if used + size > room:
            batches.append([])
            used = 0
        batches[-1].append(entry)
        used += size
    volumes = []
    for number, batch in enumerate(batches, 1):
        target = folder / f"{name}-{number:02}.zip"
        with atomic_path(target) as part, zipfile.ZipFile(part, "w") as archive:
            for path, source, start, length in batch:
                _write(archive, path, source, start, length)
        written = target.stat().st_size
        if written > limit:
            raise DataError(f"the volume {target.name} takes {written} bytes, more than {limit}: allow larger volumes.")
        volumes.append({"name": target.name, "bytes": written, "sha256": file_digest(target)})
    return {"volumes": volumes, "joined": joined}


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the index of a folder of volumes; it comes last, so a folder without it is not complete."""
    with atomic_path(folder / INDEX) as part:
        part.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def _entries(
    files: Iterable[tuple[str, Path]], room: int, joined: dict[str, Any]
) -> Iterator[tuple[str, Path, int, int]]:
    for path, source in files:
        size = source.stat().st_size
        if _bound((path, source, 0, size)) <= room:
            yield path, source, 0, size
            continue
        step = int((room - _OVERHEAD - 2 * len(path.encode()) - 16) / 1.001)
        starts = range(0, size, step)
        joined[path] = {"parts": len(starts), "sha256": file_digest(source)}
        for number, start in enumerate(starts):
            yield f"{path}.part{number:03}", source, start, min(step, size - start)


def _bound(entry: tuple[str, Path, int, int]) -> int:
    """Bytes an entry takes at most; what does not compress grows a little."""
    path, _, _, length = entry
    return int(length * 1.001) + 2 * len(path.encode()) + _OVERHEAD


def _write(archive: zipfile.ZipFile, path: str, source: Path, start: int, length: int) -> None:
    about = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
    about.compress_type = zipfile.ZIP_STORED if source.suffix.lower() in _STORED else zipfile.ZIP_DEFLATED
    about.external_attr = 0o644 << 16
    with open(source, "rb") as file:
        file.seek(start)
        content = file.read(length)
    if len(content) != length:
        raise DataError(f"{source} changed while it was packed: make the package again.")
    archive.writestr(about, content)
