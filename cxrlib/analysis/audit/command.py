"""`python -m cxrlib audit TABLE`: what in a printed table of results cannot be true."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from cxrlib.analysis.audit.report import audit
from cxrlib.analysis.audit.sums import read_counts, sums_text
from cxrlib.analysis.audit.table import read_table
from cxrlib.errors import ParameterError
from cxrlib.storage import atomic_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments on an argparse parser."""
    parser.description = "List what cannot be true in a table of a classifier's results: exits with 1 if anything is."
    parser.add_argument("table", help="CSV file with one row a result, or 'paper' for the paper's own table")
    parser.add_argument("--positives", type=int, metavar="P", help="positive test images, if no column says so")
    parser.add_argument("--negatives", type=int, metavar="N", help="negative test images, if no column says so")
    parser.add_argument(
        "--column", action="append", default=[], metavar="HEADER=QUANTITY", help="what a column holds; may be repeated"
    )
    parser.add_argument(
        "--rounding", choices=("nearest", "truncated", "either"), default="nearest", help="how figures were shortened"
    )
    parser.add_argument("--no-search", action="store_true", help="do not look for other test sets that would fit")
    parser.add_argument("--sums", action="store_true", help="the table holds counts: check which rows add up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report there as well")


def main(args: argparse.Namespace) -> int:
    """Run the audit and print it; 0 if nothing is impossible, 1 if something is."""
    if args.sums:
        if args.json or args.column or args.positives or args.negatives:
            raise ParameterError("--sums takes a table of counts alone: leave out --json, --column and the sizes.")
        text, right = sums_text(read_counts(args.table))
        print(text)
        return 0 if right else 1
    table = read_table(args.table, args.positives, args.negatives, _declared(args.column))
    report = audit(table, rounding=args.rounding, search=not args.no_search)
    print(report.to_text())
    if args.json:
        with atomic_path(args.json) as path:
            path.write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if report.clean else 1


def _declared(texts: list[str]) -> Mapping[str, str]:
    pairs = [text.rpartition("=") for text in texts]
    for text, (header, _, quantity) in zip(texts, pairs, strict=True):
        if not header or not quantity:
            raise ParameterError(f"--column {text} is not allowed: write --column HEADER=QUANTITY.")
    return {header.strip(): quantity.strip() for header, _, quantity in pairs}
