"""`python -m cxrlib study`: list, plan and run the grid; what is recorded is not run again.

A plan is a JSON file that names every cell, its config and whether its record is there; the Snakemake
workflow reads it, so that reading a workflow needs neither torch nor the data.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrlib.config import PROFILES, RunConfig
from cxrlib.editions import Edition, find_edition, load_edition
from cxrlib.errors import CxrError, DataError
from cxrlib.grid import PARTS, Cell, cells
from cxrlib.paths import cache_root, results_root
from cxrlib.pretraining import pretrained_trunk, pretraining_key
from cxrlib.records import load_record, run_folder, run_key
from cxrlib.runs import run, run_inputs
from cxrlib.storage import atomic_path
from cxrlib.store import open_store


def make_plan(planned: Sequence[Cell], edition: Edition) -> dict[str, Any]:
    """The plan of a grid: where results and cache lie, the data's digest, and a row a cell."""
    rows = []
    for cell in planned:
        key = run_key(cell.config, run_inputs(cell.config, edition))
        chestxray = cell.config.pretraining == "chestxray"
        rows.append(
            {
                "key": key,
                "part": cell.part,
                "config": cell.config.to_dict(),
                "pretraining": pretraining_key(cell.config, edition) if chestxray else None,
                "recorded": run_folder(key).is_dir(),
            }
        )
    places = {"results": str(results_root()), "cache": str(cache_root())}
    return {**places, "edition": edition.name, "licences": edition.licences, "data": edition.digest, "cells": rows}


def missing(planned: Sequence[Cell], edition: Edition) -> list[Cell]:
    """The cells without a record, in order."""
    return [cell for cell in planned if not run_folder(run_key(cell.config, run_inputs(cell.config, edition))).is_dir()]


def run_cells(configs: Sequence[RunConfig], edition: Edition, seconds: float | None = None) -> int:
    """Run configs in order in this process; returns how many were finished or already recorded.

    Stops in good order when the next cell, if it took as long as the slowest so far, would pass `seconds`.
    A cell that fails is reported on standard error and does not stop the others.
    """
    start, slowest, done = time.monotonic(), 0.0, 0
    for number, config in enumerate(configs, 1):
        began = time.monotonic()
        if seconds is not None and began - start + slowest > seconds:
            print(f"stopped before the time limit: {len(configs) - number + 1} cells left", flush=True)
            break
        try:
            record = run(config, edition)
        except CxrError as error:
            print(f"[{number}/{len(configs)}] failed: {error}", file=sys.stderr, flush=True)
            continue
        took = time.monotonic() - began
        done, slowest = done + 1, max(slowest, took)
        print(
            f"[{number}/{len(configs)}] {record.key} bACC {record.metrics['test']['bacc']:.4f} {took:.0f} s", flush=True
        )
    return done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib study`."""
    actions = parser.add_subparsers(dest="action", required=True)
    grid = argparse.ArgumentParser(add_help=False)
    grid.add_argument("--profile", choices=tuple(PROFILES), default="cpu")
    grid.add_argument("--edition", default="auto", help="original, open, phantom or auto")
    grid.add_argument("--licences", default="any", help="licences you accept, or any")
    grid.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    grid.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    actions.add_parser("list", parents=[grid], help="list the missing cells")
    actions.add_parser("run", parents=[grid], help="run the missing cells in this process").add_argument(
        "--seconds", type=float, help="stop in good order before this many seconds"
    )
    actions.add_parser("plan", parents=[grid], help="write the plan for Snakemake").add_argument("output", type=Path)
    for name, what in (("images", "image store"), ("pretrain", "pretrained trunks"), ("cell", "records")):
        action = actions.add_parser(name, help=f"make the {what} of the named cells of a plan")
        action.add_argument("plan", type=Path)
        action.add_argument("keys", nargs="+", help="keys of cells in the plan")


def main(arguments: argparse.Namespace) -> int:
    """Run `python -m cxrlib study`; returns 1 if a cell that was asked for is still missing."""
    if arguments.action in ("images", "pretrain", "cell"):
        return _from_plan(arguments)
    name = find_edition() if arguments.edition == "auto" else arguments.edition
    edition = load_edition(name, arguments.licences)
    planned = cells(arguments.profile, name, arguments.seeds, arguments.parts, arguments.licences)
    todo = missing(planned, edition)
    print(
        f"{edition.short}, profile {arguments.profile}: {len(planned)} cells planned, {len(todo)} missing", flush=True
    )
    if arguments.action == "run":
        return int(run_cells([cell.config for cell in todo], edition, arguments.seconds) < len(todo))
    if arguments.action == "plan":
        with atomic_path(arguments.output) as part:
            part.write_text(json.dumps(make_plan(planned, edition), indent=1) + "\n")
        return 0
    for cell in todo:
        c = cell.config
        print(f"{cell.part:9} {c.protocol:8} {c.cohort:13} {c.model:10} {c.pretraining:9} beta {c.beta} seed {c.seed}")
    return 0


def _from_plan(arguments: argparse.Namespace) -> int:
    plan = json.loads(arguments.plan.read_text())
    configs = {cell["key"]: RunConfig.from_dict(cell["config"]) for cell in plan["cells"]}
    unknown = [key for key in arguments.keys if key not in configs]
    if unknown:
        raise DataError(f"the plan {arguments.plan.name} has no cell '{unknown[0]}': make the plan again.")
    edition = load_edition(plan["edition"], plan["licences"])
    if edition.digest != plan["data"]:
        raise DataError(f"the data have changed since the plan {arguments.plan.name} was made: make the plan again.")
    wanted = [configs[key] for key in arguments.keys]
    if arguments.action == "images":
        for size in sorted({config.image_size for config in wanted}):
            open_store(edition.images, size)
    elif arguments.action == "pretrain":
        for config in wanted:
            pretrained_trunk(config, edition)
    elif run_cells(wanted, edition) < len(wanted):
        return 1
    else:
        for key in arguments.keys:
            load_record(run_folder(key))
    return 0
