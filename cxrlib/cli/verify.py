"""`python -m cxrlib verify`: compute again what is committed, and compare."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib verify`."""
    parser.description = "Compute again what is committed under results/, and compare. Exit status 1 on a difference."
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="train N of the recorded runs again")
    parser.add_argument("--record", action="store_true", help="write the analyses' tables anew instead of comparing")


def main(args: argparse.Namespace) -> int:
    """Run the checks; 0 if nothing differs, else 1."""
    from cxrlib.cli.verification import verify  # torch from here on: `--help` need not wait for it

    return verify(args.runs, args.record)
