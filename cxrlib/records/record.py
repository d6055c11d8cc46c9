"""A run's record: `results/runs/<key>/`, written once in one step, verified whenever it is read.

Three files: `record.json` (config, inputs, metrics, provenance and the SHA-256 of the other two), `history.csv`,
`predictions.parquet`. `SHA256SUMS` beside the folders names the SHA-256 of every `record.json`, so that an edited record is
found (`sha256sum -c SHA256SUMS` finds it too). The key names a run for people and ends in a digest of its config and inputs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from cxrlib.config import RunConfig, checked
from cxrlib.errors import CxrError, RecordError
from cxrlib.names import beta_text
from cxrlib.paths import cache_root, results_root, results_to_read
from cxrlib.records import evaluate
from cxrlib.records.provenance import EQUIVALENT, code_digest, training_code
from cxrlib.storage import atomic_path, digest, file_digest, lock

FORMAT = 3
SUMS = "SHA256SUMS"
FILES = ("history.csv", "predictions.parquet")


@dataclass(frozen=True)
class Record:
    """Everything a run left: config, inputs, metrics, predictions, history and provenance."""

    config: RunConfig
    inputs: Mapping[str, str | None]  # digests of the edition (data), the images drawn (samples), the initial weights
    metrics: Mapping[str, Any]  # see `records.evaluate`
    predictions: pd.DataFrame  # evaluate.PREDICTIONS, a row per validation and test image
    history: pd.DataFrame  # a row an epoch
    provenance: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The run's key, see `run_key`."""
        return run_key(self.config, self.inputs)

    @property
    def degenerate(self) -> str | None:
        """Why the network learned nothing, or None; such a run enters no pool and no pair."""
        return self.metrics["degenerate"]

    @property
    def current(self) -> bool:
        """Whether the training code is still the one that made this record, or computes the same; see `EQUIVALENT`."""
        return self.provenance["training_code"] in (training_code(), *EQUIVALENT)

    @property
    def machine(self) -> str:
        """The processor or GPU that made this record, and its threads."""
        return str(self.provenance["machine"])

    @property
    def source(self) -> str:
        """Where the numbers come from, in one line, for the foot of a figure or table."""
        c = self.config
        return (
            f"{c.edition} edition {str(self.inputs['data'])[:12]} · protocol {c.protocol} · draw {c.draw_seed}, seed {c.seed} · "
            f"{c.image_size} px · profile {c.profile} · {c.precision} · {self.machine}"
        )

    def test(self) -> pd.DataFrame:
        """Predictions on the test set."""
        return self.predictions[self.predictions["split"] == "test"].reset_index(drop=True)

    def valid(self) -> pd.DataFrame:
        """Predictions on the validation set."""
        return self.predictions[self.predictions["split"] == "valid"].reset_index(drop=True)


class _File(BaseModel):
    """What `record.json` must hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[3]
    config: dict[str, Any]
    inputs: dict[str, str | None]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    files: dict[str, str]


def run_key(config: RunConfig, inputs: Mapping[str, str | None]) -> str:
    """Readable name of a run plus 12 hexadecimal digits of the digest of config and inputs."""
    identity = digest({"format": FORMAT, "config": config.model_dump(), "inputs": dict(inputs)})[:12]
    weight = f"beta{beta_text(config.beta)}" if config.loss == "wce" else config.loss
    parts = (config.profile, config.edition, config.cohort, config.model, config.pretraining, weight)
    return "-".join((*parts, config.protocol.replace("=", "."), f"d{config.draw_seed}s{config.seed}", identity))


def runs_root(config: RunConfig) -> Path:
    """Folder of a config's record: `results/runs` for the study, `results/local` for profile quick and own data."""
    return results_root() / ("local" if config.profile == "quick" or config.edition == "own" else "runs")


def run_folder(config: RunConfig, inputs: Mapping[str, str | None]) -> Path:
    """Folder of the record of a run, whether or not it exists."""
    return runs_root(config) / run_key(config, inputs)


def checkpoint_path(key: str) -> Path:
    """File of a run's trained weights, as safetensors: in the cache, no part of the record."""
    return cache_root() / "checkpoints" / f"{key}.safetensors"


def interrupted(key: str) -> Path:
    """File in the cache that holds where a run's training stands, while it is under way or after it was killed."""
    return cache_root() / "interrupted" / f"{key}.pt"


def save_record(record: Record, root: Path | None = None) -> Path:
    """Write `record` in one step, list its digest, and return its folder; an old record of the same run is replaced."""
    folder = (root or runs_root(record.config)) / record.key
    with _listing(folder), atomic_path(folder, marker="record.json") as part:
        part.mkdir()
        record.history.to_csv(part / "history.csv", index=False, float_format="%.8g")
        record.predictions.to_parquet(part / "predictions.parquet", index=False, compression="zstd")
        stored = {
            "format": FORMAT,
            "config": record.config.model_dump(),
            "inputs": dict(record.inputs),
            "metrics": record.metrics,
            "provenance": record.provenance,
            "files": {name: file_digest(part / name) for name in FILES},
        }
        (part / "record.json").write_text(json.dumps(stored, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return folder


def adopt_record(source: Path, root: Path) -> None:
    """Move the folder of a record that was verified elsewhere to `root`, as it is, and list its digest there."""
    with _listing(root / source.name):
        source.rename(root / source.name)


@contextmanager
def _listing(folder: Path) -> Iterator[None]:
    """While a record's folder is written, hold the lock on all beside it; then name its digest in their listing."""
    with lock(cache_root() / "locks" / digest(str(folder.parent))[:16]):
        yield
        sums = _sums(folder.parent) | {folder.name: file_digest(folder / "record.json")}
        with atomic_path(folder.parent / SUMS) as part:
            part.write_text("".join(f"{sha}  {key}/record.json\n" for key, sha in sorted(sums.items())))


def _sums(root: Path) -> dict[str, str]:
    """The listed SHA-256 of each record's `record.json`, by key."""
    path = root / SUMS
    if not path.is_file():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text(errors="replace").splitlines() if "  " in line)
    return {name.removesuffix("/record.json"): sha for sha, name in pairs}


def load_record(folder: Path) -> Record:
    """The record in `folder`, verified: digests, format, schema, key, and metrics recomputed from the predictions.

    Raises RecordError that names the record and says what is wrong.
    """
    try:
        found, listed = file_digest(folder / "record.json"), _sums(folder.parent).get(folder.name)
        if found != listed:
            raise RecordError(
                f"record.json is not the one listed in {SUMS}" if listed else f"it is not listed in {SUMS}"
            )
        return _load(folder, found)
    except (CxrError, OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, RecordError):
            reason = str(error)
        elif isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"record.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        elif isinstance(error, OSError) and error.filename:
            reason = f"{Path(error.filename).name} cannot be read, {error.strerror}"
        remedy = "restore it from version control, or run it again"
        raise RecordError(f"record {folder.name} is set aside: {reason}; {remedy}.") from error


@lru_cache(maxsize=2048)
def _load(folder: Path, sha256: str) -> Record:
    """The record whose record.json has this digest; read once a process."""
    stored = _File.model_validate_json((folder / "record.json").read_bytes())
    for name in FILES:
        if file_digest(folder / name) != stored.files.get(name):
            raise RecordError(f"{name} is not the file that was recorded")
    predictions, history = pd.read_parquet(folder / FILES[1]), pd.read_csv(folder / FILES[0])
    config = checked(RunConfig, stored.config)
    record = Record(config, stored.inputs, stored.metrics, predictions, history, stored.provenance)
    if record.key != folder.name:
        raise RecordError(f"it holds another run's config or inputs ({record.key})")
    seen = cache_root() / "verified" / f"{sha256[:32]}-{code_digest(Path(evaluate.__file__))}"
    if not seen.is_file():  # the same bytes were checked by the same rules before
        evaluate.check_predictions(predictions)
        evaluate.check_history(history, stored.provenance)
        evaluate.check_metrics(predictions, stored.metrics)
        with suppress(OSError):  # a cache that cannot be written costs time, no record
            seen.parent.mkdir(parents=True, exist_ok=True)
            seen.touch()
    return record


def find_record(config: RunConfig, inputs: Mapping[str, str | None]) -> Record | None:
    """The record of a run, or None if it has not been run; raises RecordError for a damaged one."""
    folder = run_folder(config, inputs)
    return load_record(folder) if folder.is_dir() and folder.name in _sums(folder.parent) else None


def read_records(root: Path | None = None) -> tuple[list[Record], list[str]]:
    """Every record under `root` (default: the study's, `results/runs`), sorted by key, and a sentence for each that was set aside."""
    root = root or results_to_read("runs")
    records, aside = [], []
    found = {path.name for path in root.glob("[!.]*") if path.is_dir()}
    for key in sorted(found):
        try:
            records.append(load_record(root / key))
        except RecordError as error:
            aside.append(str(error))
    lost = sorted(_sums(root).keys() - found)
    return records, aside + [
        f"record {key} is listed in {SUMS} but missing: restore its folder, or run it again." for key in lost
    ]


def select(records: Iterable[Record], **wanted: Any) -> list[Record]:
    """The records whose config has these values."""
    return [r for r in records if all(getattr(r.config, name) == value for name, value in wanted.items())]


def records_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: config, main metrics on the test set at threshold 0.5, and where they come from."""
    names = ("tp", "fn", "tn", "fp", "sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")
    rows = [
        {
            **record.config.model_dump(),
            **{name: record.metrics["test"][name] for name in names},
            **{name: record.metrics[name]["value"] for name in ("within_source", "source_among_negatives")},
            "degenerate": record.degenerate,
            "data": str(record.inputs["data"])[:12],
            "machine": record.machine,
            "wall_s": record.provenance["wall_s"],
            "current": record.current,
            "key": record.key,
        }
        for record in records
    ]
    return pd.DataFrame(rows)
