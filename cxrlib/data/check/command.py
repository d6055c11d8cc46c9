"""`python -m cxrlib check DATA`: what is wrong with a collection before anything is trained on it."""

import argparse
import json

from cxrlib.data.check.report import check
from cxrlib.data.check.source import read_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments on an argparse parser."""
    parser.description = (
        "Check a collection of images: exits with 0 if nothing is found, 1 if anything is, 2 if it cannot be read."
    )
    parser.add_argument("data", help="folder of images with a CSV table, a published layout, or a collection's name")
    parser.add_argument(
        "--layout", help="read the folder as this published collection, or as 'own'; default: recognised"
    )
    parser.add_argument("--positive", metavar="LABEL", help="label that counts as positive, in a table of your own")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def main(args: argparse.Namespace) -> int:
    """Print the report; 0 if every verdict is OK, else 1."""
    report = check(read_data(args.data, args.layout, args.positive))
    print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if args.json else report.to_text())
    return 0 if report.clean else 1
