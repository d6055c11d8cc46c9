"""`python -m cxrlib score`: score predictions beside the recorded networks."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib score`."""
    parser.description = "Score one file of predictions beside the recorded networks, or compare two with paired tests."
    parser.add_argument(
        "predictions", nargs="+", help="CSV with image_id and probability (logit if known), or a record's key"
    )
    parser.add_argument("--split", type=Path, required=True, help="the table that `splits` wrote")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write tables and metrics there")


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from cxrlib.analysis.benchmark.score import main as run  # torch from here on: `--help` need not wait for it

    return run(args)
