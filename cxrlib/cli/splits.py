"""`python -m cxrlib splits`: which image trains, validates and tests, as one CSV table."""

import argparse
from pathlib import Path

from cxrlib.errors import ParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib splits`."""
    parser.description = (
        "Write which image trains, validates and tests as a CSV table; the open edition's needs no image."
    )
    add = parser.add_argument
    add("--protocol", default="clean", help="clean, paper or released, or one with overrides (default: clean)")
    add("--seed", type=int, default=0, help="draw_seed, of the images drawn and of the split (default: 0)")
    add("--cohort", default="combined", help="row of Table I to train on, covidx_ray_5k or combined (default)")
    add("--edition", default="open", choices=("auto", "original", "open", "phantom"), help="default: open")
    add("--licences", default="any", help="licences you accept, comma-separated parts of their names, or any")
    add("--images", type=Path, metavar="FOLDER", help="also write each image as a grey PNG, beside the table")
    add("--size", type=int, default=64, help="pixels a side of those (default: 64)")
    add("--out", type=Path, default=Path("split.csv"), help="file to write (default: split.csv)")


def main(args: argparse.Namespace) -> int:
    """Write the table, and with --images the pictures; 0."""
    if args.seed < 0 or not 32 <= args.size <= 1024:
        raise ParameterError("--seed must be at least 0 and --size from 32 to 1024.")
    if args.out.exists():
        raise ParameterError(f"{args.out} exists already: name another file with --out, or remove it.")
    if args.images is not None and args.images.resolve().parent != args.out.resolve().parent:
        raise ParameterError(
            f"--images {args.images} must lie beside {args.out}, which names the pictures by relative paths."
        )
    from cxrlib.analysis.benchmark.splits import split_table, write_images  # torch: `--help` need not wait for it
    from cxrlib.data.editions import load_edition
    from cxrlib.storage import atomic_path

    edition = load_edition(args.edition, args.licences)
    split = split_table(edition, args.protocol, args.seed, args.cohort)
    if args.images is not None:
        split = write_images(split, edition, args.images, args.size)
    with atomic_path(args.out) as part:
        split.to_csv(part, index=False)
    counts = split.groupby("split", sort=False)["label"].agg(["size", "sum"])
    print(*(f"{name}: {n} images, {positive} of COVID-19" for name, n, positive in counts.itertuples()), sep="\n")
    print(f"{edition.short}, protocol {args.protocol}, draw seed {args.seed}, cohort {args.cohort}: {args.out}")
    return 0
