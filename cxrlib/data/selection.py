"""From a cohort to arrays: the images that a run's config selects, and one digest that names the selection."""

from functools import cache

import numpy as np
import pandas as pd

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
from cxrlib.data.samples import RunSamples, Samples, subsample, train_valid_split
from cxrlib.images.store import ImageStore, open_store
from cxrlib.protocols import Protocol
from cxrlib.storage import digest


def run_samples(config: RunConfig, edition: Edition) -> RunSamples:
    """The arrays of a run of the study, as stored; DataError if the images, or a class of any part, are missing."""
    edition.require_images()
    cohort = build_cohort(edition, config.cohort, config.rules, config.draw_seed)
    store = open_store(edition.images, config.image_size)
    (train, lost_train), (test, lost_test) = (load_samples(store, rows) for rows in (cohort.train, cohort.test))
    train, valid = train_valid_split(train, config, augmented=config.cohort == "augmented")
    train = subsample(train, config.train_limit, config.draw_seed)
    left_out = pd.concat([cohort.removed[["image_id", "reason"]], lost_train, lost_test], ignore_index=True)
    samples = RunSamples(train, valid, test, left_out)
    samples.check(config.cohort)
    return samples


def selection_digest(config: RunConfig, edition: Edition) -> str:
    """SHA-256 of what the protocol and the draw's seed select: each part's images with label, component and overlap."""
    return _selection(edition, config.cohort, config.protocol, config.draw_seed)


@cache
def _selection(edition: Edition, name: str, protocol: str, draw_seed: int) -> str:
    cohort = build_cohort(edition, name, Protocol.parse(protocol), draw_seed)
    columns = ["image_id", "label", "component"]
    train, test = cohort.train[columns], cohort.test[[*columns, "overlap"]]
    return digest({"train": train.astype(str).to_numpy().tolist(), "test": test.astype(str).to_numpy().tolist()})


def load_samples(store: ImageStore, rows: pd.DataFrame) -> tuple[Samples, pd.DataFrame]:
    """Samples of a cohort's rows; quarantined images are left out and listed."""
    reasons = rows["image_id"].map(store.quarantined.set_index("image_id")["reason"])
    lost = rows[["image_id"]].assign(reason=reasons)[reasons.notna()]
    rows = rows[reasons.isna()]
    columns = [name for name in ("image_id", "source", "component", "overlap") if name in rows]
    table = rows[columns].assign(variant=0).reset_index(drop=True)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    return Samples(np.asarray(store.pixels[store.rows(rows["image_id"])]), labels, table), lost
