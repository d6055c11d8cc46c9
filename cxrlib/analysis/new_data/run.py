"""One call from a folder of images and a table to a trained network, its predictions, the checks on both, and a report."""

import json
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from cxrlib.analysis.benchmark.submissions import thumbnail_baseline
from cxrlib.analysis.new_data.checklists import checklist
from cxrlib.analysis.sentences import count, estimate
from cxrlib.analysis.single_run import comparison_table, provenance_table
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
from cxrlib.networks.weights import imagenet_digest, save_state
from cxrlib.paths import cache_root
from cxrlib.records.record import Record, interrupted, run_key, runs_root
from cxrlib.storage import atomic_path, check_folder, check_writable, digest
from cxrlib.training.configure import resolve
from cxrlib.training.runs import as_record, initial_trunk, keep
from cxrlib.training.segmentation import preparation
from cxrlib.training.train import train

FIXED = ("edition", "cohort", "licences")
"""Parameters of a run that say which of the study's images it uses, and so have no meaning here."""
MARKER = "cxrlib-report.json"
"""The file that says that a folder is a report, and lists its files; no other folder is ever replaced."""


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

    `data`: as `data.readers.read_data` takes it, or a collection. `criterion`: a module of logits [B, 2] and labels [B]
    in place of the config's loss (such a run is not kept). Raises DataError, ParameterError or WeightsError.
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
    inputs = {
        "data": edition.digest,
        "samples": digest({name: sorted(part.table["image_id"]) for name, part in parts.items()}),
        "weights": imagenet_digest(config.model) if config.pretraining == "imagenet" else None,
    }
    state = interrupted(run_key(config, inputs)) if save else None
    trained = train(config, samples, initial_trunk(config, edition), criterion, state)
    name = data.name if isinstance(data, Collection | Path) else Path(str(data)).name
    record = as_record(config, inputs, samples, trained, repeat_command(config, name, positive))
    if save:
        keep(record, trained.network)
    return NewRun(report, division, record, thumbnail_baseline(samples.train, samples.test), trained.network)


def repeat_command(config: RunConfig, data: str, positive: str | None) -> str:
    """The command line that repeats the run beside the folder `data`: every parameter that is not at its default, None too."""
    given = config.model_dump(exclude=set(FIXED)).items()
    changed = [f"{name}={value}" for name, value in given if value != RunParameters.model_fields[name].default]
    words = ["python", "-m", "cxrlib", "own", data, *(["--positive", positive] if positive else [])]
    return shlex.join([*words, *(word for text in changed for word in ("-p", text))])


def by_group(run: NewRun, column: str = "source") -> pd.DataFrame:
    """Test images of each value of a column at threshold 0.5: the column, positives, negatives, sensitivity, specificity.

    With `finding` this is the view by class of a collection with more than two, such as COVIDX-Ray-5K, whose
    negatives have different findings.
    """
    values = run.division.test.set_index("image_id")[column].fillna("not stated")
    test = run.record.test()
    shown = ["positives", "negatives", "sensitivity", "specificity"]
    rows = [
        {column: name, **summary(part["label"], part["probability"])}
        for name, part in test.groupby(test["image_id"].map(values))
    ]
    return pd.DataFrame(rows)[[column, *shown]].astype(dict.fromkeys(shown[2:], float))


def against_baseline(run: NewRun) -> pd.DataFrame:
    """The network and the thumbnail baseline on the same test images: by, metric, value, low, high."""
    rows = [
        (who, name, found[name], found[f"{name}_low"], found[f"{name}_high"])
        for who, found in (("network", run.record.metrics["test"]), ("8 x 8 thumbnails", run.baseline))
        for name in ("sensitivity", "specificity", "bacc", "auroc")
    ]
    columns = ["by", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def report_tables(run: NewRun) -> dict[str, pd.DataFrame]:
    """Every table of the report by the name of its CSV file."""
    return {
        "check": run.check.table,
        "division": run.division.counts(),
        "left_out": run.division.left_out.value_counts("reason").rename("images").reset_index(),
        "metrics": comparison_table(run.record).drop(columns="paper"),
        "baseline": against_baseline(run),
        "by_source": by_group(run),
        "origin": run.check.verdicts["shortcuts"].rows,
        "checklist": checklist(run.record, run.check),
        "provenance": provenance_table(run.record),
    }


def summary_sentence(run: NewRun) -> str:
    """Two sentences: what the check found, and what the network reaches beside the baseline."""
    errors, warnings = (int((run.check.table["verdict"] == name).sum()) for name in ("error", "warning"))
    ours, theirs = run.record.metrics["test"], run.baseline
    ahead = ours["auroc_low"] is not None and ours["auroc_low"] > theirs["auroc"]
    return (
        f"The check of the data found {count(errors, 'error')} and {count(warnings, 'warning')}. On the {ours['n']} test images "
        f"the network reaches an AUROC of {estimate(ours['auroc'], ours['auroc_low'], ours['auroc_high'], 2)} and a baseline on "
        f"8 x 8 thumbnails {theirs['auroc']:.2f}: the network is {'ahead' if ahead else 'not shown to be ahead'} of it."
    )


def output_folder(output: str | None, data: str) -> Path:
    """The folder that the report goes to, or a new temporary one; ParameterError, before any work, where it may not."""
    if output is None:
        return Path(tempfile.mkdtemp(prefix="cxr-")) / "report"
    folder, source = Path(output).expanduser(), Path(data).expanduser()
    check_folder(folder, MARKER, source if source.exists() else None)
    return folder


def write_files(run: NewRun, found: dict[str, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """Write tables, metrics, history and predictions, config and weights into `folder`; returns its files: file, KiB.

    `model.safetensors` is what `python -m cxrlib predict` takes. Only an earlier report is replaced.
    """
    record = run.record
    with atomic_path(folder, MARKER) as part:
        part.mkdir()
        for name, table in (found | {"history": record.history, "predictions": record.predictions}).items():
            table.to_csv(part / f"{name}.csv", index=False)
        for name, value in {
            "check": run.check.to_dict(),
            "config": {"config": record.config.model_dump(), "inputs": dict(record.inputs)},
            "record": {"metrics": record.metrics, "provenance": record.provenance},
        }.items():
            (part / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        save_state(run.network, part / "model.safetensors", {"config": record.config.model_dump_json()})
    sizes = {path.name: path.stat().st_size / 1024 for path in sorted(folder.iterdir())}
    return pd.DataFrame({"file": list(sizes), "KiB": list(sizes.values())})
