"""What runs on the other machine: the missing cells within a time limit, their records in one archive."""

import os
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrlib.config import RunConfig, checked
from cxrlib.data.editions import load_edition
from cxrlib.errors import CxrError
from cxrlib.paths import results_root
from cxrlib.records import provenance
from cxrlib.storage import atomic_path
from cxrlib.training.precision import best_device, hardware_precision
from cxrlib.training.study import run_cells
from tools.offline_runner.merge import belongs

ARCHIVE = "records.zip"
RESERVE = 2.0
"""Seconds before the limit at which a cell that is still running is given up."""


def run_missing(index: Mapping[str, Any], output: Path, limit: float | None) -> int:
    """Run the package's cells that have no record in `output` and archive all records there after each.

    `limit`: the value of `time.monotonic()` before which to end. A cell is not begun if one of its network took longer
    than is left; a cell that is still running `RESERVE` seconds before the limit is given up and the process ends. A cell
    that fails, for want of memory perhaps, does not stop the others. Returns 0 if every cell has a record, 1 if some are
    left, 2 after an error, which is printed.
    """
    provenance.code_revision = lambda: str(index["code_revision"])  # type: ignore[assignment] # no checkout here
    guard = _guard(limit, output)
    try:
        edition = load_edition(index["edition"], index["licences"])
        if edition.digest != index["data"]:
            print("error: the unpacked images are not those that were packaged: delete OUTPUT/work and run again.")
            return 2
        configs = [checked(RunConfig, settings) for settings in index["cells"]]
        if index["precision"] == "auto":  # this machine's hardware decides, not the one's that packed
            configs = [config.replace(precision=hardware_precision(best_device())) for config in configs]
        print(f"{edition.short}: {len(configs)} cells in the package", flush=True)
        left = run_cells(configs, edition, None if limit is None else limit - RESERVE, lambda: archive(output))
    except CxrError as error:
        print(f"error: {error}", flush=True)
        return 2
    finally:
        if guard:
            guard.cancel()
        count = archive(output)
    print(f"{count} records in {ARCHIVE}, {left} cells left{': run the command again' if left else ''}", flush=True)
    return int(left > 0)


def archive(output: Path) -> int:
    """Write every record under the results folder into `records.zip`, in one step; returns how many runs."""
    root = results_root()
    names = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    inside = [name for name in names if belongs(name)]
    with atomic_path(output / ARCHIVE) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as target:
        for name in inside:
            target.write(root / name, name)
    return sum(name.endswith("/record.json") for name in inside)


def _guard(limit: float | None, output: Path) -> threading.Timer | None:
    """A timer that ends the process `RESERVE` seconds before the limit; records are whole whenever it strikes."""
    if limit is None:
        return None

    def end() -> None:
        count = archive(output)
        given_up = "time limit: what was running is given up"
        print(f"{given_up}; {count} records in {ARCHIVE}, run the command again", flush=True)
        os._exit(1)

    timer = threading.Timer(max(0.0, limit - RESERVE - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    return timer
