"""`python -m cxrlib import-records`: merge records that another machine has made."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib import-records`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="records.zip from another machine")


def main(args: argparse.Namespace) -> int:
    """Say what became of each record; returns 1 if one was refused."""
    from cxrlib.records.merge import import_records  # torch from here on: `--help` need not wait for it

    refused = 0
    for path in args.files:
        merged = import_records(path)
        for word, keys in (("added", merged.added), ("identical", merged.identical)):
            for key in keys:
                print(f"{word:9} {key}")
        for key, reason in merged.refused.items():
            print(f"{'refused':9} {key}: {reason}")
        print(
            f"{path.name}: {len(merged.added)} added, {len(merged.identical)} identical, {len(merged.refused)} refused"
        )
        refused += len(merged.refused)
    return int(refused > 0)
