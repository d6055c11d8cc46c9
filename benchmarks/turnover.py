"""What a cell costs beyond its training: one process a cell beside one warm process for all cells."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from cxrlib.config import RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.errors import RecordError
from cxrlib.images.store import open_store
from cxrlib.paths import project_root, results_root
from cxrlib.records.provenance import Stopwatch
from cxrlib.storage import atomic_path, digest
from cxrlib.training.grid import Cell
from cxrlib.training.precision import best_device
from cxrlib.training.runs import run
from cxrlib.training.study import make_plan

COLUMNS = ("machine", "threads", "way", "cell", "seconds", "load", "started", "code_revision")
WAYS = ("one process a cell", "one warm process")
_SMALL: dict[str, Any] = {
    "model": "squeezenet",
    "pretraining": "none",
    "image_size": 32,
    "epochs": 1,
    "train_limit": 64,
}


def measure_turnover(cells: int = 3) -> dict[str, Any]:
    """Run small cells both ways, in turn, on a few phantoms in temporary folders; returns the measurement.

    `cells`: list of rows with `way`, `cell` (from 0) and `seconds` of wall time; a process of its own is timed from
    its start to its end, a cell of the warm process by itself, after one cell more that is not counted. Cells of the
    two ways differ by their seed alone. With it provenance: machine, versions, code revision, load (processes that
    waited for a core, the system's mean over one minute, before the start).
    """
    watch, load = Stopwatch(best_device()), os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        places = {f"CXR_{name.upper()}": f"{folder}/{name}" for name in ("data", "cache", "results")}
        with patch.dict(os.environ, {**places, "CXR_PHANTOM_SCALE": "0.05"}):
            edition = load_edition("phantom")
            open_store(edition.images, _SMALL["image_size"])
            configs = [RunConfig.create(edition="phantom", seed=seed, **_SMALL) for seed in range(2 * cells + 1)]
            plan = make_plan([Cell("turnover", config) for config in configs], edition, "quick", "turnover")
            file = Path(folder) / "plan.json"
            file.write_text(json.dumps(plan))
            run(configs[-1], edition)
            for number in range(cells):
                alone, warm = 2 * number, 2 * number + 1
                rows.append(_row(WAYS[0], number, _seconds_alone(file, plan["cells"][alone]["key"])))
                start = time.perf_counter()
                run(configs[warm], edition)
                rows.append(_row(WAYS[1], number, time.perf_counter() - start))
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    return {**watch.stop(), "load": round(load, 2), "threads": threads, "config": _SMALL, "cells": rows}


def save_turnover(measured: Mapping[str, Any]) -> Path:
    """Write a measurement to `results/bench`, one file a machine and number of threads; returns its path."""
    name = digest([measured["machine"], measured["threads"]])[:8]
    path = results_root() / "bench" / f"turnover-{name}.json"
    with atomic_path(path) as part:
        part.write_text(json.dumps(measured, indent=1) + "\n")
    return path


def load_turnover() -> pd.DataFrame:
    """Every measurement under `results/bench`, one row a cell; see COLUMNS. Seconds are wall time.

    Empty, with the same columns, where nothing was measured. Raises RecordError for a file of another form.
    """
    rows = []
    for path in sorted((results_root() / "bench").glob("turnover-*.json")):
        try:
            record = json.loads(path.read_text())
            common = {name: record[name] for name in ("machine", "threads", "load", "started", "code_revision")}
            rows += [{**common, **{name: row[name] for name in ("way", "cell", "seconds")}} for row in record["cells"]]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{path.name} is no measurement of turnover: run `python -m cxrlib bench --study` again."
            ) from error
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summarise_turnover(table: pd.DataFrame) -> pd.DataFrame:
    """One row a machine: median seconds of a cell each way, start_up (their difference) and cells an hour each way."""
    median = table.pivot_table("seconds", ["machine", "threads"], "way", aggfunc="median").reset_index()
    median.columns.name = None
    own, warm = (median[way] for way in WAYS)
    return median.assign(start_up=own - warm, own_cells_an_hour=3600 / own, warm_cells_an_hour=3600 / warm)


def _row(way: str, cell: int, seconds: float) -> dict[str, Any]:
    return {"way": way, "cell": cell, "seconds": round(seconds, 2)}


def _seconds_alone(plan: Path, key: str) -> float:
    search = os.pathsep.join([str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "cxrlib", "study", "cell", str(plan), key],
        env={**os.environ, "PYTHONPATH": search},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start
