"""Chest X-ray pretraining: healthy against diseased, trained by the study itself (section VI.B).

The paper fine-tunes on 1,500 + 1,500 CheXpert images. Here the network starts from random weights, is
trained with plain cross-entropy, Eq. (3), and its best epoch's trunk is cached as safetensors.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
from cxrlib.data.samples import divide, limit, load_samples
from cxrlib.evaluation.metrics import summary
from cxrlib.images.store import open_store
from cxrlib.losses.weighted import build_loss
from cxrlib.networks.classifier import build_network
from cxrlib.networks.weights import load_trunk, save_trunk
from cxrlib.paths import cache_root, results_root
from cxrlib.records.provenance import Stopwatch
from cxrlib.storage import atomic_path, digest, lock
from cxrlib.training.learner import build_learner, fit, predict
from cxrlib.training.loaders import make_loaders
from cxrlib.training.precision import best_device, make_deterministic

_FIELDS = (
    "edition", "licences", "model", "seed", "image_size", "epochs", "patience", "train_limit", "batch_size",
    "learning_rate", "adam_beta1", "valid_fraction", "profile",
)  # fmt: skip


def pretraining_config(config: RunConfig) -> dict[str, Any]:
    """What decides the pretraining, out of the config of the run that needs it."""
    return {name: getattr(config, name) for name in _FIELDS}


def pretraining_key(config: RunConfig, edition: Edition) -> str:
    """Readable name of a pretraining plus 12 hexadecimal digits of the digest of its config and data."""
    identity = digest({"config": pretraining_config(config), "data": edition.digest})[:12]
    return f"{config.profile}-{config.edition}-pretraining-{config.model}-s{config.seed}-{identity}"


def pretrained_trunk(config: RunConfig, edition: Edition) -> dict[str, torch.Tensor]:
    """State of the pretrained trunk: from the cache, else trained now, with a record in `results/pretraining`."""
    key = pretraining_key(config, edition)
    path = cache_root() / "pretraining" / f"{key}.safetensors"
    with lock(path):
        if not path.is_file():
            _pretrain(config, edition, key, path)
    return load_trunk(path)


def _pretrain(config: RunConfig, edition: Edition, key: str, path: Path) -> None:
    rules = config.replace(protocol="clean", pretraining="none", beta=None, cohort="combined")
    device = best_device()
    make_deterministic()
    watch = Stopwatch(device)
    cohort = build_cohort(edition, "pretraining", rules.rules, config.seed)
    samples, lost = load_samples(open_store(edition.images, config.image_size), cohort.train)
    train, valid = divide(samples, rules.rules, config.valid_fraction, config.seed, augmented=False)
    train = limit(train, config.train_limit, config.seed)
    network = build_network(config.model, config.image_size, config.seed)
    torch.manual_seed(config.seed)
    loaders = make_loaders(
        train.pixels,
        train.labels,
        valid.pixels,
        valid.labels,
        batch_size=config.batch_size,
        device=device,
        seed=config.seed,
    )
    loss = build_loss(None, "cross_entropy")
    learner = build_learner(
        rules, network, loaders, loss, cache_root() / "history" / f"{key}.csv", f"pretraining {config.model}"
    )
    history, kept = fit(learner, config.epochs)
    logit = predict(learner.model, valid.pixels, 2 * config.batch_size, device).astype(np.float64)
    record = {
        "config": pretraining_config(config),
        "data": edition.digest,
        "valid": summary(valid.labels, 1 / (1 + np.exp(-logit)), threshold=0.5),
        "counts": {"train": train.counts(), "valid": valid.counts()},
        "classes": {"covid": "diseased", "non_covid": "healthy"},
        "left_out": lost["reason"].value_counts().to_dict(),
        "epoch_kept": kept,
        "history": json.loads(history.to_json(orient="records")),
        "provenance": watch.stop(),
    }
    save_trunk(network, path, {"key": key})
    with atomic_path(results_root() / "pretraining" / f"{key}.json") as part:
        part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
