"""One run of the study: train under a config, predict the test set once, leave a record; or read the record.

A run may start from a trunk that the study pretrains itself on chest X-rays, healthy against diseased (section VI.B). The
paper fine-tunes on 1,500 + 1,500 CheXpert images and does not say from which weights: `chestxray` starts from random ones,
`imagenet+chestxray` from ImageNet's. The trunk of the best epoch is a safetensors file, named by its SHA-256 in every record.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError

from cxrlib.config import RunConfig, RunParameters
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.samples import RunSamples, Samples, train_valid_split
from cxrlib.data.selection import load_samples, run_samples, selection_digest
from cxrlib.errors import DataError, RecordError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import Classifier
from cxrlib.networks.weights import imagenet_digest, load_imagenet, load_state, save_state
from cxrlib.paths import cache_root, results_root
from cxrlib.records.evaluate import evaluate
from cxrlib.records.record import Record, checkpoint_path, find_record, interrupted, run_key, runs_root, save_record
from cxrlib.storage import atomic_path, check_writable, digest, file_digest, lock
from cxrlib.training.segmentation import preparation
from cxrlib.training.train import Trained, predict, train

SCHEDULE = {"epochs": 20, "patience": 6, "learning_rate": 1e-3, "lr_decay": 0.9, "adam_beta1": 0.9, "head": "native"}
"""How the pretraining differs from a run: its own classifier, a larger and falling rate, more epochs.

Under the released head and a run's own schedule it did not learn (its best epoch was the first).
"""


def run(config: RunConfig, edition: Edition | None = None, rerun: bool = False, save: bool = True) -> Record:
    """The record of a run: read if it is there, else trained, tested, written and returned.

    `rerun` trains again and replaces the record; without `save` nothing is written. Raises DataError if `edition` is not the
    one the config names, WeightsError if initial weights are missing, ParameterError if results or cache cannot be written.
    """
    edition = edition or load_edition(config.edition, config.licences)
    if edition.name != config.edition:
        raise DataError(f"the config asks for the {config.edition} edition but was given the {edition.name} edition.")
    inputs = run_inputs(config, edition)
    recorded = None if rerun else find_record(config, inputs)
    if recorded:
        return recorded
    for folder in (runs_root(config), cache_root()):
        check_writable(folder)
    samples = prepared(config, edition, run_samples(config, edition))
    state = interrupted(run_key(config, inputs)) if save else None
    trained = train(config, samples, initial_trunk(config, edition), state=state)
    record = as_record(config, inputs, samples, trained, repeat_command(config))
    if config.pretraining.endswith("chestxray"):
        trunk = {"trunk_sha256": file_digest(_trunk_path(config, edition))}
        record = replace(record, provenance={**record.provenance, **trunk})
    if save:
        keep(record, trained.network)
    return record


def run_inputs(config: RunConfig, edition: Edition) -> dict[str, str | None]:
    """What the run starts from besides its config: digests of the edition, of the images drawn and of the weights.

    A chest X-ray pretraining is named by its key, which is the same before it has been trained and after; the trunk file's
    SHA-256 stands in the record's provenance.
    """
    weights = None
    if config.pretraining == "imagenet":
        weights = imagenet_digest(config.model)
    elif config.pretraining != "none":
        weights = pretraining_key(config, edition)
    return {"data": edition.digest, "samples": selection_digest(config, edition), "weights": weights}


def initial_trunk(config: RunConfig, edition: Edition) -> dict[str, torch.Tensor] | None:
    """Initial weights of the trunk, or None for random ones, which depend on the seed alone."""
    if config.pretraining == "none":
        return None
    return load_imagenet(config.model) if config.pretraining == "imagenet" else pretrained_trunk(config, edition)


def prepared(config: RunConfig, edition: Edition, samples: RunSamples) -> RunSamples:
    """The samples after the config's `preparation`: as stored, equalised, or all but the lungs black."""
    change = preparation(config, edition)
    return samples.change_pixels(change) if change else samples


def as_record(
    config: RunConfig, inputs: Mapping[str, str | None], samples: RunSamples, trained: Trained, command: str
) -> Record:
    """Predict the validation and test images once and gather what the run leaves; `command` repeats it."""
    parts = {"train": samples.train, "valid": samples.valid, "test": samples.test}
    rows = [_rows(name, parts[name], predict(trained.network, parts[name])) for name in ("valid", "test")]
    predictions = pd.concat(rows, ignore_index=True)
    provenance = {
        **trained.provenance,
        "command": command,
        "counts": {name: part.counts() for name, part in parts.items()},
        "left_out": samples.left_out["reason"].value_counts().to_dict(),
    }
    return Record(config, dict(inputs), evaluate(predictions), predictions, trained.history, provenance)


def _rows(split: str, part: Samples, logit: np.ndarray) -> pd.DataFrame:
    """Rows of a record's predictions for one part; `logit` float [N]. A copy made by augmentation is named `image#copy`."""
    table = part.table
    return pd.DataFrame(
        {
            "split": split,
            "image_id": table["image_id"] + table["variant"].map(lambda copy: f"#{copy}" if copy else ""),
            "source": table["source"].astype(str),
            "component": table["component"].astype(np.int64),
            "overlap": table["overlap"].astype(bool) if "overlap" in table else False,
            "label": part.labels.astype(np.int8),
            "logit": logit.astype(np.float32),
            "probability": (1.0 / (1.0 + np.exp(-logit.astype(np.float64)))).astype(np.float32),
        }
    )


def keep(record: Record, network: Classifier) -> None:
    """Write the record, and the trained weights into the cache; where that fails, say where the record is kept."""
    try:
        save_record(record)
    except OSError as error:
        kept = save_record(record, cache_root() / "unsaved")
        raise RecordError(f"the record could not be written ({error.strerror}): it is kept at {kept}.") from error
    try:
        save_state(network, checkpoint_path(record.key), {"config": record.config.model_dump_json()})
    except (OSError, SafetensorError) as error:
        where = runs_root(record.config) / record.key
        raise RecordError(f"the weights could not be written ({error}): the record is at {where}.") from error
    interrupted(record.key).unlink(missing_ok=True)


def repeat_command(config: RunConfig) -> str:
    """The papermill command that repeats a run exactly: every parameter that is not at its default."""
    defaults = {name: field.default for name, field in RunParameters.model_fields.items()}
    given = {name: str(value) for name, value in config.model_dump().items() if value != defaults[name]}
    words = [word for name, value in given.items() for word in ("-p", name, value)]
    return shlex.join(
        ["papermill", "chapters/05_experiments.ipynb", "runs/repeat.ipynb", *words, "-p", "rerun", "True"]
    )


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
    return load_state(path)


def _trunk_path(config: RunConfig, edition: Edition) -> Path:
    return cache_root() / "pretraining" / f"{pretraining_key(config, edition)}.safetensors"


def _pretrain(config: RunConfig, edition: Edition, path: Path) -> None:
    settings = pretraining_config(config)
    cohort = build_cohort(edition, "pretraining", settings.rules, settings.draw_seed)
    images, lost = load_samples(open_store(edition.images, settings.image_size), cohort.train)
    training, valid = train_valid_split(images, settings, augmented=False)
    samples = RunSamples(training, valid, valid, lost)
    samples.check("pretraining")
    start = load_imagenet(settings.model) if settings.pretraining == "imagenet" else None
    state = interrupted(path.stem)
    trained = train(settings, samples, start, state=state)
    logit = predict(trained.network, valid)
    save_state(trained.network.trunk, path, {"key": path.stem})
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
    state.unlink(missing_ok=True)
