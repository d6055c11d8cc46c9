"""From a cohort to arrays: which images a run trains on, validates on and tests on.

The order of the steps is the protocol's: augmentation before or after the validation split, the split
by image or by patient. Pixels stay uint8.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import CohortSplit, build_cohort
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
    table: pd.DataFrame  # image_id, component, variant (0: as published) and, in the test set, overlap

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


def prepare(config: RunConfig, edition: Edition) -> RunSamples:
    """The arrays of a run; raises DataError if a class is missing from any part."""
    cohort = _cohort(edition, config.cohort, config.protocol, config.seed)
    store = open_store(edition.images, config.image_size)
    train, lost_train = load_samples(store, cohort.train)
    test, lost_test = load_samples(store, cohort.test)
    if config.preparation != "minmax":
        train, test = _prepared(config, edition, cohort, train, test)
    train, valid = divide(
        train, config.rules, config.valid_fraction, config.seed, augmented=config.cohort == "augmented"
    )
    train = limit(train, config.train_limit, config.seed)
    for name, part in {"training": train, "validation": valid, "test": test}.items():
        if min(part.counts().values()) == 0:
            raise DataError(
                f"the {name} set of cohort '{config.cohort}' lacks a class ({part.counts()}): use more data or another split."
            )
    left_out = pd.concat([cohort.removed[["image_id", "reason"]], lost_train, lost_test], ignore_index=True)
    return RunSamples(train, valid, test, left_out)


def _prepared(
    config: RunConfig, edition: Edition, cohort: CohortSplit, train: Samples, test: Samples
) -> tuple[Samples, Samples]:
    """Both parts with their histograms equalised and, for "lungs", segmented by a U-Net that saw no test component."""
    from cxrlib.networks.segmentation import equalised, train_segmenter  # here: few runs need it

    change = equalised
    if config.preparation == "lungs":
        unseen = frozenset(cohort.test["component"])
        change = train_segmenter(edition, config.image_size, unseen, config.seed).prepare
    return replace(train, pixels=change(train.pixels)), replace(test, pixels=change(test.pixels))


@lru_cache(maxsize=64)
def _cohort(edition: Edition, cohort: str, protocol: str, seed: int) -> CohortSplit:
    return build_cohort(edition, cohort, Protocol.parse(protocol), seed)


def selection_digest(config: RunConfig, edition: Edition) -> str:
    """SHA-256 of what the protocol and the seed draw: each part's images with label, component and overlap."""
    cohort = _cohort(edition, config.cohort, config.protocol, config.seed)
    columns = ["image_id", "label", "component"]
    train, test = cohort.train[columns], cohort.test[[*columns, "overlap"]]
    return digest({"train": train.astype(str).to_numpy().tolist(), "test": test.astype(str).to_numpy().tolist()})


def divide(samples: Samples, rules: Protocol, fraction: float, seed: int, augmented: bool) -> tuple[Samples, Samples]:
    """Training and validation part of `samples` under a protocol; the COVID images are augmented if asked."""
    split_seed = DOCUMENTED_SPLIT_SEED if rules.split_seed == "documented" else seed
    if augmented and rules.split_order == "after":
        samples = augment_positives(samples, rules.rotation, seed)
    split = _split_by_patient if rules.split == "patient" else _split_by_image
    train, valid = (samples.select(index) for index in split(samples, fraction, split_seed))
    if augmented and rules.split_order == "before":
        train = augment_positives(train, rules.rotation, seed)
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


def limit(samples: Samples, most: int | None, seed: int) -> Samples:
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
    columns = [name for name in ("image_id", "component", "overlap") if name in rows]
    table = rows[columns].assign(variant=0).reset_index(drop=True)
    labels = (rows["label"] == "covid").to_numpy().astype(np.int64)
    return Samples(np.asarray(store.pixels[store.rows(rows["image_id"])]), labels, table), lost
