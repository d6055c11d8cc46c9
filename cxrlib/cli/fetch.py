"""`python -m cxrlib fetch`: get what may be fetched openly, say how to get the rest."""

import argparse
from pathlib import Path

from cxrlib.errors import ParameterError
from cxrlib.paths import data_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib fetch`."""
    parser.description = "List the collections, fetch those that are openly available, say how to get the others."
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="as --list names them; default: all open ones"
    )
    parser.add_argument("--list", action="store_true", help="only list what is there and what is missing")
    parser.add_argument("--root", type=Path, help="data root (default: CXR_DATA, else data/ in the project)")
    parser.add_argument("--host", help="a mirror with the same paths, in place of the publishers' own")
    parser.add_argument("--jobs", type=int, default=8, help="files at once (default: %(default)s)")
    parser.add_argument("--accept-missing", action="store_true", help="do without files that cannot be fetched")


def main(args: argparse.Namespace) -> int:
    """Run `python -m cxrlib fetch`; 0 when everything asked for is there."""
    from cxrlib.data.fetch import HOST, fetch, plan, status  # pandas from here on: `--help` need not wait for it
    from cxrlib.data.readers.base import CATALOGUE, locate, publication, where_to_get

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
            folder = fetch(entry.name, args.root, args.host or HOST, args.jobs, accept_missing=args.accept_missing)
            print(f"{entry.name}: {folder}")
        elif locate(entry.name, args.root) is None:
            print(f"{entry.title}: {where_to_get(entry.name)}")
            lacking = int(bool(args.collections))
    return lacking
