"""`python -m tools.fetch` (`make data`): what may be fetched openly, original files from public repositories, each checked.

Every file comes from the repository and commit that the package's manifest names, and stays only if its SHA-256 is the
one pinned there. Files already there are not fetched again, so the same command resumes an interrupted fetch; the
collection's table is written last, so that it is read only when whole.

Two layouts result. `cxr-open/images/<source>/<name>` with `manifest.csv`: the original files under their own
suffix. The packaged form of that collection holds 288-pixel JPEGs instead; decoding the originals gives other
pixels, so other digests of the edition and of its runs, while image ids, labels and draws are the same.
`covid-chestxray-dataset/images/<name>` with `metadata.csv`: the state of 7 July 2020 as far as public copies
of it hold the images, with the metadata columns that this study needs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pandas as pd
import pooch
import requests
from tqdm import tqdm

from cxrlib.cli.main import exit_status
from cxrlib.data import manifests
from cxrlib.data.readers.base import CATALOGUE, locate, publication, where_to_get
from cxrlib.data.readers.cxr_open import ORIGINALS
from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root
from cxrlib.storage import atomic_path

HOST = "https://raw.githubusercontent.com"
JOBS = 4  # files at once: enough to fill a line, few enough to be polite
RETRIES = 3
MAX_FAILURES = 10  # then the server or the network is down, not a file gone
TIMEOUT_S = 60


class Remote(NamedTuple):
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
    def missing(self) -> int:
        """How many of the files are not there yet; those that are there have not been checked."""
        return sum(not (self.folder / file.path).is_file() for file in self.files)

    @property
    def foreign(self) -> bool:
        """Whether a table is there that this plan did not write: then the folder is left alone."""
        path = self.folder / self.table_name
        if not path.is_file():
            return False
        try:
            return not pd.read_csv(path, dtype=str, keep_default_na=False).equals(self.table())
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
            return True


def plan(name: str, root: Path | None = None, host: str = HOST) -> Plan:
    """What `fetch` would do for a collection under the data root (or `root`).

    Raises DataError, with instructions, for a collection that cannot be fetched openly.
    """
    if not publication(name).fetchable:
        raise DataError(f"{publication(name).title} cannot be fetched for you: {where_to_get(name)}.")
    folder = (data_root() if root is None else root) / publication(name).folders[0]
    known = manifests.cxr_open()
    if name == "cxr-open":
        table_name, table, folders = "manifest.csv", _manifest, "images/" + known["source"] + "/"
    else:
        known = known[(known["source"] == "ieee8023") & (known["in_july2020_metadata"] == "1")]
        table_name, table, folders = "metadata.csv", manifests.covid_chestxray, pd.Series("images/", known.index)
    url = host + "/" + known["source_repo"] + "/" + known["source_commit"] + "/" + known["original_path"].map(quote)
    path = folders + known["original_path"].str.rsplit("/", n=1).str[-1]
    return Plan(folder, tuple(map(Remote, path, url, known["original_sha256"])), table_name, table)


def fetch(
    name: str, root: Path | None = None, host: str = HOST, jobs: int = JOBS, retries: int = RETRIES,
    accept_missing: bool = False,
) -> Path:  # fmt: skip
    """Fetch a collection under the data root (or `root`); the folder it lies in.

    A file that is there is fetched again if its content is not the one pinned; a collection from elsewhere (a table
    that `fetch` did not write) is left alone. `host`: a mirror with the same paths. With `accept_missing` the table is
    written although files are lacking; the reader then lists them. Raises DataError if a file cannot be fetched or has
    another content; after `MAX_FAILURES` it stops.
    """
    todo = plan(name, root, host)
    if todo.foreign:
        return todo.folder
    failures = _download(todo, jobs, retries, stop_early=not accept_missing)
    if failures and not accept_missing:
        path, reason = next(iter(failures.items()))
        raise DataError(
            f"{name}: {len(failures)} files could not be fetched, the first {path}: {reason}; what was fetched stays: "
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
    if folder is not None and todo.foreign:
        return f"there ({folder.name})"
    missing = todo.missing
    if folder is not None:
        return f"there, without {missing:,} of {len(todo.files):,} files" if missing else "there, as fetched"
    return "missing" if missing == len(todo.files) else f"begun: {missing:,} of {len(todo.files):,} files missing"


def _manifest() -> pd.DataFrame:
    """The package's manifest as the reader of cxr-open expects it: paths and digests are those of the originals."""
    known = manifests.cxr_open().drop(columns=["sha256", "phash"])
    path = "images/" + known["source"] + "/" + known["original_path"].str.rsplit("/", n=1).str[-1]
    return known.assign(**{ORIGINALS: known["path"]}, path=path, sha256=known["original_sha256"])


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
    pool = ThreadPoolExecutor(jobs)
    try:
        answers = pool.map(lambda path: _fetch_one(store, path), store.registry)
        bar = tqdm(answers, todo.folder.name, len(todo.files), unit="file", disable=not sys.stderr.isatty())
        for path, reason in zip(store.registry, bar, strict=True):
            if reason:
                failures[path] = reason
            if stop_early and len(failures) >= MAX_FAILURES:
                break
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failures


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


def main(argv: Sequence[str] | None = None) -> int:
    """List the collections, fetch those that are open, say how to get the others; 0 when everything asked for is there."""
    parser = argparse.ArgumentParser(prog="python -m tools.fetch", description=main.__doc__)
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="as --list names them; default: all open ones"
    )
    parser.add_argument("--list", action="store_true", help="only list what is there and what is missing")
    parser.add_argument("--root", type=Path, help="data root (default: CXR_DATA, else data/ in the project)")
    parser.add_argument("--host", default=HOST, help="a mirror with the same paths, in place of the publishers' own")
    parser.add_argument("--jobs", type=int, default=JOBS, help="files at once (default: %(default)s)")
    parser.add_argument("--accept-missing", action="store_true", help="do without files that cannot be fetched")
    return exit_status("fetch", lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    if args.jobs < 1:
        raise ParameterError("--jobs must be 1 or more.")
    chosen = [publication(name) for name in args.collections] or list(CATALOGUE.values())
    print(f"data root: {args.root or data_root()}")
    for name, entry in CATALOGUE.items():
        print(f"  {name:24} {status(name, args.root):40} {entry.licence}")
    if args.list:
        return 0
    lacking = 0
    for entry in chosen:
        if entry.fetchable:
            if locate(entry.name, args.root) is None:
                print(f"fetching {entry.name}: {len(plan(entry.name, args.root).files):,} files")
            folder = fetch(entry.name, args.root, args.host, args.jobs, accept_missing=args.accept_missing)
            print(f"{entry.name}: {folder}")
        elif locate(entry.name, args.root) is None:
            print(f"{entry.title}: {where_to_get(entry.name)}")
            lacking = int(bool(args.collections))
    return lacking


if __name__ == "__main__":
    sys.exit(main())
