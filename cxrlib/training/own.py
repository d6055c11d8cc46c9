"""One call from a folder of images and a table to a trained network, its predictions and the checks on both."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from cxrlib.config import MODELS, RUN_PARAMETER, RunConfig, resolve
from cxrlib.data.check import CheckReport, check
from cxrlib.data.readers import read_data
from cxrlib.data.division import PARTS, Division, divide, edition_of
from cxrlib.data.readers.base import Collection
from cxrlib.data.samples import Samples, limit, load_samples
from cxrlib.errors import ParameterError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.decoding import resize
from cxrlib.images.store import open_store
from cxrlib.losses.weighted import build_loss
from cxrlib.networks.classifier import TRUNKS, Classifier, build_network
from cxrlib.networks.weights import imagenet_digest, load_imagenet
from cxrlib.paths import cache_root
from cxrlib.records.provenance import Stopwatch
from cxrlib.records.record import Record
from cxrlib.storage import digest
from cxrlib.training.learner import build_learner, fit, predict
from cxrlib.training.loaders import make_loaders
from cxrlib.training.precision import best_device, compute_dtype, make_deterministic
from cxrlib.training.runs import evaluate

NOT_OF_THE_STUDY = ("edition", "licences", "cohort", "model")
THUMBNAIL = 8  # pixels a side of what the baseline sees


@dataclass(frozen=True)
class OwnConfig(RunConfig):
    """A run's config on data that are not the study's: edition and cohort carry the collection's name.

    `model` may be any of `networks.TRUNKS`, so also one that was added there. Chest X-ray pretraining belongs to
    the study's editions and is not offered.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in NOT_OF_THE_STUDY:
                object.__setattr__(self, field.name, RUN_PARAMETER[field.name].check(getattr(self, field.name)))
        if self.model not in TRUNKS:
            raise ParameterError(f"unknown model '{self.model}': choose one of {', '.join(TRUNKS)}.")
        if self.pretraining not in ("none", "imagenet"):
            raise ParameterError(f"pretraining = '{self.pretraining}' is not allowed here: choose none or imagenet.")
        if self.pretraining == "imagenet" and self.model not in ("resnet50", "squeezenet", "vgg19"):
            raise ParameterError(f"pretraining = 'imagenet' does not exist for model '{self.model}': choose none.")

    @classmethod
    def of(cls, name: str, **parameters: Any) -> "OwnConfig":
        """The config of a run on the collection `name`; parameters as in `RunConfig`, filled from the profile."""
        model = parameters.pop("model", RUN_PARAMETER["model"].default)
        known = model in MODELS
        values = resolve({**parameters, "edition": "phantom", "model": model if known else MODELS[0]})
        if not known and parameters.get("pretraining", "auto") == "auto":
            values["pretraining"] = "none"
        return cls(**{**values, "edition": name, "cohort": name, "model": model})


@dataclass(frozen=True)
class OwnRun:
    """What came of it: the checks on the data, the parts, the record, the baseline and the network."""

    check: CheckReport
    division: Division
    record: Record
    baseline: dict[str, Any]  # `metrics.summary` of the thumbnail baseline on the test part
    network: Classifier


def train_own(
    data: str | Path | Collection, loss: nn.Module | None = None, positive: str | None = None, **parameters: Any
) -> OwnRun:
    """Check a collection, divide it by patient, train under a config and test once.

    `data`: as `readers.read_data` takes it, or a collection. `loss`: logits [B, 2] and labels [B] to a scalar, in
    place of the weighted cross-entropy of `beta`. `parameters`: those of `RunConfig`. Raises DataError where the
    data do not allow it, ParameterError, WeightsError.
    """
    collection = data if isinstance(data, Collection) else read_data(data, positive=positive)
    config = OwnConfig.of(collection.name, **parameters)
    report, edition = check(collection), edition_of(collection)
    store = open_store(edition.images, config.image_size)
    division = divide(edition, store.quarantined, config.rules, config.seed, config.valid_fraction)
    train, valid, test = (load_samples(store, getattr(division, name))[0] for name in PARTS)
    train = limit(train, config.train_limit, config.seed)
    inputs = {
        "data": edition.digest,
        "samples": digest({name: sorted(getattr(division, name)["image_id"]) for name in PARTS}),
        "weights": imagenet_digest(config.model) if config.pretraining == "imagenet" else None,
    }
    device = best_device()
    make_deterministic()
    imagenet = config.pretraining == "imagenet"
    network = build_network(
        config.model,
        config.image_size,
        config.seed,
        trunk_state=load_imagenet(config.model) if imagenet else None,
        normalise=imagenet and config.rules.normalisation == "weights",
    )
    watch = Stopwatch(device)
    torch.manual_seed(config.seed)
    loaders = make_loaders(
        train.pixels,
        train.labels,
        valid.pixels,
        valid.labels,
        batch_size=config.batch_size,
        device=device,
        seed=config.seed,
        batch_augmentation=config.batch_augmentation,
    )
    loss = build_loss(config.beta, config.rules.loss_without_beta) if loss is None else loss
    log = cache_root() / "history" / f"own-{digest({'inputs': inputs, 'config': config.to_dict()})[:12]}.csv"
    learner = build_learner(config, network, loaders, loss, log, f"{collection.name} {config.model}")
    history, kept = fit(learner, config.epochs)
    wall = max(watch.stop()["wall_s"], 1e-9)
    predictions = pd.concat(
        [
            _predictions(name, part, predict(learner.model, part.pixels, 2 * config.batch_size, device))
            for name, part in (("valid", valid), ("test", test))
        ],
        ignore_index=True,
    )
    provenance = {
        **watch.stop(),
        "command": _command(data, positive, parameters),
        "loss": type(loss).__name__,
        "precision": str(compute_dtype(device)).removeprefix("torch."),
        "epochs_run": len(history),
        "epoch_kept": kept,
        "train_images_per_s": round(len(history) * len(train) / wall, 1),
        "counts": {"train": train.counts(), "valid": valid.counts(), "test": test.counts()},
        "left_out": division.left_out["reason"].value_counts().to_dict(),
    }
    record = Record(config, inputs, evaluate(predictions), predictions, history, provenance)
    return OwnRun(report, division, record, baseline(train, test), network)


def baseline(train: Samples, test: Samples) -> dict[str, Any]:
    """What a logistic regression on thumbnails of 8 x 8 pixels and the grey-level histogram reaches on the test part.

    It cannot see a lesion: whatever it reaches can be had from framing, exposure and build. Keys as `metrics.summary`.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    model.fit(_coarse(train.pixels), train.labels)
    probability = model.predict_proba(_coarse(test.pixels))[:, 1]
    return summary(test.labels, probability, groups=test.table["component"].to_numpy())


def by_group(run: OwnRun, column: str = "source") -> pd.DataFrame:
    """Test images of each value of a column at threshold 0.5: the column, positives, negatives, sensitivity, specificity.

    With `finding` this is the view by class of a collection with more than two, such as COVIDx, whose normal and
    pneumonia images are both negatives. Raises ParameterError for a column that the images do not have.
    """
    if column not in run.division.test:
        raise ParameterError(f"the images have no column '{column}': choose source, finding, view or population.")
    values = run.division.test.set_index("image_id")[column].fillna("not stated")
    test = run.record.test()
    rows = []
    for name, part in test.groupby(test["image_id"].map(values)):
        found = summary(part["label"].to_numpy(), part["probability"].to_numpy())
        rows.append(
            {column: name, **{key: found[key] for key in ("positives", "negatives", "sensitivity", "specificity")}}
        )
    return pd.DataFrame(rows).astype({"sensitivity": float, "specificity": float})


def _coarse(pixels: np.ndarray) -> np.ndarray:
    thumbnails = [resize(image.astype(np.float32) / 255, THUMBNAIL).ravel() for image in pixels]
    histograms = [np.histogram(image, bins=16, range=(0, 256))[0] / image.size for image in pixels]
    return np.hstack([np.stack(thumbnails), np.stack(histograms)])


def _predictions(split: str, part: Samples, logit: np.ndarray) -> pd.DataFrame:
    """Rows as `records.PREDICTION_COLUMNS` has them."""
    table = part.table
    return pd.DataFrame(
        {
            "split": split,
            "image_id": table["image_id"],
            "component": table["component"].astype(np.int64),
            "overlap": table["overlap"].astype(bool) if "overlap" in table else False,
            "label": part.labels.astype(np.int8),
            "logit": logit.astype(np.float32),
            "probability": (1.0 / (1.0 + np.exp(-logit.astype(np.float64)))).astype(np.float32),
        }
    )


def _command(data: object, positive: str | None, parameters: dict[str, Any]) -> str:
    """The command line that repeats the run, without the folder that the data lie in."""
    name = data.name if isinstance(data, Collection | Path) else Path(str(data)).name
    parts = ["python", "-m", "cxrlib", "own", name]
    parts += ["--positive", positive] if positive else []
    parts += [text for key, value in parameters.items() if value is not None for text in ("-p", f"{key}={value}")]
    return shlex.join(parts)
