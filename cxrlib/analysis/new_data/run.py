"""From a folder of images and a table, in one call, to a trained network, its predictions, the checks on both, and a report."""

import json
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from cxrlib.analysis.benchmark.submissions import thumbnail_baseline
from cxrlib.analysis.experiments import comparison_table, provenance_table
from cxrlib.analysis.sentences import count, estimate
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
from cxrlib.names import beta_text
from cxrlib.networks.classifier import TRUNKS, Classifier
from cxrlib.networks.heads import default_head
from cxrlib.networks.weights import imagenet_digest, save_state
from cxrlib.paths import cache_root, data_root
from cxrlib.records.record import Record, interrupted, run_key, runs_root
from cxrlib.storage import atomic_path, check_folder, check_writable, digest
from cxrlib.training.configure import resolve
from cxrlib.training.runs import as_record, initial_trunk, keep
from cxrlib.training.segmentation import preparation
from cxrlib.training.train import train

FIXED = ("edition", "cohort", "licences")  # parameters of a run that choose images of the study: none here
MARKER = "cxrlib-report.json"
"""The file that says that a folder is a report, and lists its files; no other folder is ever replaced."""
FOR_YOU = "for you to fill"  # an answer of a checklist that only a person can give


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
    report = check(collection)
    edition = edition_of(collection, report.changed)
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
    name = data.name if isinstance(data, Collection) else Path(data).expanduser().absolute().name
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


def by_source(run: NewRun) -> pd.DataFrame:
    """Test images of each source at threshold 0.5: source, positives, negatives, sensitivity, specificity."""
    test, shown = run.record.test(), ["positives", "negatives", "sensitivity", "specificity"]
    source = test["source"].fillna("not stated")
    rows = [{"source": name, **summary(part["label"], part["probability"])} for name, part in test.groupby(source)]
    return pd.DataFrame(rows)[["source", *shown]].astype(dict.fromkeys(shown[2:], float))


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
        "by_source": by_source(run),
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
    source = source if source.exists() else data_root() / data
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


def checklist(record: Record, check: CheckReport) -> pd.DataFrame:
    """CLAIM (Mongan et al., 2020) and TRIPOD+AI (Collins et al., 2024) for a run: checklist, item, asks, answer, by.

    There are 42 items and 52 (in 27 groups), worded here in short. `by`: 'record' or 'you'; an answer that only a person
    can give reads `FOR_YOU`, one that is known in part names what is missing still.
    """
    with (files(__package__) / "checklists.csv").open("rb") as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    found = table["answer"].map(_answers(record, check))
    return table.assign(answer=found.fillna(FOR_YOU), by=found.notna().map({True: "record", False: "you"}))


def _answers(record: Record, check: CheckReport) -> Mapping[str, str]:
    c, p, m, rules = record.config, record.provenance, record.metrics["test"], record.config.rules
    counts = "; ".join(f"{part} {n['covid']} positive, {n['non_covid']} negative" for part, n in p["counts"].items())
    left_out = "; ".join(f"{n} {reason}" for reason, n in p["left_out"].items()) or "none"
    level = "patient and picture (connected components)" if rules.split == "patient" else "image"
    measure = "accuracy" if c.recipe == "deepcovid" else "loss"
    weight = "no class weight" if c.beta is None else f"positive class weighted by {beta_text(c.beta)} in the loss"
    areas = ("sensitivity", "specificity", "auroc")
    table = check.table.query("verdict != 'OK'")
    warned = "; ".join(table["check"] + " " + table["images"].astype(str))
    return {
        "sources": f"{c.edition}, digest {str(record.inputs['data'])[:12]}; add centres and dates",
        "preprocessing": f"one grey channel, min-max scaling of each image, {c.image_size} x {c.image_size} pixels, preparation {c.preparation}",
        "subset": f"training set {'whole' if c.train_limit is None else f'at most {c.train_limit} images'}; left out: {left_out}",
        "missing": f"images left out, with the reason: {left_out}",
        "division": counts,
        "disjoint": f"{level}; test images linked to training: {int(record.test()['overlap'].sum())}",
        "model": f"{c.model} with head '{c.head}', input [1, {c.image_size}, {c.image_size}], output: logits of two classes",
        "software": ", ".join(f"{name} {number}" for name, number in p["versions"].items()),
        "initial": f"{c.pretraining}, digest {str(record.inputs['weights'])[:12]}" if record.inputs["weights"] else "random",
        "training": f"one model, {'SGD' if c.recipe == 'deepcovid' else 'Adam'} at {c.learning_rate:g}, batches of {c.batch_size}, "
        f"{p['epochs_run']} of at most {c.epochs} epochs, augmentation {c.batch_augmentation}, loss {c.loss}, {weight}, seed {c.seed}",
        "selection": f"{f'the epoch with the best validation {measure}' if rules.checkpoint == 'best' else 'the last epoch'} "
        f"(epoch {p['epoch_kept'] + 1})",
        "ensembling": "none",
        "measures": "sensitivity, specificity, balanced accuracy, AUROC, AUPRC on the test part",
        "uncertainty": "95 % Clopper-Pearson intervals of rates; bootstrap by patient for the others",
        "flow": f"{counts}; left out: {left_out}; draw the diagram from these",
        "performance": "; ".join(f"{name} {estimate(m[name], m[f'{name}_low'], m[f'{name}_high'])}" for name in areas),
        "output": "probability of the positive class; thresholds 0.5 and "
        f"{record.metrics['test_tuned']['threshold']:.3g} (best balanced accuracy on validation)",
        "imbalance": f"{weight}; no recalibration afterwards",
        "code": f"cxrlib {p['versions'].get('cxrlib', '')}, revision {str(p['code_revision'])[:12]}; say where it can be had",
        "counts": counts,
        "preparation": warned or "every check passed",
    }  # fmt: skip
