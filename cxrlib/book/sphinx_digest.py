"""Sphinx extension: notebooks are executed again when the library, the data or the records change.

The execution cache of MyST-NB knows a notebook's own code only. Here the cache's folder is named after a digest
of everything else a chapter's output depends on, for `make book` and a plain `jupyter-book build .` alike.
"""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

from cxrlib import __version__
from cxrlib.paths import data_root, project_root, results_root, weights_root
from cxrlib.storage import atomic_path, digest, file_digest
from tools.pins import direct_requirements

REPORT = "cxrlib.json"  # in the build folder, beside `html/`
CACHES_KEPT = 4  # one for each edition a reader may switch between, and one to spare
_TABLES = {".csv", ".txt", ".json"}
_log = logging.getLogger(__name__)


def inputs() -> dict[str, str]:
    """Digests of what the chapters depend on besides their own code: sources, records, data, weights, environment.

    Cheap by design: a collection with a table (`manifest.csv`, `metadata.csv`, `train.txt`) is known by the
    table's bytes, one without by the names and sizes of its files; no image is read.
    """
    package = Path(__file__).parents[1]
    return {
        "sources": _contents(package, package.rglob("*.py")),
        "records": _contents(results_root(), _records()),
        "data": digest({str(folder.name): _collection(folder) for folder in _folders(data_root())}),
        "weights": _listing(weights_root()),
        "environment": digest(
            {**_versions(), "scale": os.environ.get("CXR_PHANTOM_SCALE"), "python": platform.python_version()}
        ),
    }


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _records() -> list[Path]:
    """Files of finished records; locks and folders still being written (hidden) do not count."""
    files = results_root().rglob("*") if results_root().is_dir() else ()
    return [
        path
        for path in files
        if path.is_file()
        and path.suffix != ".lock"
        and not any(part.startswith(".") for part in path.relative_to(results_root()).parts)
    ]


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
            names.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode())
    return names.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in direct_requirements(project_root()):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.add_config_value("cxr_digest", "", "env", types=(str,))  # "env": pages are read again when it changes
    app.connect("config-inited", _name_cache)
    app.connect("build-finished", _finish)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}


def _name_cache(app: Sphinx, config: Config) -> None:
    app._cxr_inputs, app._cxr_start = inputs(), time.time()  # type: ignore[attr-defined]
    config["cxr_digest"] = digest(app._cxr_inputs)  # type: ignore[attr-defined]
    config["nb_execution_cache_path"] = str(_cache(app, config["cxr_digest"]))
    # Jupyter Book puts every script below _static into every page; MathJax is loaded where there are equations.
    config["html_js_files"] = [file for file in config["html_js_files"] if not str(file).startswith("mathjax/")]
    _log.info("cxrlib: executed notebooks are cached under %s", config["cxr_digest"][:12])


def _cache(app: Sphinx, name: str) -> Path:
    return Path(app.outdir).parent / ".jupyter_cache" / name[:16]


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if app._warncount:  # the next build must read, and complain, again: Sphinx would call it clean
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)
    if exception is not None or app.builder.format != "html":
        return
    before: dict[str, str] = app._cxr_inputs  # type: ignore[attr-defined]
    after = inputs()
    _keep_cache(app, before, after)
    executions = {
        name: data["exec_data"]
        for name, data in NbMetadataCollector.get_doc_data(app.env).items()
        if data.get("exec_data")
    }
    start: float = app._cxr_start  # type: ignore[attr-defined]
    report = {
        "inputs": after,
        "pages": sorted(app.env.found_docs),
        "notebooks": sorted(executions),
        "executed": {
            name: round(data["runtime"], 1) for name, data in sorted(executions.items()) if data["mtime"] >= start
        },
        "seconds": round(time.time() - start, 1),
    }
    with atomic_path(Path(app.outdir).parent / REPORT) as part:
        part.write_text(json.dumps(report, indent=1) + "\n")


def _keep_cache(app: Sphinx, before: dict[str, str], after: dict[str, str]) -> None:
    """Name the cache after the records that the chapters have just added, and drop the oldest caches.

    The chapters are executed in order and the ones that list records follow the one that makes them, so what they
    show is already the state after the build; without this the next build would execute everything once more.
    """
    old, new = _cache(app, digest(before)), _cache(app, digest(after))
    if old != new and old.is_dir() and {**before, "records": ""} == {**after, "records": ""}:
        shutil.rmtree(new, ignore_errors=True)
        old.rename(new)
    caches = [path for path in new.parent.glob("*") if path.is_dir()]
    if new.is_dir():
        os.utime(new)
    for path in sorted(caches, key=lambda path: path.stat().st_mtime)[:-CACHES_KEPT]:
        shutil.rmtree(path)
