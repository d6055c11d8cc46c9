"""Sphinx extension: a chapter is executed when, and only when, something that its output depends on has changed.

The execution cache of MyST-NB knows a notebook's own code only, and executes one notebook after the other. Here the
changed chapters are executed before Sphinx reads any, as many at once as there are cores, and each executed notebook
lies under `_build/.executed`, named after the digest of what it depends on (`inputs`). `make book` and a plain
`jupyter-book build .` do the same.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import myst_nb.core.execute
import nbformat
from myst_nb.core.execute.base import NotebookClientBase
from myst_nb.core.read import create_nb_reader
from nbclient import NotebookClient
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

from cxrlib import __version__
from cxrlib.paths import project_root
from cxrlib.storage import atomic_path, digest
from tools.book.inputs import Sources, surroundings

REPORT = "cxrlib.json"  # in the build folder, beside `html/`
KEPT = 4  # executed notebooks a chapter: one for each edition that a reader may switch between, and one to spare
JOBS = "CXR_BOOK_JOBS"  # environment variable: chapters executed at once
_log = logging.getLogger(__name__)


@dataclass
class Chapter:
    """A notebook of the book: its document name, its file, its content as read, the digest of what it depends on."""

    name: str
    file: Path
    notebook: NotebookNode
    sources: str
    digest: str = ""
    ran: float | None = None  # seconds, if this build executed it

    def place(self, folder: Path) -> Path:
        """Where the executed notebook lies."""
        return folder / f"{self.name.replace('/', '-')}-{self.digest[:16]}.ipynb"


class Execution:
    """All chapters of a build; `run` executes those that changed."""

    def __init__(self, app: Sphinx) -> None:
        self.folder = Path(app.outdir).parent / ".executed"
        self.start = time.time()
        sources = Sources(project_root())
        self.chapters = {
            name: Chapter(name, file, notebook, sources.digest(notebook)) for name, file, notebook in _notebooks(app)
        }

    def run(self) -> None:
        """Execute what changed, several chapters at once; raises ExtensionError with the traceback of a failed cell.

        A record that a chapter has just made is no change: what the chapters show is the state after the build.
        """
        before = self._stamp()
        self.folder.mkdir(parents=True, exist_ok=True)
        changed = [chapter for chapter in self.chapters.values() if not chapter.place(self.folder).is_file()]
        _log.info("cxrlib: %d of %d chapters are executed", len(changed), len(self.chapters))
        jobs = min(int(os.environ.get(JOBS) or os.cpu_count() or 1), max(1, len(changed)))
        changed.sort(key=lambda chapter: -self._last_seconds(chapter))
        failed = []
        with ThreadPoolExecutor(jobs) as pool:
            waiting = {pool.submit(_execute, chapter.notebook, chapter.file, jobs): chapter for chapter in changed}
            for k, done in enumerate(as_completed(waiting), 1):
                chapter, error = waiting[done], done.exception()
                if error is not None:  # what runs already may end, nothing else begins
                    failed.append(f"executing {chapter.name} failed.\n{error}")
                    pool.shutdown(wait=False, cancel_futures=True)
                    break  # cancelled futures never count as completed
                executed, chapter.ran = done.result()
                with atomic_path(chapter.place(self.folder)) as part:
                    nbformat.write(executed, part)
                so_far = f"{time.time() - self.start:.0f} s since the start"
                _log.info("cxrlib: %d of %d: %s, %.0f s (%s)", k, len(changed), chapter.name, chapter.ran, so_far)
        if failed:
            raise ExtensionError("\n".join(failed))
        if changed:
            self._restamp(before)
        for chapter in self.chapters.values():
            self._drop_old(chapter)

    def _stamp(self) -> dict[str, str]:
        around = surroundings()
        for chapter in self.chapters.values():
            chapter.digest = digest({"sources": chapter.sources, **around})
        return around

    def _restamp(self, before: dict[str, str]) -> None:
        old = {chapter.name: chapter.place(self.folder) for chapter in self.chapters.values()}
        after = self._stamp()
        if {**before, "records": ""} != {**after, "records": ""}:
            raise ExtensionError("data, weights or the environment changed while the chapters ran: build again.")
        for chapter in self.chapters.values():
            old[chapter.name].replace(chapter.place(self.folder))

    def _executed(self, chapter: Chapter) -> list[Path]:
        files = self.folder.glob(f"{chapter.name.replace('/', '-')}-" + "?" * 16 + ".ipynb")
        return sorted(files, key=lambda path: path.stat().st_mtime)

    def _last_seconds(self, chapter: Chapter) -> float:
        """How long the chapter took the last time: the longest begin first."""
        files = self._executed(chapter)
        return float(nbformat.read(files[-1], 4).metadata["seconds"]) if files else float("inf")

    def _drop_old(self, chapter: Chapter) -> None:
        os.utime(chapter.place(self.folder))
        for path in self._executed(chapter)[:-KEPT]:
            path.unlink()


def _notebooks(app: Sphinx) -> Iterator[tuple[str, Path, NotebookNode]]:
    """Document name, file and content of every document that MyST-NB reads as a notebook."""
    app.env.find_files(app.config, app.builder)
    for name in sorted(app.env.found_docs):
        file = Path(app.env.doc2path(name))
        text = file.read_text(encoding="utf-8")
        reader = create_nb_reader(str(file), app.env.myst_config, app.env.mystnb_config, text)  # type: ignore[attr-defined]
        if reader is not None:
            yield name, file, reader.read(text)


def _execute(notebook: NotebookNode, file: Path, jobs: int) -> tuple[NotebookNode, float]:
    """The notebook executed in its own folder, and the seconds it took; threads share the cores between `jobs` kernels."""
    start = time.time()
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(file.parent)}})
    client.execute(env={**os.environ, "OMP_NUM_THREADS": threads})
    notebook.metadata["seconds"] = round(time.time() - start, 1)
    return notebook, time.time() - start


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


class _Executed(NotebookClientBase):
    """What MyST-NB asks for a notebook's outputs: they are there already."""

    places: ClassVar[dict[str, Path]] = {}  # of this build: file of the source, place of the executed notebook

    def start_client(self) -> None:
        place = self.places[str(self.path)]
        executed = nbformat.read(place, as_version=4)
        for cell, ran in zip(_code(self.notebook), _code(executed), strict=True):
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
        for key in ("language_info", "widgets"):
            if key in executed.metadata:
                self.notebook.metadata[key] = executed.metadata[key]
        self.exec_metadata = {
            "mtime": place.stat().st_mtime,
            "runtime": executed.metadata["seconds"],
            "method": "cache",
            "succeeded": True,
            "error": None,
            "traceback": None,
        }


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    myst_nb.core.execute.NotebookClientCache = _Executed
    app.connect("builder-inited", _run, priority=900)  # after MyST-NB has read its configuration
    app.connect("env-get-outdated", _outdated)
    app.connect("build-finished", _finish)
    return {"version": __version__, "parallel_read_safe": False, "parallel_write_safe": True}


def _run(app: Sphinx) -> None:
    execution = Execution(app)
    app._cxr_execution = execution  # type: ignore[attr-defined]
    execution.run()
    _Executed.places = {str(c.file): c.place(execution.folder) for c in execution.chapters.values()}


def _outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Chapters whose output is another than the one that was read last, and pages that show numbers of theirs."""
    execution: Execution = app._cxr_execution  # type: ignore[attr-defined]
    now = {chapter.name: chapter.digest for chapter in execution.chapters.values()}
    before: dict[str, str] = getattr(env, "cxr_digests", {})
    env.cxr_digests = now  # type: ignore[attr-defined]
    again = [name for name in now if before.get(name) != now[name]]
    if again or changed & set(now):
        texts = {name: Path(env.doc2path(name)).read_text(encoding="utf-8") for name in env.found_docs}
        again += [name for name, text in texts.items() if name not in again and ":doc:" in text and "glue:" in text]
    return again


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if app._warncount:  # the next build must read, and complain, again: Sphinx would call it clean
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)
    if exception is not None or app.builder.format != "html":
        return
    execution: Execution = app._cxr_execution  # type: ignore[attr-defined]
    report = {
        "pages": sorted(app.env.found_docs),
        "notebooks": sorted(execution.chapters),
        "executed": {c.name: round(c.ran, 1) for c in execution.chapters.values() if c.ran is not None},
        "seconds": round(time.time() - execution.start, 1),
    }
    with atomic_path(Path(app.outdir).parent / REPORT) as part:
        part.write_text(json.dumps(report, indent=1) + "\n")
