"""`python -m cxrlib splits`: which image trains, validates and tests, as one CSV table that any framework can read."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.manifests import cxr_open
from cxrlib.data.samples import Samples, train_valid_split
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.store import open_store
from cxrlib.storage import atomic_path, check_folder
from cxrlib.training.configure import run_config

COHORTS = ("covidx_ray_5k", "combined")
COLUMNS = {
    "split": "train, valid or test",
    "image_id": "name of the image here, the same on every machine",
    "label": "1 = COVID-19, 0 = not",
    "source": "the collection's own sub-source",
    "component": "number of the patient group: images of one patient or of one picture share it",
    "overlap": "of a test image: whether its component also occurs in training (never under the clean protocol)",
    "file": "the publisher's own name of the file, inside its repository",
    "repository": "where the publisher keeps it",
    "commit": "and in which state",
    "sha256": "of the file as it lies here",
    "original_sha256": "of the publisher's file",
    "licence": "as the publisher states it",
}
"""Columns of a split's table."""


def split_table(
    edition: Edition, protocol: str = "clean", draw_seed: int = 0, cohort: str = "combined"
) -> pd.DataFrame:
    """What a run with these parameters trains, validates and tests on: a row an image of each part, columns `COLUMNS`.

    It needs no image, so the open edition's table can be had on every machine. Under `released` and `paper` an image may
    stand in two parts, as it did for the authors. Raises ParameterError for an unknown cohort or protocol.
    """
    if cohort not in COHORTS:
        raise ParameterError(f"cohort = '{cohort}' is not allowed: choose one of {', '.join(COHORTS)}.")
    config = run_config(
        edition=edition.name,
        cohort=cohort,
        protocol=protocol,
        draw_seed=draw_seed,
        pretraining="none",
        precision="float32",
    )
    drawn = build_cohort(edition, cohort, config.rules, draw_seed)
    rows = drawn.train.reset_index(drop=True).assign(overlap=False)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    samples = Samples(np.zeros((len(rows), 1, 1), np.uint8), labels, rows)  # the split looks at no pixel
    train, valid = train_valid_split(samples, config, augmented=False)
    parts = {"train": train.table, "valid": valid.table, "test": drawn.test}
    found = pd.concat([part.assign(split=name) for name, part in parts.items()])
    return _described(found.drop_duplicates(["split", "image_id"]).reset_index(drop=True))


def _described(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` of an edition's table with the publisher's names, in the order of `COLUMNS`."""
    listed = cxr_open()
    listed = listed.set_axis("cxr-open/" + listed["path"]).rename_axis("image_id")
    at = listed.reindex(rows["image_id"]).reset_index(drop=True).replace("", None)
    own = rows["image_id"].str.partition("/")[2]
    return rows.assign(
        label=(rows["label"] == "covid").astype(int),
        file=at["original_path"].fillna(own),
        repository=at["source_repo"].fillna(rows["collection"]),
        commit=at["source_commit"],
        original_sha256=at["original_sha256"].fillna(rows["sha256"]),
    )[list(COLUMNS)]


def write_images(split: pd.DataFrame, edition: Edition, folder: Path, size: int) -> pd.DataFrame:
    """Write what the study's networks see of each image, a grey PNG of `size` x `size` pixels, and return `split` with `path`.

    `path` is relative to `folder`'s parent. Raises DataError where the images are not at hand, ParameterError for a folder
    that holds anything.
    """
    check_folder(folder, None)
    edition.require_images()
    store = open_store(edition.images, size)
    bad = split["image_id"].isin(store.quarantined["image_id"])
    if bad.any():
        raise DataError(f"{bad.sum()} images of the split cannot be read, the first {split['image_id'][bad].iloc[0]}.")
    files = [Path(f"{name}.png") for name in split["image_id"]]
    with atomic_path(folder) as part:
        part.mkdir()
        for file, pixels in zip(files, store.take(split["image_id"]), strict=True):
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / file)
    return split.assign(path=[(folder.name / file).as_posix() for file in files])


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
