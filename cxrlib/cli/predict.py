"""`python -m cxrlib predict`: predict images with a trained network."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib predict`."""
    parser.description = (
        "Predict images with a trained network. A killed call goes on; exits with 3 if images could not be read."
    )
    parser.add_argument("model", help="key of a recorded run, a file of weights, or the folder that `own` wrote")
    parser.add_argument("images", type=Path, help="folder of images, or a CSV table such as split.csv")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from cxrlib.analysis.benchmark.predict import main as run  # torch from here on: `--help` need not wait for it

    return run(args)
