"""`python -m tools.offline_runner.merge`: records from another machine, each checked before it joins the others."""

import argparse
import json
import re
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxrlib.cli.main import exit_status
from cxrlib.data.editions import load_edition
from cxrlib.data.selection import selection_digest
from cxrlib.errors import CxrError, DataError, RecordError
from cxrlib.paths import results_root
from cxrlib.records.evaluate import check_metrics
from cxrlib.records.record import FILES, SUMS, adopt_record, load_record
from cxrlib.storage import digest

LARGEST = 64 * 2**20
"""Bytes a single file of a record may have, unpacked."""

_FILE = "|".join(map(re.escape, ("record.json", *FILES)))
_NAME = re.compile(rf"(runs|local)/({SUMS}|\w[\w.+-]*/({_FILE}))|pretraining/\w[\w.+-]*\.json", re.ASCII)


@dataclass
class Merged:
    """Keys of the records that were added or were there already, and why the others were refused."""

    added: list[str] = field(default_factory=list)
    identical: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def belongs(name: str) -> bool:
    """Whether an archive of records may hold a file of this name (relative to the results folder)."""
    return _NAME.fullmatch(name) is not None


def import_records(path: Path) -> Merged:
    """Add the records of an archive to the results folder, each as a whole or not at all.

    A record is refused unless it verifies where it lies (`record.load_record`), all its metrics follow from its predictions,
    intervals included, and its data are those of the edition here; and if another record has its key. Raises DataError
    if the archive cannot be read or holds anything but records; then nothing is added.
    """
    merged, target = Merged(), results_root()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import.", dir=target) as scratch:
        root = Path(scratch)
        _unpack(path, root)
        for source in sorted([*root.glob("[rl]*/*/"), *root.glob("pretraining/*.json")]):
            place = target / source.relative_to(root)
            try:
                _check_run(source) if source.is_dir() else _check_pretraining(source)
                if place.exists():
                    if _content(source) != _content(place):
                        raise RecordError("another record with this key is here already: delete the unwanted one.")
                    merged.identical.append(source.name)
                    continue
                place.parent.mkdir(exist_ok=True)
                adopt_record(source, place.parent) if source.is_dir() else source.rename(place)
                merged.added.append(source.name)
            except CxrError as error:
                merged.refused[source.name] = str(error)
    return merged


def _unpack(path: Path, target: Path) -> None:
    """Unpack an archive that holds files of records under their own names, once each, and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name, count in Counter(archive.namelist()).items():
                if not belongs(name) or count > 1:
                    raise DataError(f"{path.name} holds '{name}', which is no file of a record: nothing was imported.")
                if archive.getinfo(name).file_size > LARGEST:
                    raise DataError(f"'{name}' in {path.name} is larger than a record is: nothing was imported.")
            archive.extractall(target)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as an archive of records ({error}): copy it again.") from error


def _check_run(folder: Path) -> None:
    """Raise RecordError unless the record verifies, follows from its predictions, and was made from the data here."""
    record = load_record(folder)
    check_metrics(record.predictions, record.metrics, intervals=True, tolerance=1e-6)
    try:
        edition = load_edition(record.config.edition, record.config.licences)
    except DataError:  # the original edition, whose images are not here
        return
    found = {"data": edition.digest, "samples": selection_digest(record.config, edition)}
    other = [name for name, value in found.items() if record.inputs[name] != value]
    if other:
        raise RecordError(f"it was made from other {' and '.join(other)} than {edition.short} has: run it again.")


def _check_pretraining(file: Path) -> None:
    try:
        stored = json.loads(file.read_text())
        identity = digest({"config": stored["config"], "data": stored["data"]})[:12]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError("it is no record of a pretraining: copy the archive again.") from error
    if not file.stem.endswith(f"-{identity}"):
        raise RecordError("it holds another pretraining's config or data: run it again.")


def _content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path.iterdir() if path.is_dir() else [path])}


def main(argv: Sequence[str] | None = None) -> int:
    """Say what became of each record; 1 if one was refused."""
    parser = argparse.ArgumentParser(prog="python -m tools.offline_runner.merge", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="records.zip from another machine")
    files = parser.parse_args(argv).files
    return exit_status("merge", lambda: max(map(_merge, files)))


def _merge(path: Path) -> int:
    merged = import_records(path)
    for word, keys in (("added", merged.added), ("identical", merged.identical)):
        for key in keys:
            print(f"{word:9} {key}")
    for key, reason in merged.refused.items():
        print(f"{'refused':9} {key}: {reason}")
    print(f"{path.name}: {len(merged.added)} added, {len(merged.identical)} identical, {len(merged.refused)} refused")
    return int(bool(merged.refused))


if __name__ == "__main__":
    sys.exit(main())
