"""`python -m cxrlib study`: list, plan and run the grid; what is recorded is not run again.

A plan is a JSON file that names every cell, its config and whether its record is there; the Snakemake
workflow reads it, so that reading a workflow needs neither torch nor the data. `make` does both.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrlib.config import RunConfig
from cxrlib.data.editions import Edition, load_edition
from cxrlib.errors import CxrError, DataError
from cxrlib.images.store import open_store
from cxrlib.paths import cache_root, results_root
from cxrlib.records.record import load_record, run_folder, run_key
from cxrlib.records.table_2 import own_table, study_table
from cxrlib.storage import atomic_path, lock
from cxrlib.training.grid import Cell
from cxrlib.training.pretraining import pretrained_trunk, pretraining_key
from cxrlib.training.runs import run, run_inputs
from cxrlib.training.selection import add_selection, missing, selected, without_weights
from cxrlib.training.workflow import drive, driving, plan_path, profile_folder


def make_plan(planned: Sequence[Cell], edition: Edition, profile: str, own: str | None = None) -> dict[str, Any]:
    """The plan of a grid: where results, cache and table lie, the data's digest, and a row a cell.

    `own`: the name of a grid of one's own, which then has a table of its own.
    """
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
    name = "-".join(filter(None, (profile, edition.name, own)))
    return {
        "results": str(results_root()),
        "cache": str(cache_root()),
        "table": str(results_root() / "tables" / f"{name}.csv"),
        "profile": profile,
        "own": own,
        "edition": edition.name,
        "licences": edition.licences,
        "data": edition.digest,
        "cells": rows,
    }


def write_table(plan: Mapping[str, Any], edition: Edition) -> Path:
    """Write the table of a plan's records and return its path.

    Raises RecordError if a record is damaged or no longer what its config and this edition give.
    """
    configs = [RunConfig.from_dict(cell["config"]) for cell in plan["cells"]]
    table = own_table(configs, edition) if plan["own"] else study_table(configs, edition, plan["profile"])
    with atomic_path(plan["table"]) as part:
        table.to_csv(part, index=False)
    return Path(plan["table"])


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
        name = f"{config.cohort} {config.model} {config.pretraining} {config.protocol}"
        try:
            name = key = run_key(config, run_inputs(config, edition))
            with lock(cache_root() / "study" / key):
                record = run(config, edition)  # a process that outlived its driver may just have finished it
        except CxrError as error:
            print(f"[{number}/{len(configs)}] failed: {name}: {error}", file=sys.stderr, flush=True)
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
    add_selection(grid, "cpu")
    actions.add_parser("list", parents=[grid], help="list the missing cells")
    actions.add_parser("run", parents=[grid], help="run the missing cells in this process").add_argument(
        "--seconds", type=float, help="stop in good order before this many seconds"
    )
    actions.add_parser("plan", parents=[grid], help="write the plan for Snakemake").add_argument("output", type=Path)
    make = actions.add_parser("make", parents=[grid], help="write the plan and run it with Snakemake")
    make.add_argument("--workflow", default="default", help="Snakemake profile: default, slurm or a folder")
    make.add_argument("--batch", type=int, default=1, help="cells that share one warm process")
    make.add_argument("--gpus", type=int, default=1, help="GPUs that a job asks for")
    make.add_argument("--snakemake", default="", help="more options for Snakemake, or a target, in one word")
    for name, what in (("images", "image store"), ("pretrain", "pretrained trunks"), ("cell", "records")):
        action = actions.add_parser(name, help=f"make the {what} of the named cells of a plan")
        action.add_argument("plan", type=Path)
        action.add_argument("keys", nargs="+", help="keys of cells in the plan")
    actions.add_parser("table", help="write the table of a plan's records").add_argument("plan", type=Path)


def main(arguments: argparse.Namespace) -> int:
    """Run `python -m cxrlib study`; returns 1 if a cell that was asked for is still missing."""
    if arguments.action in ("images", "pretrain", "cell", "table"):
        return _from_plan(arguments)
    if arguments.action == "make":
        profile_folder(arguments.workflow)  # a wrong name is said before the plan is made
        with driving(plan_path()) as held:
            _plan(arguments, plan_path())
            more = shlex.split(arguments.snakemake)
            return drive(plan_path(), held, arguments.workflow, arguments.batch, arguments.gpus, more)
    if arguments.action == "plan":
        _plan(arguments, arguments.output)
        return 0
    edition, _, todo = _grid(arguments)
    if arguments.action == "run":
        return int(run_cells([cell.config for cell in todo], edition, arguments.seconds) < len(todo))
    for cell in todo:
        c = cell.config
        beta = "-" if c.beta is None else f"{c.beta:g}"
        beyond = [value for value, usual in ((c.loss, "wce"), (c.preparation, "minmax")) if value != usual]
        settings = (c.protocol, c.cohort, c.model, c.pretraining, f"beta {beta}", f"seed {c.seed}", *beyond)
        print(f"{cell.part:9}", *settings)
    return 0


def _grid(arguments: argparse.Namespace) -> tuple[Edition, list[Cell], list[Cell]]:
    """The edition, the cells planned and those that are missing; says how many."""
    edition, planned = selected(arguments)
    lacking = without_weights(planned)
    todo = missing(planned, edition, lacking)
    counts = f"{len(planned)} cells planned, {len(todo)} missing"
    print(f"{edition.short}, profile {arguments.profile}: {counts}", flush=True)
    for error in lacking.values():
        print(f"cells that start from these weights count as missing: {error}", file=sys.stderr)
    return edition, planned, todo


def _plan(arguments: argparse.Namespace, target: Path) -> None:
    edition, planned, _ = _grid(arguments)
    plan = make_plan(planned, edition, arguments.profile, arguments.grid.stem if arguments.grid else None)
    with atomic_path(target) as part:
        part.write_text(json.dumps(plan, indent=1) + "\n")


def _from_plan(arguments: argparse.Namespace) -> int:
    plan = json.loads(arguments.plan.read_text())
    configs = {cell["key"]: RunConfig.from_dict(cell["config"]) for cell in plan["cells"]}
    keys = getattr(arguments, "keys", [])
    unknown = [key for key in keys if key not in configs]
    if unknown:
        raise DataError(f"the plan {arguments.plan.name} has no cell '{unknown[0]}': make the plan again.")
    edition = load_edition(plan["edition"], plan["licences"])
    if edition.digest != plan["data"]:
        raise DataError(f"the data have changed since the plan {arguments.plan.name} was made: make the plan again.")
    wanted = [configs[key] for key in keys]
    if arguments.action == "table":
        print(write_table(plan, edition))
    elif arguments.action == "images":
        for size in sorted({config.image_size for config in wanted}):
            open_store(edition.images, size)
    elif arguments.action == "pretrain":
        for config in wanted:
            pretrained_trunk(config, edition)
    elif run_cells(wanted, edition) < len(wanted):
        return 1
    else:
        for key in keys:
            load_record(run_folder(key))
    return 0
