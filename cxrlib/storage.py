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


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it only if the block succeeds.

    Works for a file or, if the block makes a folder at the path, for a folder; an existing target is
    replaced. After an exception nothing is left behind and an old target stays as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        part = scratch / target.name
        yield part
        if part.is_dir() and target.is_dir():
            target.rename(scratch / "replaced")
        os.replace(part, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
