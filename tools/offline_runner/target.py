"""What runs on the other machine: the missing cells within a time limit, their records in one archive."""

import os
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrlib.config import RunConfig
from cxrlib.data.editions import Edition, load_edition
from cxrlib.errors import CxrError
from cxrlib.paths import results_root
from cxrlib.records import provenance
from cxrlib.records.record import all_records, run_folder, run_key
from cxrlib.storage import atomic_path
from cxrlib.training.runs import run_inputs
from cxrlib.training.study import run_cells

ARCHIVE = "records.zip"
RESERVE = 2.0
"""Seconds before the limit at which a cell that is still running is given up."""


def run_missing(index: Mapping[str, Any], output: Path, limit: float | None) -> int:
    """Run the package's cells that have no record in `output` and archive all records there after each.

    `limit`: the value of `time.monotonic()` before which to end. A cell is not begun if one of its network took longer
    than is left; a cell that is still running `RESERVE` seconds before the limit is given up and the process ends.
    Returns 0 if every cell has a record, 1 if some are left, 2 after an error, which is printed.
    """
    provenance.code_revision = lambda: str(index["code_revision"])  # type: ignore[assignment] # no checkout here
    guard = _guard(limit, output)
    try:
        edition = load_edition(index["edition"], index["licences"])
        if edition.digest != index["data"]:
            print("error: the unpacked images are not those that were packaged: delete OUTPUT/work and run again.")
            return 2
        left = _run(index, edition, output, limit)
    except CxrError as error:
        print(f"error: {error}", flush=True)
        return 2
    finally:
        if guard:
            guard.cancel()
        count = archive(output)
    print(f"{count} records in {ARCHIVE}, {left} cells left{': run the command again' if left else ''}", flush=True)
    return int(left > 0)


def _run(index: Mapping[str, Any], edition: Edition, output: Path, limit: float | None) -> int:
    """Run what is missing and fits; returns how many cells are left."""
    took: dict[str, float] = {}
    for record in all_records():
        took[record.config.model] = max(took.get(record.config.model, 0.0), record.provenance["wall_s"])
    configs = [RunConfig.from_dict(settings) for settings in index["cells"]]
    todo = [c for c in configs if not run_folder(run_key(c, run_inputs(c, edition))).is_dir()]
    print(f"{edition.short}: {len(configs)} cells in the package, {len(todo)} without a record", flush=True)
    left = len(todo)
    for number, config in enumerate(todo, 1):
        began = time.monotonic()
        if limit is not None and began + took.get(config.model, 0.0) + RESERVE >= limit:
            print(f"stopped before the time limit at cell {number} of {len(todo)}", flush=True)
            break
        finished = run_cells([config], edition)
        if finished:
            took[config.model] = max(took.get(config.model, 0.0), time.monotonic() - began)
            archive(output)
        left -= finished
    return left


def archive(output: Path) -> int:
    """Write every record under the results folder into `records.zip`, in one step; returns how many runs."""
    root = results_root()
    runs = sorted(path for path in (root / "runs").glob("*") if path.is_dir() and not path.name.startswith("."))
    inside = [file for folder in runs for file in sorted(folder.iterdir())]
    inside += sorted(path for path in (root / "pretraining").glob("*.json") if not path.name.startswith("."))
    with atomic_path(output / ARCHIVE) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as target:
        for file in inside:
            target.write(file, file.relative_to(root).as_posix())
    return len(runs)


def _guard(limit: float | None, output: Path) -> threading.Timer | None:
    """A timer that ends the process `RESERVE` seconds before the limit; records are whole whenever it strikes."""
    if limit is None:
        return None

    def end() -> None:
        count = archive(output)
        print(
            f"time limit: what was running is given up; {count} records in {ARCHIVE}, run the command again", flush=True
        )
        os._exit(1)

    timer = threading.Timer(max(0.0, limit - RESERVE - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    return timer
