"""`python -m cxrlib import-records`: records from another machine, each checked before it joins the others."""

import argparse
import json
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrlib.data.editions import Edition, load_edition
from cxrlib.errors import CxrError, DataError, RecordError
from cxrlib.paths import results_root
from cxrlib.records.record import Record, load_record
from cxrlib.records.table_2 import check_record
from cxrlib.storage import digest
from cxrlib.training.runs import evaluate

RUN_FILES = frozenset({"config.json", "metrics.json", "provenance.json", "history.csv", "predictions.parquet"})
LARGEST = 64 * 2**20
"""Bytes a single file of a record may have, unpacked."""

_NAME = re.compile(r"(runs/(?P<run>\w[\w.+-]*)/(?P<file>\w+\.\w+)|pretraining/\w[\w.+-]*\.json)", re.ASCII)
_PROVENANCE = ("code_revision", "machine", "started", "training_code", "versions", "wall_s")


@dataclass
class Merged:
    """Keys of the records that were added or were there already, and why the others were refused."""

    added: list[str] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def import_records(path: Path) -> Merged:
    """Add the records of an archive to the results folder, each as a whole or not at all.

    A record is refused if it is incomplete, does not fit its key, its metrics do not follow from its predictions, it
    was made from other data than the edition here (where that edition is here), or another record has its key.
    Raises DataError if the archive cannot be read or holds anything but records; then nothing is added.
    """
    merged = Merged()
    results_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import.", dir=results_root()) as scratch:
        _unpack(path, Path(scratch))
        for source in (*sorted(Path(scratch, "runs").glob("*")), *sorted(Path(scratch, "pretraining").glob("*"))):
            try:
                (_check_run if source.is_dir() else _check_pretraining)(source)
                _place(source, results_root() / source.relative_to(scratch), merged)
            except CxrError as error:
                merged.refused[source.name] = str(error)
    return merged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib import-records`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="records.zip from another machine")


def main(arguments: argparse.Namespace) -> int:
    """Run `python -m cxrlib import-records`; returns 1 if a record was refused."""
    refused = 0
    for path in arguments.files:
        merged = import_records(path)
        for word, keys in (("added", merged.added), ("identical", merged.identical)):
            for key in keys:
                print(f"{word:9} {key}")
        for key, reason in merged.refused.items():
            print(f"{'refused':9} {key}: {reason}")
        print(
            f"{path.name}: {len(merged.added)} added, {len(merged.identical)} identical, {len(merged.refused)} refused"
        )
        refused += len(merged.refused)
    return int(refused > 0)


def _unpack(path: Path, target: Path) -> None:
    """Unpack an archive that holds files of records under their own names, once each, and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            for entry in entries:
                match = _NAME.fullmatch(entry.filename)
                if not match or (match["file"] and match["file"] not in RUN_FILES) or names.count(entry.filename) > 1:
                    raise DataError(
                        f"{path.name} holds '{entry.filename}', which is no file of a record: nothing was imported."
                    )
                if entry.file_size > LARGEST:
                    raise DataError(
                        f"'{entry.filename}' in {path.name} is larger than a record is: nothing was imported."
                    )
            for entry in entries:
                place = target / entry.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(entry))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as an archive of records ({error}): copy it again.") from error


def _check_run(folder: Path) -> None:
    lacking = RUN_FILES - {file.name for file in folder.iterdir()}
    if lacking:
        raise RecordError(f"it lacks {', '.join(sorted(lacking))}: copy the archive again.")
    record = load_record(folder)
    unsaid = [name for name in _PROVENANCE if name not in record.provenance]
    if unsaid:
        raise RecordError(
            f"its provenance does not say {', '.join(unsaid)}: only records that a run wrote can be imported."
        )
    if not _same(evaluate(record.predictions), record.metrics):
        raise RecordError("its metrics do not follow from its predictions: run it again.")
    edition = _edition(record)
    if edition is not None:
        check_record(record, edition)


def _check_pretraining(file: Path) -> None:
    try:
        stored = json.loads(file.read_text())
        identity = digest({"config": stored["config"], "data": stored["data"]})[:12]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError("it is no record of a pretraining: copy the archive again.") from error
    if not file.stem.endswith(f"-{identity}"):
        raise RecordError("it holds another pretraining's config or data: run it again.")


def _edition(record: Record) -> Edition | None:
    """The edition of a record if its data are on this machine."""
    try:
        return load_edition(record.config.edition, record.config.licences)
    except DataError:
        return None


def _same(found: Any, stored: Any) -> bool:
    """Whether two trees of metrics agree to a relative 1e-6."""
    if isinstance(found, Mapping) and isinstance(stored, Mapping):
        return found.keys() == stored.keys() and all(_same(found[name], stored[name]) for name in found)
    if isinstance(found, list | tuple) and isinstance(stored, list | tuple):
        return len(found) == len(stored) and all(map(_same, found, stored))
    if isinstance(found, int | float) and isinstance(stored, int | float):
        return math.isclose(found, stored, rel_tol=1e-6, abs_tol=1e-9)
    return bool(found == stored)


def _place(source: Path, target: Path, merged: Merged) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        merged.added.append(source.name)
    elif _content(source) == _content(target):
        merged.identical.append(source.name)
    else:
        raise RecordError("another record with this key is here already: delete the one that is not wanted.")


def _content(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}
