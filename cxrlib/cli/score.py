"""`python -m cxrlib score PREDICTIONS --split split.csv`: anybody's predictions beside the recorded networks."""

import argparse
from pathlib import Path

from cxrlib.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib score`."""
    parser.description = "Score one file of predictions beside the recorded networks, or compare two with paired tests."
    parser.add_argument(
        "predictions", nargs="+", help="CSV with image_id and probability (logit if known), or a record's key"
    )
    parser.add_argument("--split", type=Path, required=True, help="the table that `splits` wrote")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write tables and metrics there")


def main(args: argparse.Namespace) -> int:
    """Print what the predictions reach and, with --report, write it; 0."""
    from cxrlib.analysis.benchmark import score as scoring  # scikit-learn: `--help` need not wait for it
    from cxrlib.records.record import read_records
    from cxrlib.storage import check_folder

    if len(args.predictions) > 2:
        raise ParameterError("give one file of predictions, or two to compare.")
    if args.report is not None:
        check_folder(args.report, scoring.MARKER)
    split = scoring.read_split(args.split)
    paths = [scoring.locate_predictions(name) for name in args.predictions]
    names = [path.stem if path.suffix == ".csv" else path.parent.name for path in paths]
    names = names if len(set(names)) == len(names) else [str(path) for path in paths]
    scored = [scoring.score(name, scoring.read_table(path), split) for name, path in zip(names, paths, strict=True)]
    records = scoring.comparable(scored[0], read_records()[0])
    print(*(scoring.summary_sentence(one, records) for one in scored), sep="\n")
    if len(scored) == 2:
        print(*scoring.paired_tests(*scored)["sentence"], sep="\n")
    if args.report is not None:
        scoring.write_report(args.report, scored, records)
        print(f"report: {args.report}")
    return 0
