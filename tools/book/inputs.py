"""What a chapter's output depends on: its code, the modules that it needs, records, data, weights, environment.

Cheap by design: a collection with a table (`manifest.csv`, `metadata.csv`, `train.txt`) is known by the table's bytes,
one without by the names and sizes of its files; no image is read.
"""

import hashlib
import json
import os
import platform
import tomllib
from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nbformat import NotebookNode
from packaging.requirements import Requirement

from cxrlib.paths import data_root, project_root, results_root, weights_root
from cxrlib.storage import digest, file_digest
from tools.book.imports import imported, modules, needed

_READ = ("runs", "pretraining", "analyses", "submissions")
_TABLES = {".csv", ".txt", ".json"}


def surroundings() -> dict[str, str]:
    """Digests of what every chapter depends on: records and recorded analyses, data, weights, environment."""
    return {
        "records": digest([_contents(root, _records(root)) for root in (results_root(), project_root() / "results")]),
        "data": digest({folder.name: _collection(folder) for folder in _folders(data_root())}),
        "weights": _listing(weights_root()),
        "environment": digest(_environment()),
    }


class Sources:
    """The project's modules as they are now; `digest(notebook)` covers those that the notebook needs, and their data."""

    def __init__(self, root: Path) -> None:
        self.known = modules(root, ("cxrlib", "tools", "benchmarks"))
        self.files = [path for path in sorted((root / "cxrlib").rglob("*")) if path.is_file()]

    @cached_property
    def _graph(self) -> dict[str, set[str]]:
        return {name: imported(path.read_text(), self.known, name) for name, path in self.known.items()}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: file_digest(path) for name, path in self.known.items()}

    @cached_property
    def _tables(self) -> str:
        return digest([file_digest(path) for path in self.files if path.suffix not in (".py", ".pyc")])

    def digest(self, notebook: NotebookNode) -> str:
        """Digest of a notebook's code cells and of every module they need, directly or not."""
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        names = needed(imported("\n\n".join(cells), self.known), self.known, self._graph)
        return digest({"cells": cells, "tables": self._tables, "modules": {n: self._digests[n] for n in sorted(names)}})


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _records(root: Path) -> list[Path]:
    """Files of what a chapter reads under a folder of results; what is still being written (hidden) does not count.

    Quick runs (`local`) do not either: what a chapter shows of its own run follows from its code and its parameters.
    """
    files = (path for name in _READ for path in (root / name).rglob("*") if path.is_file() and path.suffix != ".lock")
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _contents(root: Path, files: Iterable[Path]) -> str:
    return digest({path.relative_to(root).as_posix(): file_digest(path) for path in files})


def _collection(folder: Path) -> str:
    tables = [path for path in sorted(folder.iterdir()) if path.suffix in _TABLES]
    return _contents(folder, tables) if tables else _listing(folder)


def _listing(root: Path) -> str:
    names = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            names.update(json.dumps([path.relative_to(root).as_posix(), path.stat().st_size]).encode())
    return names.hexdigest()


def _environment() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version(), "scale": os.environ.get("CXR_PHANTOM_SCALE")}
    project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    for name in (Requirement(text).name for text in project["dependencies"]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
