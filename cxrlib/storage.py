"""Atomic writes, inter-process locks and stable digests."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from cxrlib.errors import ParameterError


@contextmanager
def atomic_path(target: Path | str, marker: str | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it only if the block succeeds.

    Works for a file or, if the block makes a folder at the path, for a folder. An existing file is replaced; an existing
    folder only if it is empty or holds the file `marker`, which says that it is an earlier result of the same kind:
    whatever else lies there is the user's (ParameterError). Where the block does not write the marker, one is written
    that lists the folder's files with their digests. After an exception nothing is left behind and an old target stays.
    """
    target = Path(os.path.realpath(target))  # what a link leads to is replaced, not the link
    if target.is_dir():
        check_folder(target, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        part = scratch / target.name
        yield part
        if marker and part.is_dir() and not (part / marker).is_file():
            files = {path.name: file_digest(path) if path.is_file() else None for path in sorted(part.iterdir())}
            (part / marker).write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
        replaced = scratch / "replaced"
        if part.is_dir() and target.is_dir():
            target.rename(replaced)
        try:
            os.replace(part, target)
        except OSError:
            if replaced.is_dir():
                replaced.rename(target)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_folder(target: Path | str, marker: str | None, data: Path | str | None = None) -> None:
    """Raise ParameterError unless a folder may be written at `target`, an earlier one with `marker` being replaced.

    `data`: a folder, or a table in a folder, that the target must neither contain nor lie in. Call it before the work
    whose result goes there, so that nobody learns of a wrong name at the end. A marker (JSON) that lists files under
    "files" protects every other; one that states nothing else, also those that were edited since.
    """
    target = Path(target).expanduser()
    if target.exists() and not target.is_dir():
        raise ParameterError(f"{target} is a file: name a folder.")
    if data is not None:
        place, source = target.resolve(), Path(data).expanduser().resolve()
        source = source.parent if source.is_file() else source
        if place == source or place in source.parents or source in place.parents:
            raise ParameterError(f"{target} and the data in {source} lie one in the other: name a folder elsewhere.")
    held = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if held and (marker is None or marker not in held):
        raise ParameterError(
            f"{target} holds files (such as {held[0]}) that were not written by this command: name another folder."
        )
    if marker in held:
        try:
            stated = json.loads((target / str(marker)).read_text(encoding="utf-8"))
            names = stated["files"] if "files" in stated or not stated else held
            listed = names if isinstance(names, dict) else dict.fromkeys(names)
        except (OSError, ValueError, KeyError, TypeError):
            damaged = f"{target / str(marker)} is damaged: name another folder, or remove this one."
            raise ParameterError(damaged) from None
        for name in sorted({*held} - {marker}):
            edited = listed.get(name) and stated.keys() == {"files"} and listed[name] != file_digest(target / name)
            if name not in listed or edited:
                what = f"{target} holds {name}, which this command did not write{' like that' if edited else ''}"
                raise ParameterError(f"{what}: move it, or name another folder.")
    check_writable(target)


def check_writable(folder: Path | str) -> None:
    """Raise ParameterError unless a file can be made in `folder`, or where it is missing in the nearest parent there is."""
    folder = Path(folder).expanduser().absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"0" * 4096)
            file.flush()
    except OSError as error:
        raise ParameterError(
            f"{folder} cannot be written ({error.strerror}): name another folder, or make room."
        ) from error


def lock(target: Path | str) -> FileLock:
    """An inter-process lock that guards the building of `target` (use as a context manager)."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(str(target) + ".lock")


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of `value` (dicts, lists, strings, numbers, None)."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path | str) -> str:
    """SHA-256, in hexadecimal, of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
