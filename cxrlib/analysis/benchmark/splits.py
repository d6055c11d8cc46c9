"""Which image trains, validates and tests, as one table that any framework can read."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
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

    No image is read. Under `released` and `paper` an image may stand in two parts, or twice in one, as it did for the
    authors. Raises ParameterError for an unknown cohort or protocol.
    """
    if cohort not in COHORTS:
        raise ParameterError(f"cohort = '{cohort}' is not allowed: choose one of {', '.join(COHORTS)}.")
    config = run_config(
        edition=edition.name, cohort=cohort, protocol=protocol, draw_seed=draw_seed, pretraining="none", precision="float32"
    )  # fmt: skip
    drawn = build_cohort(edition, cohort, config.rules, draw_seed)
    rows = drawn.train.reset_index(drop=True).assign(overlap=False)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    samples = Samples(np.zeros((len(rows), 1, 1), np.uint8), labels, rows)  # the split looks at no pixel
    train, valid = train_valid_split(samples, config, augmented=False)
    parts = {"train": train.table, "valid": valid.table, "test": drawn.test}
    found = pd.concat([part.assign(split=name) for name, part in parts.items()], ignore_index=True)
    listed = cxr_open()
    listed = listed.set_axis("cxr-open/" + listed["path"]).rename_axis("image_id")
    at = listed.reindex(found["image_id"]).reset_index(drop=True).replace("", None)  # the publisher's names
    return found.assign(
        label=(found["label"] == "covid").astype(int),
        file=at["original_path"].fillna(found["image_id"].str.partition("/")[2]),
        repository=at["source_repo"].fillna(found["collection"]),
        commit=at["source_commit"],
        original_sha256=at["original_sha256"].fillna(found["sha256"]),
    )[list(COLUMNS)]


def write_images(split: pd.DataFrame, edition: Edition, folder: Path, size: int) -> pd.DataFrame:
    """Write what the networks see of each image, a grey PNG of `size` x `size` pixels, into a new or empty folder.

    Returns `split` with `path`, relative to the folder's parent. Raises DataError where the images are not at hand.
    """
    check_folder(folder, None)
    edition.require_images()
    store = open_store(edition.images, size)
    bad = split.loc[split["image_id"].isin(store.quarantined["image_id"]), "image_id"]
    if len(bad):
        raise DataError(f"{len(bad)} images of the split cannot be read, the first {bad.iloc[0]}.")
    files = split["image_id"] + ".png"
    with atomic_path(folder) as part:
        for file, pixels in zip(files, store.take(split["image_id"]), strict=True):
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / file)
    return split.assign(path=f"{folder.name}/" + files)
