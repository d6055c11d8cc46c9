"""A run's record: `results/runs/<key>/`, written once, checked whenever it is read.

The key names the run for people and ends in a digest of its config and its inputs (data and initial
weights), so a record cannot be mistaken for another's.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.config import RUN_PARAMETER, RunConfig
from cxrlib.errors import ParameterError, RecordError
from cxrlib.paths import results_root
from cxrlib.records.provenance import EQUIVALENT, training_code
from cxrlib.storage import atomic_path, digest

FORMAT = 1
PREDICTION_COLUMNS = ("split", "image_id", "component", "overlap", "label", "logit", "probability")


@dataclass(frozen=True)
class Record:
    """Everything a run left: config, inputs, metrics, predictions, history and provenance."""

    config: RunConfig
    inputs: Mapping[str, str | None]  # digests of the edition (data), the images drawn (samples), the initial weights
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame  # PREDICTION_COLUMNS, a row per validation and test image
    history: pd.DataFrame  # a row an epoch
    provenance: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The run's key; see `run_key`."""
        return run_key(self.config, self.inputs)

    @property
    def current(self) -> bool:
        """Whether the training code is still the one that made this record, or computes the same; see `EQUIVALENT`."""
        return self.provenance["training_code"] in (training_code(), *EQUIVALENT)

    @property
    def machine(self) -> str:
        """The processor or GPU that made this record, and its threads."""
        return str(self.provenance["machine"]).replace(", 1 threads", ", 1 thread")  # early records' spelling

    @property
    def source(self) -> str:
        """Where the numbers come from, in one line, for the foot of a figure or table."""
        c = self.config
        data = f"{c.edition} edition {str(self.inputs['data'])[:12]}"
        return (
            f"{data} · protocol {c.protocol} · seed {c.seed} · {c.image_size} px · profile {c.profile} · {self.machine}"
        )

    def test(self) -> pd.DataFrame:
        """Predictions on the test set."""
        return self.predictions[self.predictions["split"] == "test"].reset_index(drop=True)

    def valid(self) -> pd.DataFrame:
        """Predictions on the validation set."""
        return self.predictions[self.predictions["split"] == "valid"].reset_index(drop=True)


def run_key(config: RunConfig, inputs: Mapping[str, str | None]) -> str:
    """Readable name of a run plus 12 hexadecimal digits of the digest of config and inputs.

    Fields at their default do not enter the digest, so a field that is added later leaves old keys as they are.
    """
    settings = {name: value for name, value in config.to_dict().items() if value != RUN_PARAMETER[name].default}
    identity = digest({"format": FORMAT, "config": settings, "inputs": dict(inputs)})[:12]
    weight = "betanone" if config.beta is None else f"beta{config.beta:g}"
    protocol = config.protocol.replace("=", ".")
    parts = (
        config.profile,
        config.edition,
        config.cohort,
        config.model,
        config.pretraining,
        weight if config.loss == "wce" else config.loss,
        *([] if config.preparation == "minmax" else [config.preparation]),
        protocol,
        f"s{config.seed}",
    )
    return "-".join((*parts, identity))


def run_folder(key: str) -> Path:
    """Folder of the record with this key, whether or not it exists."""
    return results_root() / "runs" / key


def save_record(record: Record) -> Path:
    """Write `record` in one step (all files or none) and return its folder; an old one is replaced."""
    target = run_folder(record.key)
    with atomic_path(target, "config.json") as folder:
        folder.mkdir()
        _write_json(
            folder / "config.json", {"format": FORMAT, "config": record.config.to_dict(), "inputs": dict(record.inputs)}
        )
        _write_json(folder / "metrics.json", record.metrics)
        _write_json(folder / "provenance.json", record.provenance)
        record.history.to_csv(folder / "history.csv", index=False, float_format="%.8g")
        record.predictions.to_parquet(folder / "predictions.parquet", index=False, compression="zstd")
    return target


def load_record(folder: Path) -> Record:
    """The record in `folder`; raises RecordError if a file is missing or its content does not fit its key."""
    try:
        stored = json.loads((folder / "config.json").read_text())
        config = RunConfig.from_dict(stored["config"])
        record = Record(
            config=config,
            inputs=stored["inputs"],
            metrics=json.loads((folder / "metrics.json").read_text()),
            predictions=pd.read_parquet(folder / "predictions.parquet"),
            history=pd.read_csv(folder / "history.csv"),
            provenance=json.loads((folder / "provenance.json").read_text()),
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error) if isinstance(error, ParameterError) else f"{type(error).__name__}: {error}"
        raise RecordError(
            f"record {folder.name} cannot be read ({reason}); delete its folder and run it again."
        ) from error
    if record.key != folder.name:
        raise RecordError(
            f"record {folder.name} holds another run's config or inputs ({record.key}); delete its folder and run it again."
        )
    missing = set(PREDICTION_COLUMNS) - set(record.predictions.columns)
    if missing:
        raise RecordError(
            f"record {folder.name} lacks the prediction columns {', '.join(sorted(missing))}; delete its folder and run it again."
        )
    return record


def find_record(config: RunConfig, inputs: Mapping[str, str | None]) -> Record | None:
    """The record of a run, or None if it has not been run."""
    folder = run_folder(run_key(config, inputs))
    return load_record(folder) if folder.is_dir() else None


def all_records(**wanted: Any) -> list[Record]:
    """Every record under `results/runs`, sorted by key; keyword arguments select by config field."""
    root = results_root() / "runs"
    folders = sorted(path for path in root.glob("*") if path.is_dir() and not path.name.startswith("."))
    records = (load_record(folder) for folder in folders)
    return [r for r in records if all(getattr(r.config, name) == value for name, value in wanted.items())]


def records_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: config, main metrics on the test set at threshold 0.5, and where they come from."""
    rows = []
    for record in records:
        metrics, provenance = record.metrics["test"], record.provenance
        rows.append(
            {
                **record.config.to_dict(),
                **{name: metrics[name] for name in ("tp", "fn", "tn", "fp")},
                **{
                    name: metrics[name]
                    for name in ("sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")
                },
                "data": str(record.inputs["data"])[:12],
                "machine": provenance["machine"],
                "wall_s": provenance["wall_s"],
                "current": record.current,
                "key": record.key,
            }
        )
    return pd.DataFrame(rows)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
