"""Chest X-ray pretraining: healthy against diseased, trained by the study itself (section VI.B).

The paper fine-tunes on 1,500 + 1,500 CheXpert images, which does not say from which weights: `chestxray` starts from random
ones, `imagenet+chestxray` from ImageNet's. The trunk of the best epoch is kept as safetensors, and the file's SHA-256 stands
in the record of every run that starts from it.
"""

import json
from pathlib import Path
from typing import Any

import torch

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition
from cxrlib.data.samples import RunSamples, subsample, train_valid_split
from cxrlib.data.selection import load_samples
from cxrlib.evaluation.metrics import summary
from cxrlib.images.store import open_store
from cxrlib.networks.weights import load_imagenet, load_trunk, save_trunk
from cxrlib.paths import cache_root, results_root
from cxrlib.storage import atomic_path, digest, file_digest, lock
from cxrlib.training.train import predict, train

SCHEDULE = {"epochs": 20, "patience": 6, "learning_rate": 1e-3, "lr_decay": 0.9, "adam_beta1": 0.9, "head": "native"}
"""How the pretraining differs from a run: its own classifier, a larger and falling rate, more epochs.

Under the released head and a run's own schedule it did not learn (its best epoch was the first).
"""


def pretraining_config(config: RunConfig) -> RunConfig:
    """The config of the pretraining that a run needs: the run's network, size, data and seeds under `SCHEDULE`."""
    schedule = SCHEDULE | ({"head": "released"} if config.model == "acnn" else {})
    start = "imagenet" if config.pretraining.startswith("imagenet") else "none"
    return config.replace(
        protocol="clean", pretraining=start, beta=None, loss="wce", cohort="combined", preparation="minmax",
        batch_augmentation="none", batch_norm="torch", train_limit=None, **schedule,
    )  # fmt: skip


def pretraining_key(config: RunConfig, edition: Edition) -> str:
    """Readable name of a pretraining plus 12 hexadecimal digits of the digest of its config and data."""
    settings = pretraining_config(config)
    identity = digest({"config": settings.model_dump(), "data": edition.digest})[:12]
    start = "-imagenet" if settings.pretraining == "imagenet" else ""
    return f"{config.profile}-{config.edition}-pretraining-{config.model}{start}-d{config.draw_seed}s{config.seed}-{identity}"


def pretrained_trunk(config: RunConfig, edition: Edition) -> dict[str, torch.Tensor]:
    """State of the pretrained trunk: from the cache, else trained now, with a record in `results/pretraining`."""
    path = _trunk_path(config, edition)
    with lock(path):
        if not path.is_file():
            _pretrain(config, edition, path)
    return load_trunk(path)


def pretrained_digest(config: RunConfig, edition: Edition) -> str:
    """SHA-256 of the trunk file that a run starts from; the pretraining's key where it has not been trained yet."""
    path, key = _trunk_path(config, edition), pretraining_key(config, edition)
    recorded = results_root() / "pretraining" / f"{key}.json"
    if recorded.is_file():
        return str(json.loads(recorded.read_text())["trunk_sha256"])
    return file_digest(path) if path.is_file() else key


def _trunk_path(config: RunConfig, edition: Edition) -> Path:
    return cache_root() / "pretraining" / f"{pretraining_key(config, edition)}.safetensors"


def _pretrain(config: RunConfig, edition: Edition, path: Path) -> None:
    settings = pretraining_config(config)
    cohort = build_cohort(edition, "pretraining", settings.rules, settings.draw_seed)
    images, lost = load_samples(open_store(edition.images, settings.image_size), cohort.train)
    training, valid = train_valid_split(images, settings, augmented=False)
    training = subsample(training, settings.train_limit, settings.draw_seed)
    samples = RunSamples(training, valid, valid, lost)
    samples.check("pretraining")
    start = load_imagenet(settings.model) if settings.pretraining == "imagenet" else None
    trained = train(settings, samples, start)
    logit = predict(trained.network, valid)
    save_trunk(trained.network, path, {"key": path.stem})
    record: dict[str, Any] = {
        "config": settings.model_dump(),
        "data": edition.digest,
        "trunk_sha256": file_digest(path),
        "valid": summary(valid.labels, torch.from_numpy(logit).double().sigmoid().numpy(), scores=logit),
        "counts": {"train": training.counts(), "valid": valid.counts()},
        "classes": {"covid": "diseased", "non_covid": "healthy"},
        "left_out": lost["reason"].value_counts().to_dict(),
        "history": json.loads(trained.history.to_json(orient="records")),
        "provenance": dict(trained.provenance),
    }
    with atomic_path(results_root() / "pretraining" / f"{path.stem}.json") as part:
        part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
