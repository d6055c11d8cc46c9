"""The study's grid: Table II under three protocols, a sweep over beta, several seeds, in order of worth.

`python -m cxrlib study` lists which cells are missing and runs them in one warm process; each cell's
output is its record, so what is done is not done again and a killed run resumes.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxrlib.config import PROFILES, RunConfig
from cxrlib.editions import Edition, find_edition, load_edition
from cxrlib.errors import CxrError
from cxrlib.paper import BASELINES, TABLE_2, PaperRow
from cxrlib.protocols import PROTOCOLS
from cxrlib.runs import recorded, run

BETA_SWEEP = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
PARTS = ("combined", "augmented", "sweep")


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: the part of the study it belongs to, and its config."""

    part: str
    config: RunConfig


def cells(profile: str, edition: str, seeds: int, parts: Sequence[str] = PARTS, licences: str = "any") -> Iterator[Cell]:
    """The grid's cells in the order they are run: seed by seed, part by part, row by row, protocol by protocol."""
    common = {"profile": profile, "edition": edition, "licences": licences}
    for seed in range(seeds):
        for part in parts:
            for row, protocol in _rows(part):
                yield Cell(part, RunConfig.create(**common, **_settings(row), protocol=protocol, seed=seed))


def _rows(part: str) -> Iterator[tuple[PaperRow, str]]:
    best = max(TABLE_2, key=lambda row: row.bacc)
    if part == "sweep":
        for beta in BETA_SWEEP:
            yield PaperRow(best.cohort, best.model, best.pretraining, beta, *(float("nan"),) * 4, None), "clean"
        return
    rows = [row for row in TABLE_2 if row.cohort == part]
    rows.sort(key=lambda row: row != best)  # the paper's best row first, the others in the paper's order
    for row in (*rows, *(BASELINES if part == "combined" else ())):
        for protocol in reversed(PROTOCOLS):  # clean first
            yield row, protocol


def _settings(row: PaperRow) -> dict[str, object]:
    return {"cohort": row.cohort, "model": row.model, "pretraining": row.pretraining, "beta": row.beta}


def missing(planned: Sequence[Cell], edition: Edition) -> list[Cell]:
    """The cells without a record, in order, each once."""
    seen: set[RunConfig] = set()
    found = []
    for cell in planned:
        if cell.config not in seen and recorded(cell.config, edition) is None:
            found.append(cell)
        seen.add(cell.config)
    return found


def run_cells(todo: Sequence[Cell], edition: Edition, seconds: float | None = None) -> int:
    """Run cells in order in this process; returns how many were finished.

    Stops in good order once the next cell, if it took as long as the slowest so far, would pass `seconds`.
    A cell that fails is reported on standard error and does not stop the others.
    """
    start, slowest, done = time.monotonic(), 0.0, 0
    for number, cell in enumerate(todo, 1):
        if seconds is not None and time.monotonic() - start + slowest > seconds:
            print(f"stopped before the time limit: {len(todo) - number + 1} cells left", flush=True)
            break
        began = time.monotonic()
        try:
            record = run(cell.config, edition)
        except CxrError as error:
            print(f"[{number}/{len(todo)}] failed: {error}", file=sys.stderr, flush=True)
            continue
        done += 1
        slowest = max(slowest, time.monotonic() - began)
        print(f"[{number}/{len(todo)}] {record.key} bACC {record.metrics['test']['bacc']:.4f} in {time.monotonic() - began:.0f} s", flush=True)
    return done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib study`."""
    parser.add_argument("action", choices=("list", "run"), help="list the missing cells, or run them")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    parser.add_argument("--edition", default="auto", help="original, open, phantom or auto")
    parser.add_argument("--licences", default="any", help="licences you accept, or any")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, help="stop in good order before this many seconds")


def main(arguments: argparse.Namespace) -> int:
    """Run `python -m cxrlib study`; returns 0 if nothing is missing afterwards, else 1."""
    name = find_edition() if arguments.edition == "auto" else arguments.edition
    edition = load_edition(name, arguments.licences)
    planned = list(cells(arguments.profile, name, arguments.seeds, arguments.parts, arguments.licences))
    todo = missing(planned, edition)
    print(f"{edition.short}: {len({c.config for c in planned})} cells planned, {len(todo)} missing")
    if arguments.action == "list":
        for cell in todo:
            c = cell.config
            print(f"{cell.part:9} {c.protocol:8} {c.cohort:13} {c.model:10} {c.pretraining:9} beta {c.beta} seed {c.seed}")
        return 0
    return 0 if run_cells(todo, edition, arguments.seconds) == len(todo) else 1
