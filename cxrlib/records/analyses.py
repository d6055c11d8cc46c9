"""Analyses that need images: computed where the open edition's radiographs are at hand, read from a committed table elsewhere.

A table lies in `results/analyses/<name>.csv`; `<name>.json` beside it states the digest of its inputs and of the code, the
versions, the machine and the table's SHA-256. `make verify` computes them again and compares.
"""

import inspect
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cxrlib.data.editions import Edition
from cxrlib.errors import RecordError
from cxrlib.paths import results_root, results_to_read
from cxrlib.records.provenance import code_digest, code_revision, machine, versions
from cxrlib.storage import atomic_path, file_digest

DIGITS = 9  # significant digits of the committed tables


@dataclass(frozen=True)
class Analysis:
    """A registered analysis: its name, its function of an edition, and how far a recomputed number may lie off."""

    name: str
    compute: Callable[..., pd.DataFrame]
    tolerance: float
    trains: bool = False  # trains networks: `make verify` reads its table, `verify --record` makes it anew


ANALYSES: dict[str, Analysis] = {}
"""Every registered analysis, by name; importing the modules of `cxrlib.analysis` fills it."""


def recorded_analysis(
    name: str, tolerance: float = 1e-6, trains: bool = False
) -> Callable[[Callable[..., pd.DataFrame]], Callable[..., pd.DataFrame]]:
    """Record what a function of the open edition computes from pixels, and read it back where there are none.

    The function takes an edition and keyword arguments with defaults. With other than the defaults, or on another edition, it
    is simply computed. `tolerance`: relative and absolute, of numbers that `make verify` recomputes. `trains`: the analysis
    trains networks, whose numbers differ by machine, so that its table stays valid when only code has changed.
    The frame's `attrs["source"]` says in one line whether it was recorded or computed here.

    Example::

        @recorded_analysis("border_probe")
        def border_probe(edition: Edition, size: int = 96) -> pd.DataFrame: ...
    """

    def decorate(function: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
        analysis = Analysis(name, function, tolerance, trains)
        ANALYSES[name] = analysis

        @wraps(function)
        def call(edition: Edition, **changes: Any) -> pd.DataFrame:
            declared = inspect.signature(function).parameters
            if edition.name != "open" or any(declared[key].default != value for key, value in changes.items()):
                table = function(edition, **changes)
                table.attrs["source"] = f"{edition.name} edition {edition.digest[:12]}, computed here"
                return table
            stored = _stored(name)
            same = stored and stored["inputs"]["data"] == edition.digest
            if stored and (
                not edition.has_images or (same and trains) or stored["inputs"] == inputs(analysis, edition)
            ):
                return read_analysis(name)
            if not edition.has_images:
                raise RecordError(
                    f"the analysis {name} has no table in {_path(name).parent} and the open edition's images are not at "
                    f"hand: restore {name}.csv and {name}.json from version control, or set CXR_DATA."
                )
            return record(analysis, edition)

        return call

    return decorate


def inputs(analysis: Analysis, edition: Edition) -> dict[str, str]:
    """Digests of what the analysis starts from: the edition, and the module it is written in."""
    return {"data": edition.digest, "code": code_digest(Path(inspect.getfile(analysis.compute)))}


def record(analysis: Analysis, edition: Edition) -> pd.DataFrame:
    """Compute an analysis, write its table and what it was made from, and return it as it will be read."""
    print(f"analysis {analysis.name}: computing", file=sys.stderr, flush=True)
    started = time.perf_counter()
    table = analysis.compute(edition)
    path = results_root() / "analyses" / f"{analysis.name}.csv"
    with atomic_path(path) as part:
        table.to_csv(part, index=False, float_format=f"%.{DIGITS}g")
        sha256 = file_digest(part)
    stated = {
        "inputs": inputs(analysis, edition),
        "table_sha256": sha256,
        "tolerance": analysis.tolerance,
        "seconds": round(time.perf_counter() - started, 1),
        "code_revision": code_revision(),
        "machine": machine(torch.device("cpu")),
        "versions": versions(),
    }
    with atomic_path(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(stated, indent=1, sort_keys=True) + "\n")
    return read_analysis(analysis.name)


def read_analysis(name: str) -> pd.DataFrame:
    """The committed table of an analysis; raises RecordError if it is missing or not the one that was recorded."""
    path, stored = _path(name), _stored(name)
    if stored is None:
        raise RecordError(f"the analysis {name} has not been recorded: run make verify where the images are at hand.")
    if file_digest(path) != stored["table_sha256"]:
        raise RecordError(f"{path.name} is not the table that was recorded: restore it from version control.")
    table = pd.read_csv(path)
    data = stored["inputs"]["data"][:12]
    table.attrs["source"] = f"open edition {data}, recorded analysis {name}, {stored['machine']}"
    return table


def differences(analysis: Analysis, edition: Edition) -> str:
    """What differs between the committed table and one computed now, in one sentence; empty where nothing does."""
    text = analysis.compute(edition).to_csv(index=False, float_format=f"%.{DIGITS}g")
    limits = {"check_dtype": False, "check_exact": False, "rtol": analysis.tolerance, "atol": analysis.tolerance}
    try:
        pd.testing.assert_frame_equal(pd.read_csv(StringIO(text)), read_analysis(analysis.name), **limits)
    except AssertionError as error:
        return " ".join(str(error).replace("[left]", "now").replace("[right]", "committed").split())
    return ""


def _path(name: str) -> Path:
    return results_to_read(f"analyses/{name}.csv")


def _stored(name: str) -> dict[str, Any] | None:
    path = _path(name).with_suffix(".json")
    if not path.is_file() or not _path(name).is_file():
        return None
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise RecordError(f"{path.name} is damaged ({error}): restore it from version control.") from error
