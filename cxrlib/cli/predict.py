"""`python -m cxrlib predict MODEL IMAGES`: a folder or table of images through a trained network."""

import argparse
import sys
from pathlib import Path

from cxrlib.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib predict`."""
    parser.description = (
        "Predict images with a trained network. A killed call goes on; exits with 3 if images could not be read."
    )
    parser.add_argument("model", help="key of a recorded run, a file of weights, or the folder that `own` wrote")
    parser.add_argument("images", type=Path, help="folder of images, or a CSV table such as split.csv")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: predictions.csv")


def main(args: argparse.Namespace) -> int:
    """Write the predictions; 3 if some images could not be read, else 0."""
    from cxrlib.analysis.benchmark.predict import list_images, load_model, predict_images  # torch: not for `--help`

    for path in (args.out, args.out.with_name(f"{args.out.name}.unreadable.csv")):
        if path.exists():
            raise ParameterError(f"{path} exists already: name another file with --out, or remove it.")
    model, images = load_model(args.model), list_images(args.images)
    unreadable = predict_images(model, images, args.out)
    for row in unreadable.head(5).itertuples():
        print(f"cannot be read: {row.image_id} ({row.reason})", file=sys.stderr)
    if len(unreadable):
        print(f"{len(unreadable)} images could not be read: {args.out}.unreadable.csv", file=sys.stderr)
    print(f"{len(images) - len(unreadable)} predictions by {model.config.model}: {args.out}")
    return 3 if len(unreadable) else 0
