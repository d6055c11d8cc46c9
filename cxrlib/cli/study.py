"""`python -m cxrlib study`: list, plan and run the grid of configurations; what is recorded is not run again."""

import argparse
from pathlib import Path

from cxrlib.config import PROFILES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib study`."""
    actions = parser.add_subparsers(dest="action", required=True)
    grid = argparse.ArgumentParser(add_help=False)
    add_selection(grid, "cpu")
    actions.add_parser("list", parents=[grid], help="list the missing cells")
    actions.add_parser("run", parents=[grid], help="run the missing cells in this process").add_argument(
        "--seconds", type=float, help="stop in good order before this many seconds"
    )
    actions.add_parser("plan", parents=[grid], help="write the plan for Snakemake").add_argument("output", type=Path)
    make = actions.add_parser("make", parents=[grid], help="write the plan and run it with Snakemake")
    make.add_argument("--workflow", default="default", help="Snakemake profile: default, slurm or a folder")
    make.add_argument("--batch", type=int, default=1, help="cells that share one process")
    make.add_argument("--gpus", type=int, default=1, help="GPUs that a job asks for")
    make.add_argument("--snakemake", default="", help="more options for Snakemake, or a target, in one word")
    for name, what in (("images", "image store"), ("pretrain", "pretrained trunks"), ("cell", "records")):
        action = actions.add_parser(name, help=f"make the {what} of the named cells of a plan (a job of the workflow)")
        action.add_argument("plan", type=Path)
        action.add_argument("keys", nargs="+", help="keys of cells in the plan")
    actions.add_parser("table", help="write the table of a plan's records").add_argument("plan", type=Path)


def add_selection(parser: argparse.ArgumentParser, profile: str) -> None:
    """Declare the options that choose cells; `profile` is the default profile."""
    parser.add_argument("--profile", choices=tuple(PROFILES), default=profile)
    parser.add_argument("--edition", default="auto", help="original, open, phantom or auto")
    parser.add_argument("--licences", default="any", help="licences you accept, or any")
    for name, what in (("draws", "draws of the images"), ("seeds", "seeds of the training")):
        parser.add_argument(f"--{name}", type=int, help=f"number of {what}, from 0, instead of each part's own")
    parser.add_argument("--parts", nargs="+", help="parts of the grid (chapter 12); all by default")
    parser.add_argument("--grid", type=Path, help="JSON file with a grid of your own instead of the study's")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from cxrlib.training.study import main as run  # torch from here on: `--help` need not wait for it

    return run(args)
