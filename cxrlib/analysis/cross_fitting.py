"""Within one source, on hundreds of images: every image scored by networks that saw no image of its component.

All radiographs of the sources with both classes are divided into folds of whole components, together with negatives of the
other sources; each fold is scored by a network (SqueezeNet 1.1 with its own classifier) trained on the others. One more
network a seed is trained on the largest such source alone and scores the sources that it never saw.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save_file

from cxrlib.analysis.shortcuts.sample import adults, eligible, load, patients
from cxrlib.config import RunConfig
from cxrlib.data.editions import Edition
from cxrlib.data.folds import grouped_folds
from cxrlib.data.samples import RunSamples, train_valid_split
from cxrlib.errors import DataError
from cxrlib.images.store import ImageStore, open_store
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.weights import imagenet_digest, load_imagenet
from cxrlib.paths import cache_root
from cxrlib.records.analyses import recorded_analysis
from cxrlib.records.provenance import training_code
from cxrlib.storage import atomic_path, digest
from cxrlib.training.configure import run_config
from cxrlib.training.train import predict, train

FOLDS, SEEDS = 5, (0, 1, 2)
OTHERS = 300  # negatives of each source without COVID-19, at most
MOST = 350  # images of each class of a source with both, at most: more than the radiographs' sources have
CROSS_FITTED, EXTERNAL = "cross-fitted", "external"
COLUMNS = ["design", "seed", "fold", "image_id", "source", "component", "label", "logit"]


@dataclass(frozen=True)
class Task:
    """One network to train: `test` are the rows that it scores, `train` all that it may see; no component is in both."""

    design: str  # CROSS_FITTED or EXTERNAL
    seed: int
    fold: int  # from 0; -1 in the external design
    train: pd.DataFrame
    test: pd.DataFrame

    def store(self, size: int) -> ImageStore:
        """The pixels of both parts; the cross-fitted tasks of all seeds share one store."""
        return open_store(pd.concat([self.train, self.test]), size)


@recorded_analysis("cross_fitting", trains=True)
def cross_fitting(edition: Edition, seeds: tuple[int, ...] = SEEDS, epochs: int = 10) -> pd.DataFrame:
    """The log-odds of COVID-19 of every image under every seed: `COLUMNS`, a row an image, seed and design.

    `seeds` draw the folds, the initial weights and the batches. Networks are kept in the cache.
    """
    parts = []
    for seed in seeds:
        for task in tasks(eligible(edition), seed):
            config = settings(edition, seed, epochs)
            part = load(task.test, task.store(config.image_size))
            logit = predict(fitted(edition, task, config), part)
            found = part.table.assign(design=task.design, seed=seed, fold=task.fold, label=part.labels, logit=logit)
            parts.append(found[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def settings(edition: Edition, seed: int, epochs: int = 10) -> RunConfig:
    """The config of a fold's network: plain cross-entropy, ImageNet weights where there are radiographs, 64 pixels."""
    pretraining = "none" if edition.name == "phantom" else "imagenet"
    return run_config(
        edition=edition.name, protocol="clean", model="squeezenet", head="native", pretraining=pretraining, beta=None,
        profile="cpu", epochs=epochs, precision="float32", draw_seed=seed, seed=seed,
    )  # fmt: skip


def tasks(rows: pd.DataFrame, seed: int) -> list[Task]:
    """The networks of one seed, from `sample.eligible` rows: FOLDS cross-fitted ones, and the external one if it has a test.

    Raises DataError where no source (of phantoms: site) has both classes from at least FOLDS components.
    """
    rows = rows[adults(rows)]
    counts = patients(rows)
    both = counts.index[(counts >= FOLDS).all(axis=1)]
    if both.empty:
        raise DataError(f"no source has images of both classes from {FOLDS} patients: cross-fitting needs one.")
    negative = counts.index[counts["covid"] == 0]
    others = _shuffled(rows[rows["origin"].isin(negative)]).groupby("origin").head(OTHERS)
    mixed = _shuffled(rows[rows["origin"].isin(both)]).groupby(["origin", "label"]).head(MOST)
    pool = pd.concat([mixed, others]).sort_values("image_id").reset_index(drop=True)
    folds = _folds(pool, seed)
    found = [Task(CROSS_FITTED, seed, k, pool.iloc[a], pool.iloc[b]) for k, (a, b) in enumerate(folds)]

    known = [mixed["origin"].value_counts().idxmax(), *negative]
    unseen = rows[~rows["origin"].isin(known)]
    if len(unseen):
        held = pool.iloc[_folds(pool, 0)[0][1]]  # the same images for every seed
        test = pd.concat([unseen, held[held["origin"].isin(negative)]]).reset_index(drop=True)
        seen = pool[pool["origin"].isin(known) & ~pool["component"].isin(test["component"])]
        found.append(Task(EXTERNAL, seed, -1, seen, test))
    return found


def _shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sample(frac=1, random_state=0)


def _folds(pool: pd.DataFrame, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return grouped_folds(pool["origin"] + pool["label"], pool["component"], FOLDS, seed)


def fitted(edition: Edition, task: Task, config: RunConfig) -> Classifier:
    """The network of a task in evaluation mode: read from the cache, or trained now and kept there."""
    imagenet = config.pretraining == "imagenet"
    identity = {
        "config": config.model_dump(),
        "train": task.train["image_id"].tolist(),
        "data": edition.digest,
        "weights": imagenet_digest(config.model) if imagenet else None,
        "code": training_code(),
    }
    path = cache_root() / "checkpoints" / f"cross-fitting-{digest(identity)[:16]}.safetensors"
    normalise = imagenet and config.rules.normalisation == "weights"
    if path.is_file():
        network = build_network(config.model, config.image_size, config.seed, head=config.head, normalise=normalise)
        network.load_state_dict(load_file(path))
        return network.eval()
    store = task.store(config.image_size)
    parts = train_valid_split(load(task.train.assign(variant=0), store), config, augmented=False)
    samples = RunSamples(*parts, load(task.test, store), pd.DataFrame())
    network = train(config, samples, load_imagenet(config.model) if imagenet else None).network
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path) as part:
        save_file(state, part)
    return network.eval()
