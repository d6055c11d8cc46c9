"""`python -m cxrlib check DATA`: what is wrong with a collection before anything is trained on it."""

import argparse
import json

STATUS = {"OK": 0, "warning": 3, "error": 1}
"""Exit status by the worst verdict; 2 is an error that the user must mend."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments on an argparse parser."""
    parser.description = (
        "Check a collection of images. Exit status: 0 nothing found, 3 warnings only, 1 errors found in the data, "
        "2 the data could not be read or an option is wrong."
    )
    parser.add_argument("data", help="folder of images with a CSV table, a published layout, or a collection's name")
    parser.add_argument(
        "--layout", help="read the folder as this published collection, or as 'own'; default: recognised"
    )
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="label that counts as positive, in a table of your own; upper and lower case are alike",
    )
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def main(args: argparse.Namespace) -> int:
    """Print the report; the exit status of its worst verdict."""
    from cxrlib.data.check import check  # scikit-learn and statsmodels: `--help` need not wait for them
    from cxrlib.data.readers import read_data

    report = check(read_data(args.data, args.layout, args.positive))
    print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if args.json else report.to_text())
    return STATUS[report.worst]
