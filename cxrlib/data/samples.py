"""Arrays with their table: what a network is trained on, validated on and tested on, and how a training set is divided.

The protocol orders the steps: augmentation before or after the validation split, by image or by patient.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from cxrlib.config import RunConfig
from cxrlib.data.folds import grouped_folds
from cxrlib.errors import DataError
from cxrlib.images.augmentation import augment

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
        train, valid, test = (replace(part, pixels=change(part.pixels)) for part in (self.train, self.valid, self.test))
        return RunSamples(train, valid, test, self.left_out)


def train_valid_split(samples: Samples, config: RunConfig, augmented: bool) -> tuple[Samples, Samples]:
    """Training and validation part of `samples` under the config's protocol; COVID images augmented if asked."""
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
    return grouped_folds(samples.labels, samples.table["component"], max(round(1 / fraction), 2), seed)[0]
