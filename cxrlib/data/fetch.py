"""`python -m cxrlib fetch`: get what may be fetched openly, say how to get the rest.

Every file is fetched from the public repository and commit that the package's manifest names, and kept only if
its SHA-256 is the one pinned there. Files already there are not fetched again, so an interrupted fetch is
resumed by the same command; the collection's table is written last, so that it is read only when whole.

Two layouts result. `cxr-open/images/<source>/<name>` with `manifest.csv`: the original files under their own
suffix. The packaged form of that collection holds 288-pixel JPEGs instead; decoding the originals gives other
pixels, so other digests of the edition and of its runs, while image ids, labels and draws are the same.
`covid-chestxray-dataset/images/<name>` with `metadata.csv`: the state of 7 July 2020 as far as public copies
of it hold the images, with the metadata columns that this study needs.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pooch
import requests
from tqdm import tqdm

from cxrlib.data import manifests
from cxrlib.data.readers.catalogue import CATALOGUE, locate, publication, where_to_get
from cxrlib.data.readers.cxr_open import ORIGINALS
from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root
from cxrlib.storage import atomic_path

HOST = "https://raw.githubusercontent.com"
JOBS = 4  # files at once: enough to fill a line, few enough to be polite
RETRIES = 3
MAX_FAILURES = 10  # then the server or the network is down, not a file gone
TIMEOUT_S = 60


@dataclass(frozen=True)
class Remote:
    """A file to fetch: where it goes inside its collection's folder, its URL and the SHA-256 it must have."""

    path: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What makes up a collection: files to fetch, and its table (text written last, under this name)."""

    folder: Path
    files: tuple[Remote, ...]
    table_name: str
    table: Callable[[], pd.DataFrame]

    @property
    def missing(self) -> list[Remote]:
        """The files that are not there yet; those that are there have not been checked."""
        return [file for file in self.files if not (self.folder / file.path).is_file()]


def plan(name: str, root: Path | None = None, host: str = HOST) -> Plan:
    """What `fetch` would do for a collection under the data root (or `root`).

    Raises DataError, with instructions, for a collection that cannot be fetched openly.
    """
    if not publication(name).fetchable:
        raise DataError(f"{publication(name).title} cannot be fetched for you: {where_to_get(name)}.")
    folder = (data_root() if root is None else root) / publication(name).folders[0]
    known = manifests.cxr_open()
    if name == "cxr-open":
        files = _remotes(known, known["source"].map("images/{}/".format), host)
        return Plan(folder, files, "manifest.csv", _manifest)
    chosen = known[(known["source"] == "ieee8023") & (known["in_july2020_metadata"] == "1")]
    files = _remotes(chosen, pd.Series("images/", index=chosen.index), host)
    return Plan(folder, files, "metadata.csv", manifests.covid_chestxray)


def fetch(
    name: str,
    root: Path | None = None,
    host: str = HOST,
    jobs: int = JOBS,
    retries: int = RETRIES,
    accept_missing: bool = False,
) -> Path:
    """Fetch a collection under the data root (or `root`); the folder it lies in.

    Files that are there are checked and fetched again if their content is not the one pinned; a collection that
    came from elsewhere (a table that `fetch` did not write) is left alone. `host` may name a mirror with the
    same paths. With `accept_missing` the table is written although some files could not be fetched; the reader
    then lists them. Raises DataError if a file cannot be fetched or has another content; after
    `MAX_FAILURES` it stops.
    """
    todo = plan(name, root, host)
    if (todo.folder / todo.table_name).is_file() and not _is_ours(todo):
        return todo.folder
    failures = _download(todo, jobs, retries, stop_early=not accept_missing)
    if failures and not accept_missing:
        path, reason = next(iter(failures.items()))
        raise DataError(
            f"{name}: {len(failures)} files could not be fetched, the first {path}: {reason}; what was fetched is kept: "
            "run the same command again to go on, or with --accept-missing to do without them."
        )
    with atomic_path(todo.folder / todo.table_name) as part:
        todo.table().to_csv(part, index=False, lineterminator="\n")
    return todo.folder


def status(name: str, root: Path | None = None) -> str:
    """Whether a collection is there, in a few words."""
    folder = locate(name, root)
    if not publication(name).fetchable:
        return "missing" if folder is None else f"there ({folder.name})"
    todo = plan(name, root)
    if folder is not None and not _is_ours(todo):
        return f"there ({folder.name})"
    missing = len(todo.missing)
    if folder is not None:
        return f"there, without {missing:,} of {len(todo.files):,} files" if missing else "there, as fetched"
    return "missing" if missing == len(todo.files) else f"begun: {missing:,} of {len(todo.files):,} files missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib fetch`."""
    parser.description = "List the collections, fetch those that are openly available, say how to get the others."
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help=f"of {', '.join(CATALOGUE)}; default: all open ones"
    )
    parser.add_argument("--list", action="store_true", help="only list what is there and what is missing")
    parser.add_argument("--root", type=Path, help="data root (default: CXR_DATA, else data/ in the project)")
    parser.add_argument("--host", default=HOST, help="a mirror with the same paths (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=JOBS, help="files at once (default: %(default)s)")
    parser.add_argument("--accept-missing", action="store_true", help="do without files that cannot be fetched")


def main(args: argparse.Namespace) -> int:
    """Run `python -m cxrlib fetch`; 0 when everything asked for is there."""
    if args.jobs < 1:
        raise ParameterError("--jobs must be 1 or more.")
    names = args.collections or [name for name, entry in CATALOGUE.items() if entry.fetchable]
    for name in names:
        publication(name)
    print(f"data root: {args.root or data_root()}")
    for name, entry in CATALOGUE.items():
        print(f"  {name:24} {status(name, args.root):40} {entry.licence}")
    if args.list:
        return 0
    for name in names:
        if locate(name, args.root) is None and publication(name).fetchable:
            print(f"fetching {name}: {len(plan(name, args.root).files):,} files")
        if publication(name).fetchable:
            print(f"{name}: {fetch(name, args.root, args.host, args.jobs, accept_missing=args.accept_missing)}")
    others = [
        name
        for name in args.collections or CATALOGUE
        if not CATALOGUE[name].fetchable and locate(name, args.root) is None
    ]
    for name in others:
        print(f"{CATALOGUE[name].title}: {where_to_get(name)}")
    return int(bool(set(others) & set(args.collections)))


def _remotes(known: pd.DataFrame, folders: pd.Series, host: str) -> tuple[Remote, ...]:
    url = host + "/" + known["source_repo"] + "/" + known["source_commit"] + "/" + known["original_path"].map(quote)
    path = folders + known["original_path"].str.rsplit("/", n=1).str[-1]
    return tuple(Remote(*row) for row in zip(path, url, known["original_sha256"], strict=True))


def _manifest() -> pd.DataFrame:
    """The package's manifest as the reader of cxr-open expects it: paths and digests are those of the originals."""
    known = manifests.cxr_open().drop(columns=["sha256", "phash"])
    name = known["original_path"].str.rsplit("/", n=1).str[-1]
    return known.assign(
        **{ORIGINALS: known["path"]}, path="images/" + known["source"] + "/" + name, sha256=known["original_sha256"]
    )


def _is_ours(todo: Plan) -> bool:
    """Whether the table that is there is one that `fetch` wrote: then a file may be missing, else it is left alone."""
    try:
        there = pd.read_csv(todo.folder / todo.table_name, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        return False
    return there.equals(todo.table())


def _download(todo: Plan, jobs: int, retries: int, stop_early: bool) -> dict[str, str]:
    """Fetch what is missing or has another content; path and reason of each file that could not be had."""
    try:
        for parent in {(todo.folder / file.path).parent for file in todo.files}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write to {todo.folder} ({error.strerror}): set CXR_DATA to a folder you may write to."
        ) from error
    pooch.get_logger().setLevel("WARNING")
    store = pooch.create(
        path=todo.folder,
        base_url="",
        registry={file.path: f"sha256:{file.sha256}" for file in todo.files},
        urls={file.path: file.url for file in todo.files},
        retry_if_failed=retries,
    )
    failures: dict[str, str] = {}
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(todo.files), desc=todo.folder.name, unit="file", disable=not sys.stderr.isatty()) as bar,
    ):
        try:
            for path, reason in _as_done(pool, store, (file.path for file in todo.files), jobs):
                bar.update()
                if reason:
                    failures[path] = reason
                    if stop_early and len(failures) >= MAX_FAILURES:
                        break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return failures


def _as_done(
    pool: ThreadPoolExecutor, store: pooch.Pooch, paths: Iterable[str], jobs: int
) -> Iterable[tuple[str, str | None]]:
    """(path, reason of failure or None) as files are done, never more than a few ahead of the caller."""
    waiting: dict[Future[str | None], str] = {}
    for path in paths:
        waiting[pool.submit(_fetch_one, store, path)] = path
        if len(waiting) >= 4 * jobs:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            yield from ((waiting.pop(future), future.result()) for future in done)
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        yield from ((waiting.pop(future), future.result()) for future in done)


def _fetch_one(store: pooch.Pooch, path: str) -> str | None:
    """None if the file is there now with the right digest, else why not."""
    try:
        store.fetch(path, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S))
    except requests.HTTPError as error:
        return f"HTTP {error.response.status_code}" if error.response is not None else "HTTP error"
    except requests.RequestException as error:
        return f"no answer or a broken one ({type(error).__name__})"
    except ValueError:
        return "its content is not the one pinned (SHA-256 differs)"
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror}): free the disk or choose another CXR_DATA.") from error
    return None
