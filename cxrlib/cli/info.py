"""`python -m cxrlib info`: where things lie on this machine, what is complete, which versions run."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib info`: there are none."""
    parser.description = "Print where data, weights, cache and results lie, what is complete, and the versions."


def main(args: argparse.Namespace) -> int:
    """Print it; returns 0."""
    from cxrlib.cli.installation import report  # torch from here on: `--help` need not wait for it

    for title, lines in report().items():
        print(title)
        for name, value in lines.items():
            print(f"  {name:24} {value}")
    return 0
