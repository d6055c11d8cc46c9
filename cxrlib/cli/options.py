"""The options of every command: light to import, so that `--help` comes at once.

Each function declares one command's options on an argparse parser; its docstring is what `--help` says of the command.
What the command does is a function of these options, which `main.COMMANDS` names and which is imported to be called.
"""

from argparse import ArgumentParser
from pathlib import Path

from cxrlib.config import PROFILES

FOLDER = "folder of images with a CSV table, a published layout, or a collection's name"


def info(parser: ArgumentParser) -> None:
    """Print where data, weights, cache and results lie, what is complete, and the versions."""


def study(parser: ArgumentParser) -> None:
    """List or run the missing cells of the grid; what is recorded is not run again. `make study` runs them with Snakemake."""
    actions = parser.add_subparsers(dest="action", required=True)
    add_selection(actions.add_parser("list", help="list the missing cells"), "cpu")
    run = actions.add_parser("run", help="run the missing cells in this process")
    add_selection(run, "cpu")
    run.add_argument("--seconds", type=float, help="stop in good order before this many seconds")


def add_selection(parser: ArgumentParser, profile: str) -> None:
    """Declare the options that choose cells of the study; `profile` is the default profile."""
    parser.add_argument("--profile", choices=tuple(PROFILES), default=profile)
    parser.add_argument("--edition", default="auto", help="original, open, phantom or auto")
    parser.add_argument("--licences", default="any", help="licences you accept, or any")
    for name, what in (("draws", "draws of the images"), ("seeds", "seeds of the training")):
        parser.add_argument(f"--{name}", type=int, help=f"number of {what}, from 0, instead of each part's own")
    parser.add_argument("--parts", nargs="+", help="parts of the grid (chapter 12); all by default")
    parser.add_argument("--grid", type=Path, help="JSON file with a grid of your own instead of the study's")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def verify(parser: ArgumentParser) -> None:
    """Compute again what is committed under results/, and compare. Exit status 1 on a difference."""
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="train N of the recorded runs again")
    what = "write the analyses' tables anew instead of comparing"
    parser.add_argument("--record", dest="write", action="store_true", help=what)


def check(parser: ArgumentParser) -> None:
    """Check a collection of images.

    Exit status: 0 nothing found, 3 warnings only, 1 errors found in the data, 2 the data could not be read or an option
    is wrong.
    """
    parser.add_argument("data", help=FOLDER)
    what = "label that counts as positive, in a table of your own; upper and lower case are alike"
    parser.add_argument("--positive", metavar="LABEL", help=what)
    parser.add_argument("--json", dest="as_json", action="store_true", help="print the whole report as JSON")


def own(parser: ArgumentParser) -> None:
    """Check a folder of images with a CSV table, train on it with patients kept apart, test once, write a report.

    Exit status: 0 fine, 3 fine but the check of the data warns, 1 it found errors, 2 an error to mend.
    """
    parser.add_argument("data", help=FOLDER)
    parser.add_argument("--report", type=Path, default=Path("report"), help="folder of the report (default: report)")
    parser.add_argument("--positive", metavar="LABEL", help="label that counts as positive")
    what = "a parameter of the run, as in chapter 5: model, beta, image_size, epochs, seed, ..."
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help=what)


def splits(parser: ArgumentParser) -> None:
    """Write which image trains, validates and tests as a CSV table; the open edition's needs no image."""
    add = parser.add_argument
    add("--protocol", default="clean", help="clean, paper or released, or one with overrides (default: clean)")
    add("--seed", type=int, default=0, help="draw_seed, of the images drawn and of the split (default: 0)")
    add("--cohort", default="combined", help="row of Table I to train on, covidx_ray_5k or combined (default)")
    add("--edition", default="open", choices=("auto", "original", "open", "phantom"), help="default: open")
    add("--licences", default="any", help="licences you accept, comma-separated parts of their names, or any")
    add("--images", type=Path, metavar="FOLDER", help="also write each image as a grey PNG, beside the table")
    add("--size", type=int, default=64, help="pixels a side of those (default: 64)")
    add("--out", type=Path, default=Path("split.csv"), help="file to write (default: split.csv)")


def predict(parser: ArgumentParser) -> None:
    """Predict images with a trained network. A killed call goes on; exits with 3 if images could not be read."""
    parser.add_argument("model", help="key of a recorded run, a file of weights, or the folder that `own` wrote")
    parser.add_argument("images", type=Path, help="folder of images, or a CSV table such as split.csv")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")


def score(parser: ArgumentParser) -> None:
    """Score one file of predictions beside the recorded networks, or compare two with paired tests."""
    what = "CSV with image_id and probability (logit if known), or a record's key"
    parser.add_argument("predictions", nargs="+", help=what)
    parser.add_argument("--split", type=Path, required=True, help="the table that `splits` wrote")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write tables and metrics there")


def audit(parser: ArgumentParser) -> None:
    """List what cannot be true in a table of a classifier's results: exits with 1 if anything is."""
    parser.add_argument("table", help="CSV file with one row a result, or 'paper' for the paper's own table")
    parser.add_argument("--positives", type=int, metavar="P", help="positive test images, if no column says so")
    parser.add_argument("--negatives", type=int, metavar="N", help="negative test images, if no column says so")
    what = "what a column holds; may be repeated"
    parser.add_argument("--column", dest="columns", action="append", default=[], metavar="HEADER=QUANTITY", help=what)
