"""`python -m cxrlib audit TABLE`: what in a printed table of results cannot be true."""

import argparse

from cxrlib.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments on an argparse parser."""
    parser.description = "List what cannot be true in a table of a classifier's results: exits with 1 if anything is."
    parser.add_argument("table", help="CSV file with one row a result, or 'paper' for the paper's own table")
    parser.add_argument("--positives", type=int, metavar="P", help="positive test images, if no column says so")
    parser.add_argument("--negatives", type=int, metavar="N", help="negative test images, if no column says so")
    parser.add_argument("--column", action="append", default=[], metavar="HEADER=QUANTITY", help="what a column holds; may be repeated")  # fmt: skip
    parser.add_argument("--rounding", choices=("nearest", "truncated", "either"), default="nearest", help="how figures were shortened")  # fmt: skip
    parser.add_argument("--no-search", action="store_true", help="do not look for other test sets that would fit")
    parser.add_argument("--sums", action="store_true", help="the table holds counts: check which rows add up")


def main(args: argparse.Namespace) -> int:
    """Run the audit and print it; 0 if nothing is impossible, 1 if something is."""
    from cxrlib.analysis.audit.columns import check_sums, read_counts
    from cxrlib.analysis.audit.report import audit  # statsmodels: `--help` need not wait for it
    from cxrlib.analysis.audit.table import read_table

    if args.sums:
        if args.column or args.positives is not None or args.negatives is not None:
            raise ParameterError("--sums takes a table of counts alone: leave out --column and the sizes.")
        checks = check_sums(read_counts(args.table))
        for line in checks.itertuples():
            print(f"{line.label}, {line.column}: {line.parts} = {line.sum:,}; printed {line.printed:,}: {'adds up' if line.adds_up else 'DOES NOT ADD UP'}.")  # fmt: skip
        if checks.empty:
            print("No row says that it is a sum.")
        return int(not checks["adds_up"].all())
    declared = {}
    for text in args.column:
        header, _, quantity = text.rpartition("=")
        if not header or not quantity:
            raise ParameterError(f"--column {text} is not allowed: write --column HEADER=QUANTITY.")
        declared[header.strip()] = quantity.strip()
    report = audit(read_table(args.table, args.positives, args.negatives, declared), args.rounding, not args.no_search)
    print(report)
    return 0 if report.clean else 1
