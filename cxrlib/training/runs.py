"""One run of the study: train under a config, predict the test set once, leave a record; or read the record."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from cxrlib.config import RunConfig, RunParameters
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.samples import RunSamples, Samples
from cxrlib.data.selection import run_samples, selection_digest
from cxrlib.errors import DataError, RecordError
from cxrlib.images.equalisation import equalised
from cxrlib.networks.classifier import Classifier
from cxrlib.networks.weights import imagenet_digest, load_imagenet
from cxrlib.paths import cache_root
from cxrlib.records.evaluate import evaluate
from cxrlib.records.record import Record, find_record, runs_root, save_record
from cxrlib.storage import atomic_path, check_writable
from cxrlib.training.pretraining import pretrained_digest, pretrained_trunk, pretraining_key
from cxrlib.training.segmentation import train_segmenter
from cxrlib.training.train import Trained, predict, train


def run(config: RunConfig, edition: Edition | None = None, rerun: bool = False, save: bool = True) -> Record:
    """The record of a run: read if it is there, else trained, tested, written and returned.

    `rerun` trains again and replaces the record; without `save` nothing is written. Raises DataError if `edition` is not the one the config names,
    WeightsError if initial weights are missing, ParameterError if results or cache cannot be written.
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
    trained = train(config, samples, initial_trunk(config, edition))
    record = as_record(config, inputs, samples, trained, repeat_command(config))
    if config.pretraining.endswith("chestxray"):
        trunk = {"trunk_sha256": pretrained_digest(config, edition)}
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
    """The samples after the config's `preparation`: as stored, equalised, or all but the lungs black.

    The U-Net that finds the lungs is trained on images with lung masks of `edition`, none of a test component.
    """
    if config.preparation == "minmax":
        return samples
    if config.preparation == "equalised":
        return samples.change_pixels(equalised)
    unseen = frozenset(samples.test.table["component"])
    segmenter = train_segmenter(edition, config.image_size, unseen, config.draw_seed)
    return samples.change_pixels(segmenter.prepare)


def as_record(
    config: RunConfig, inputs: Mapping[str, str | None], samples: RunSamples, trained: Trained, command: str
) -> Record:
    """Predict the validation and test images once and gather what the run leaves; `command` repeats it."""
    parts = {"train": samples.train, "valid": samples.valid, "test": samples.test}
    predictions = pd.concat(
        [prediction_rows(name, parts[name], predict(trained.network, parts[name])) for name in ("valid", "test")],
        ignore_index=True,
    )
    provenance = {
        **trained.provenance,
        "command": command,
        "counts": {name: part.counts() for name, part in parts.items()},
        "left_out": samples.left_out["reason"].value_counts().to_dict(),
    }
    return Record(config, dict(inputs), evaluate(predictions), predictions, trained.history, provenance)


def keep(record: Record, network: Classifier) -> None:
    """Write the trained weights into the cache and the record; where that fails, say where the record is kept instead."""
    save_checkpoint(record, network)
    try:
        save_record(record)
    except OSError as error:
        kept = save_record(record, cache_root() / "unsaved")
        raise RecordError(f"the record could not be written ({error.strerror}): it is kept at {kept}.") from error


def prediction_rows(split: str, part: Samples, logit: np.ndarray) -> pd.DataFrame:
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


def repeat_command(config: RunConfig) -> str:
    """The papermill command that repeats a run exactly: every parameter that is not at its default."""
    parts = ["papermill", "chapters/05_experiments.ipynb", "runs/repeat.ipynb"]
    for name, value in config.model_dump().items():
        if value != RunParameters.model_fields[name].default:
            parts += ["-p", name, str(value)]
    return shlex.join([*parts, "-p", "rerun", "True"])


def save_checkpoint(record: Record, network: Classifier) -> None:
    """Keep the trained weights in the cache (not in the record): attribution and `predict` load them."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(checkpoint_path(record.key)) as part:
        save_file(state, part, metadata={"config": record.config.model_dump_json()})


def checkpoint_path(key: str) -> Path:
    """File of a run's trained weights, as safetensors, in the cache."""
    return cache_root() / "checkpoints" / f"{key}.safetensors"


def recorded(config: RunConfig, edition: Edition) -> Record | None:
    """The record of a run if it is there, without training."""
    return find_record(config, run_inputs(config, edition))
