"""One call from a folder of images and a table to a trained network, its predictions and the checks on both."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from cxrlib.analysis.benchmark.baselines import thumbnail_baseline
from cxrlib.analysis.benchmark.predict import preparation
from cxrlib.config import MODELS, RunConfig, RunParameters, checked
from cxrlib.data.check import CheckReport, check
from cxrlib.data.division import PARTS, Division, divide
from cxrlib.data.editions import edition_of
from cxrlib.data.readers import Collection, read_data
from cxrlib.data.samples import RunSamples, subsample
from cxrlib.data.selection import load_samples
from cxrlib.errors import ParameterError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import TRUNKS, Classifier
from cxrlib.networks.heads import default_head
from cxrlib.networks.weights import imagenet_digest, load_imagenet
from cxrlib.paths import cache_root
from cxrlib.records.record import Record, runs_root
from cxrlib.storage import check_writable, digest
from cxrlib.training.configure import resolve
from cxrlib.training.runs import as_record, keep
from cxrlib.training.train import train

FIXED = ("edition", "cohort", "licences")
"""Parameters of a run that say which of the study's images it uses, and so have no meaning here."""


@dataclass(frozen=True)
class NewRun:
    """What came of it: the checks on the data, the parts, the record, the thumbnail baseline and the network."""

    check: CheckReport
    division: Division
    record: Record
    baseline: dict[str, Any]  # `metrics.summary` on the test part
    network: Classifier


def new_config(**parameters: Any) -> RunConfig:
    """The config of a run on new data: parameters as in `RunParameters`, without `FIXED`; all training images by default.

    `model` may be any of `networks.classifier.TRUNKS`, so also one that was added there. Raises ParameterError.
    """
    for name in FIXED:
        if name in parameters:
            raise ParameterError(f"{name} says which images of the study to take: leave it out with data of your own.")
    model, added = parameters.get("model", "auto"), {}
    if model in TRUNKS and model not in MODELS:
        added = {"model": model, "head": default_head(model)}
        parameters = {"pretraining": "none", **parameters, "model": "auto"}
    if str(parameters.get("pretraining")).endswith("chestxray"):
        raise ParameterError("pretraining on chest X-rays belongs to the study's own data: choose none or imagenet.")
    config = resolve(checked(RunParameters, {**parameters, "edition": "phantom"}))
    return config.replace(edition="own", cohort="own", train_limit=parameters.get("train_limit"), **added)


def train_on(
    data: str | Path | Collection,
    positive: str | None = None,
    criterion: nn.Module | None = None,
    save: bool = True,
    **parameters: Any,
) -> NewRun:
    """Check a collection, divide it by patient, train under a config, test once, and keep the record in `results/local`.

    `data`: as `data.readers.read_data` takes it, or a collection. `criterion`: a module of logits [B, 2] and labels [B] in
    place of the config's loss (such a run is not kept). Raises DataError where the data do not allow it, ParameterError, WeightsError.
    """
    config = new_config(**parameters)
    save = save and criterion is None
    for folder in (cache_root(), runs_root(config)) if save else (cache_root(),):
        check_writable(folder)
    collection = data if isinstance(data, Collection) else read_data(data, positive=positive)
    report, edition = check(collection), edition_of(collection)
    store = open_store(edition.images, config.image_size)
    division = divide(edition, store.quarantined, config.rules, config.draw_seed, config.valid_fraction)
    parts = {name: load_samples(store, getattr(division, name))[0] for name in PARTS}
    parts["train"] = subsample(parts["train"], config.train_limit, config.draw_seed)
    samples = RunSamples(**parts, left_out=division.left_out)
    samples.check(collection.name)
    change = preparation(config)
    samples = samples if change is None else samples.change_pixels(change)
    imagenet = config.pretraining == "imagenet"
    inputs = {
        "data": edition.digest,
        "samples": digest({name: sorted(part.table["image_id"]) for name, part in parts.items()}),
        "weights": imagenet_digest(config.model) if imagenet else None,
    }
    trained = train(config, samples, load_imagenet(config.model) if imagenet else None, criterion)
    name = data.name if isinstance(data, Collection | Path) else Path(str(data)).name
    record = as_record(config, inputs, samples, trained, repeat_command(config, name, positive))
    if save:
        keep(record, trained.network)
    return NewRun(report, division, record, thumbnail_baseline(samples.train, samples.test), trained.network)


def repeat_command(config: RunConfig, data: str, positive: str | None) -> str:
    """The command line that repeats the run beside the folder `data`: every parameter that is not at its default, None too."""
    parts = ["python", "-m", "cxrlib", "own", data, *(["--positive", positive] if positive else [])]
    for name, value in config.model_dump(exclude=set(FIXED)).items():
        if value != RunParameters.model_fields[name].default:
            parts += ["-p", f"{name}={value}"]
    return shlex.join(parts)


def by_group(run: NewRun, column: str = "source") -> pd.DataFrame:
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
            {column: name} | {key: found[key] for key in ("positives", "negatives", "sensitivity", "specificity")}
        )
    return pd.DataFrame(rows).astype({"sensitivity": float, "specificity": float})
