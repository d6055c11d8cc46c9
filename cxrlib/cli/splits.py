"""`python -m cxrlib splits`: which image trains, validates and tests."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib splits`."""
    parser.description = (
        "Write which image trains, validates and tests as a CSV table; the open edition's needs no image."
    )
    parser.add_argument(
        "--protocol", default="clean", help="clean, paper or released, or one with overrides (default: clean)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="draw_seed, of the images drawn and of the split (default: 0)"
    )
    parser.add_argument(
        "--cohort", default="combined", help="row of Table I to train on, covidx_ray_5k or combined (default)"
    )
    parser.add_argument(
        "--edition", default="open", choices=("auto", "original", "open", "phantom"), help="default: open"
    )
    parser.add_argument(
        "--licences", default="any", help="licences you accept, comma-separated parts of their names, or any"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="also write each image as a grey PNG, beside the table"
    )
    parser.add_argument("--size", type=int, default=64, help="pixels a side of those (default: 64)")
    parser.add_argument("--out", type=Path, default=Path("split.csv"), help="file to write (default: split.csv)")


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from cxrlib.analysis.benchmark.splits import main as run  # torch from here on: `--help` need not wait for it

    return run(args)
