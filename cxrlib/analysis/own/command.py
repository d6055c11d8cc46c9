"""`python -m cxrlib own DATA`: from a folder of images and a CSV table to a trained model and its report."""

import argparse
from pathlib import Path
from typing import Any

from cxrlib.config import RUN_PARAMETER
from cxrlib.errors import ParameterError

_DESCRIPTION = (
    "Check a folder of images with a CSV table, train on it with patients kept apart, test once, write a report."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments on an argparse parser."""
    parser.description = _DESCRIPTION
    parser.add_argument("data", help="folder of images with a CSV table, a published layout, or a collection's name")
    parser.add_argument("--report", type=Path, default=Path("report"), help="folder of the report (default: report)")
    parser.add_argument("--positive", metavar="LABEL", help="label that counts as positive")
    parser.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the run, as in chapter 5: model, beta, image_size, epochs, seed, ...",
    )


def main(args: argparse.Namespace) -> int:
    """Train and write the report; 0 if the check of the data found nothing, else 1."""
    from cxrlib.analysis.own.report import summary_sentence, write_report  # here: torch is needed from here on only
    from cxrlib.training.own import train_own

    run = train_own(args.data, positive=args.positive, **parameters(args.parameters))
    page = write_report(run, args.report)
    print(run.check.to_text(), summary_sentence(run), f"report: {page}", sep="\n")
    return 0 if run.check.clean else 1


def parameters(texts: list[str]) -> dict[str, Any]:
    """The values of `-p NAME=VALUE`, each of its parameter's type; ParameterError for anything else."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in RUN_PARAMETER or name in ("edition", "cohort", "licences"):
            known = ", ".join(name for name in RUN_PARAMETER if name not in ("edition", "cohort", "licences"))
            raise ParameterError(f"-p {text} is not allowed: write NAME=VALUE with a name of {known}.")
        parameter = RUN_PARAMETER[name]
        try:
            values[name] = None if value == "None" and parameter.optional else parameter.type(value)
        except ValueError:
            raise ParameterError(f"{name} = {value} is not allowed: {name} must be {parameter.allowed}.") from None
    return values
