"""From a cohort to arrays: which images a run trains on, validates on and tests on.

The order of the steps is the protocol's: augmentation before or after the validation split, the split
by image or by patient. Pixels stay uint8.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
from cxrlib.errors import DataError
from cxrlib.images.augmentation import augment
from cxrlib.images.store import ImageStore, open_store
from cxrlib.protocols import Protocol
from cxrlib.storage import digest

DOCUMENTED_SPLIT_SEED = 42  # of the released code's validation split


@dataclass(frozen=True)
class Samples:
    """One part of the data: pixels uint8 [N, S, S], labels int64 [N] (1 = COVID), a row of `table` each."""

    pixels: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame  # image_id, source, component, variant (0: as published) and, in the test set, overlap

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: np.ndarray) -> "Samples":
        """The samples at `index` (integers), in that order."""
        return Samples(self.pixels[index], self.labels[index], self.table.iloc[index].reset_index(drop=True))

    def counts(self) -> dict[str, int]:
        """Number of samples per class."""
        positive = int(self.labels.sum())
        return {"covid": positive, "non_covid": len(self) - positive}


@dataclass(frozen=True)
class RunSamples:
    """The three parts a run uses, and the rows that had to be left out, with the reason."""

    train: Samples
    valid: Samples
    test: Samples
    left_out: pd.DataFrame

    def check(self, name: str) -> None:
        """Raise DataError if a class is missing from a part of the data called `name`."""
        for part, samples in (("training", self.train), ("validation", self.valid), ("test", self.test)):
            if min(samples.counts().values()) == 0:
                raise DataError(
                    f"the {part} set of '{name}' lacks a class ({samples.counts()}): use more data or another split."
                )

    def change_pixels(self, change: Callable[[np.ndarray], np.ndarray]) -> "RunSamples":
        """The same samples with `change` applied to the pixels of every part."""
        parts = (replace(part, pixels=change(part.pixels)) for part in (self.train, self.valid, self.test))
        return RunSamples(*parts, self.left_out)


def run_samples(config: RunConfig, edition: Edition) -> RunSamples:
    """The arrays of a run of the study, as stored; raises DataError if a class is missing from any part."""
    cohort = build_cohort(edition, config.cohort, config.rules, config.draw_seed)
    store = open_store(edition.images, config.image_size)
    train, lost_train = load_samples(store, cohort.train)
    test, lost_test = load_samples(store, cohort.test)
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


def train_valid_split(samples: Samples, config: RunConfig, augmented: bool) -> tuple[Samples, Samples]:
    """Training and validation part of `samples` under the config's protocol; the COVID images are augmented if asked."""
    rules = config.rules
    split_seed = DOCUMENTED_SPLIT_SEED if rules.split_seed == "documented" else config.draw_seed
    if augmented and rules.split_order == "after":
        samples = augment_positives(samples, rules.rotation, config.seed)
    split = _split_by_patient if rules.split == "patient" else _split_by_image
    train, valid = (samples.select(index) for index in split(samples, config.valid_fraction, split_seed))
    if augmented and rules.split_order == "before":
        train = augment_positives(train, rules.rotation, config.seed)
    return train, valid


def augment_positives(samples: Samples, rotation: str, seed: int) -> Samples:
    """`samples` with each COVID image replaced by its 32 variants (section VI.A of the paper)."""
    positive = samples.labels == 1
    covid, rest = samples.select(np.flatnonzero(positive)), samples.select(np.flatnonzero(~positive))
    pixels = augment(covid.pixels, rotation, seed)
    copies = len(pixels) // max(len(covid), 1)
    table = pd.concat([covid.table.assign(variant=k) for k in range(copies)] + [rest.table], ignore_index=True)
    return Samples(
        np.concatenate([pixels, rest.pixels]), np.concatenate([np.ones(len(pixels), np.int64), rest.labels]), table
    )


def subsample(samples: Samples, most: int | None, seed: int) -> Samples:
    """A stratified subset of at most `most` samples; all of them where `most` is None."""
    if most is None or len(samples) <= most:
        return samples
    kept, _ = train_test_split(np.arange(len(samples)), train_size=most, stratify=samples.labels, random_state=seed)
    return samples.select(np.sort(kept))


def _split_by_image(samples: Samples, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    train, valid = train_test_split(np.arange(len(samples)), test_size=fraction, random_state=seed)
    return train, valid


def _split_by_patient(samples: Samples, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Components stay whole, classes keep their share; the fraction is the nearest 1/k."""
    folds = StratifiedGroupKFold(max(round(1 / fraction), 2), shuffle=True, random_state=seed)
    return next(iter(folds.split(samples.labels, samples.labels, samples.table["component"])))


def load_samples(store: ImageStore, rows: pd.DataFrame) -> tuple[Samples, pd.DataFrame]:
    """Samples of a cohort's rows; quarantined images are left out and listed."""
    reasons = store.quarantined.set_index("image_id")["reason"]
    bad = rows["image_id"].isin(reasons.index)
    rows, lost = rows[~bad], rows.loc[bad, ["image_id"]]
    lost = lost.assign(reason=lost["image_id"].map(reasons).to_numpy())
    columns = [name for name in ("image_id", "source", "component", "overlap") if name in rows]
    table = rows[columns].assign(variant=0).reset_index(drop=True)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    return Samples(np.asarray(store.pixels[store.rows(rows["image_id"])]), labels, table), lost
