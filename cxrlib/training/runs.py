"""One run: train under a config, predict once on the test set, leave a record; or read the record."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from cxrlib.config import RUN_PARAMETER, RunConfig
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.samples import Samples, prepare, selection_digest
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import summary, tune_threshold
from cxrlib.losses.alternatives import ALTERNATIVES, Resampling, build_alternative
from cxrlib.losses.weighted import build_loss
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.weights import imagenet_digest, load_imagenet
from cxrlib.paths import cache_root
from cxrlib.records.provenance import Stopwatch
from cxrlib.records.record import Record, find_record, run_key, save_record
from cxrlib.storage import atomic_path
from cxrlib.training.learner import build_learner, fit, predict
from cxrlib.training.loaders import make_loaders
from cxrlib.training.precision import best_device, compute_dtype, make_deterministic
from cxrlib.training.pretraining import pretrained_trunk, pretraining_key


def run(config: RunConfig, edition: Edition | None = None, rerun: bool = False) -> Record:
    """The record of a run: read if it is there, else trained, tested, written and returned.

    `rerun` trains again and replaces the record. Raises DataError if `edition` is not the one the config
    names, WeightsError if initial weights are missing.
    """
    edition = edition or load_edition(config.edition, config.licences)
    if edition.name != config.edition:
        raise DataError(f"the config asks for the {config.edition} edition but was given the {edition.name} edition.")
    inputs = run_inputs(config, edition)
    recorded = None if rerun else find_record(config, inputs)
    return recorded or _train(config, edition, inputs)


def run_inputs(config: RunConfig, edition: Edition) -> dict[str, str | None]:
    """What the run starts from besides its config: digests of the edition, of the images drawn from it and of the
    initial weights."""
    weights = None
    if config.pretraining == "imagenet":
        weights = imagenet_digest(config.model)
    elif config.pretraining == "chestxray":
        weights = pretraining_key(config, edition)
    return {"data": edition.digest, "samples": selection_digest(config, edition), "weights": weights}


def recorded(config: RunConfig, edition: Edition) -> Record | None:
    """The record of a run if it is there, without training."""
    return find_record(config, run_inputs(config, edition))


def command(config: RunConfig) -> str:
    """The papermill command that repeats a run exactly."""
    parts = [
        "papermill",
        "chapters/05_experiments.ipynb",
        f"runs/{config.profile}-{config.cohort}-{config.model}.ipynb",
    ]
    for name, value in config.to_dict().items():
        if value != RUN_PARAMETER[name].default:
            parts += ["-p", name, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(parts)


def initial_network(config: RunConfig, edition: Edition) -> Classifier:
    """The network before training: random, ImageNet or chest X-ray weights in the trunk, a random head.

    ImageNet weights get the input scaling the protocol asks for; every other network sees [0, 1].
    """
    state = None
    if config.pretraining == "imagenet":
        state = load_imagenet(config.model)
    elif config.pretraining == "chestxray":
        state = pretrained_trunk(config, edition)
    normalise = config.pretraining == "imagenet" and config.rules.normalisation == "weights"
    return build_network(config.model, config.image_size, config.seed, trunk_state=state, normalise=normalise)


def run_loss(config: RunConfig, labels: np.ndarray) -> nn.Module:
    """The loss a run trains with; `labels` of its training images [N] give the class counts some losses need."""
    if config.loss in ALTERNATIVES:
        return build_alternative(config.loss, np.bincount(labels, minlength=2).tolist())
    return build_loss(config.beta, config.rules.loss_without_beta)


def _train(config: RunConfig, edition: Edition, inputs: Mapping[str, str | None]) -> Record:
    device, key = best_device(), run_key(config, inputs)
    make_deterministic()
    network = initial_network(config, edition)
    watch = Stopwatch(device)
    samples = prepare(config, edition)
    torch.manual_seed(config.seed)
    loaders = make_loaders(
        samples.train.pixels,
        samples.train.labels,
        samples.valid.pixels,
        samples.valid.labels,
        batch_size=config.batch_size,
        device=device,
        seed=config.seed,
        batch_augmentation=config.batch_augmentation,
        weights=Resampling().weights(samples.train.labels) if config.loss == "resampled" else None,
    )
    loss = run_loss(config, samples.train.labels)
    title = f"{config.cohort} {config.model} {config.protocol}"
    learner = build_learner(config, network, loaders, loss, cache_root() / "history" / f"{key}.csv", title)
    history, kept = fit(learner, config.epochs)
    fit_wall = watch.stop()["wall_s"]
    predictions = pd.concat(
        [
            _predictions(name, part, predict(learner.model, part.pixels, 2 * config.batch_size, device))
            for name, part in (("valid", samples.valid), ("test", samples.test))
        ],
        ignore_index=True,
    )
    seen = len(history) * len(samples.train)
    provenance = {
        **watch.stop(),
        "command": command(config),
        "precision": str(compute_dtype(device)).removeprefix("torch."),
        "epochs_run": len(history),
        "epoch_kept": kept,
        "train_images_per_s": round(seen / max(fit_wall, 1e-9), 1),
        "counts": {"train": samples.train.counts(), "valid": samples.valid.counts(), "test": samples.test.counts()},
        "left_out": samples.left_out["reason"].value_counts().to_dict(),
    }
    record = Record(config, dict(inputs), evaluate(predictions), predictions, history, provenance)
    _save_checkpoint(key, network)
    save_record(record)
    return record


def evaluate(predictions: pd.DataFrame) -> dict[str, Any]:
    """Metrics of a run from its predictions: test at 0.5, test at the threshold tuned on validation data,
    the test set with and without the images that overlap with the training set, and validation at 0.5."""
    parts = {name: predictions[predictions["split"] == name] for name in ("valid", "test")}
    threshold = tune_threshold(parts["valid"]["label"].to_numpy(), parts["valid"]["probability"].to_numpy())
    test = parts["test"]
    overlap = test["overlap"].to_numpy(bool)
    positive = test["label"].to_numpy() == 1

    def of(frame: pd.DataFrame, at: float = 0.5) -> dict[str, Any]:
        columns = (frame[name].to_numpy() for name in ("label", "probability", "logit", "component"))
        labels, probabilities, logits, components = columns
        return summary(labels, probabilities, at, scores=logits, groups=components)

    return {
        "test": of(test),
        "test_tuned": of(test, threshold),
        "test_overlapping": of(test[overlap | ~positive]),
        "test_not_overlapping": of(test[~overlap | ~positive]),
        "valid": of(parts["valid"]),
    }


def _predictions(split: str, part: Samples, logit: np.ndarray) -> pd.DataFrame:
    table = part.table
    probability = 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
    return pd.DataFrame(
        {
            "split": split,
            "image_id": table["image_id"] + table["variant"].map(lambda k: f"#{k}" if k else ""),
            "component": table["component"].astype(np.int64),
            "overlap": table["overlap"].astype(bool) if "overlap" in table else False,
            "label": part.labels.astype(np.int8),
            "logit": logit.astype(np.float32),
            "probability": probability.astype(np.float32),
        }
    )


def _save_checkpoint(key: str, network: Classifier) -> None:
    """Keep the trained weights in the cache (not in the record): chapters on attribution load them."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(checkpoint_path(key)) as part:
        save_file(state, part)


def checkpoint_path(key: str) -> Path:
    """File of a run's trained weights, as safetensors, in the cache."""
    return cache_root() / "checkpoints" / f"{key}.safetensors"
