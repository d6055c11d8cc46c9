"""`python -m cxrlib import-records`: merge records that another machine has made."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib import-records`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="records.zip from another machine")


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from cxrlib.records.merge import main as run  # torch from here on: `--help` need not wait for it

    return run(args)
