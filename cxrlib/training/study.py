"""`python -m cxrlib study`: list, plan and run the grid; what is recorded is not run again.

Several processes may work on one grid at once: each takes the first cell that no other holds. A cell that fails leaves
its reason in `results/failed/<key>.txt` and does not stop the others; the next start tries it again, after the rest.
"""

import argparse
import gc
import json
import shlex
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from cxrlib.config import RunConfig, checked
from cxrlib.data.editions import Edition, find_edition, load_edition
from cxrlib.errors import CxrError, DataError, WeightsError
from cxrlib.images.store import open_store
from cxrlib.names import beta_text
from cxrlib.networks.heads import default_head
from cxrlib.networks.weights import imagenet_digest
from cxrlib.paths import cache_root, results_root
from cxrlib.records.provenance import machine
from cxrlib.records.record import load_record, read_records, records_table, run_folder, runs_root
from cxrlib.storage import atomic_path, lock
from cxrlib.training.grid import PARTS, Cell, cells, listed_cells
from cxrlib.training.precision import best_device
from cxrlib.training.runs import pretrained_trunk, pretraining_key, run, run_inputs
from cxrlib.training.workflow import drive, driving, plan_path, profile_folder


def selected(arguments: argparse.Namespace) -> tuple[Edition, list[Cell]]:
    """The edition and the cells that the options of `cli.options.add_selection` choose."""
    common = {name: getattr(arguments, name) for name in ("profile", "licences", "precision", "draws", "seeds")}
    common["edition"] = find_edition() if arguments.edition == "auto" else arguments.edition
    found = (
        listed_cells(arguments.grid, **common)
        if arguments.grid
        else cells(parts=arguments.parts or tuple(PARTS), **common)
    )
    return load_edition(common["edition"], arguments.licences), found


def missing(planned: Sequence[Cell], edition: Edition) -> tuple[list[Cell], list[WeightsError]]:
    """The cells without a record, in order, and the reason for each network whose ImageNet weights cannot be had.

    Cells that start from such weights count as missing.
    """
    lacking: dict[str, WeightsError] = {}
    for model in sorted({cell.config.model for cell in planned if cell.config.pretraining == "imagenet"}):
        try:
            imagenet_digest(model)
        except WeightsError as error:
            lacking[model] = error

    def recorded(c: RunConfig) -> bool:
        known = c.pretraining != "imagenet" or c.model not in lacking
        return known and run_folder(c, run_inputs(c, edition)).is_dir()

    return [cell for cell in planned if not recorded(cell.config)], list(lacking.values())


def make_plan(planned: Sequence[Cell], edition: Edition, profile: str, grid: str | None = None) -> dict[str, Any]:
    """The plan of a grid for the workflow, which reads it with neither torch nor data: cache, table, digest, a row a cell.

    `grid`: the name of a grid that is not the study's; its table has that name too.
    """
    rows = []
    for config in (cell.config for cell in planned):
        folder = run_folder(config, run_inputs(config, edition))
        trunk = pretraining_key(config, edition) if config.pretraining.endswith("chestxray") else None
        row = {"key": folder.name, "record": str(folder), "recorded": folder.is_dir(), "pretraining": trunk}
        rows.append(row | {"config": config.model_dump()})
    table = results_root() / "tables" / f"{'-'.join(filter(None, (profile, edition.name, grid)))}.csv"
    data = {"edition": edition.name, "licences": edition.licences, "data": edition.digest}
    return {"cache": str(cache_root()), "table": str(table), **data, "cells": rows}


def run_cells(
    configs: Sequence[RunConfig],
    edition: Edition,
    deadline: float | None = None,
    after_each: Callable[[], object] = lambda: None,
) -> int:
    """Run configs in order in this process; returns how many are left without a record.

    Cells that failed before, or whose process was killed, come last; cells that another process holds are waited for at
    the end. Stops in good order when the next cell, if it took as long as the slowest of its network on this machine,
    would pass `deadline` (of `time.monotonic()`). `after_each` is called after each cell that was run.
    """
    edition.require_images()
    turns: list[tuple[Path, RunConfig, float]] = []
    failed: dict[str, str] = {}
    for config in configs:
        try:
            turns.append((run_folder(config, run_inputs(config, edition)), config, 0.0))
        except CxrError as error:  # initial weights that cannot be had
            failed[f"{config.cohort} {config.model} {config.pretraining} {config.protocol}"] = str(error)
    queue = deque(sorted(turns, key=lambda turn: failure_note(turn[0].name).exists()))
    slowest = _slowest(configs) if deadline is not None else {}
    finished, lost = 0, False
    while queue and not lost:
        folder, config, patience = queue.popleft()
        if folder.is_dir():
            finished += 1
            continue
        began = time.monotonic()
        if deadline is not None and began + slowest.get(config.model, 0.0) >= deadline:
            print(f"stopped before the time limit: {len(queue) + 1} cells left", flush=True)
            break
        try:
            with lock(cache_root() / "study" / folder.name).acquire(timeout=patience):
                reason, lost = _attempt(config, edition, folder.name)
        except Timeout:  # another process is at work on it
            queue.append((folder, config, 5.0))
            continue
        took = time.monotonic() - began
        slowest[config.model] = max(slowest.get(config.model, 0.0), took)
        if reason:
            failed[folder.name] = reason
            _say(f"failed: {folder.name}: {reason}")
        else:
            finished += 1
            test = load_record(folder).metrics["test"]
            result = f"AUROC {test['auroc']:.4f} bACC {test['bacc']:.4f} {took:.0f} s"
            print(f"[{finished}/{len(configs)}] {folder.name} {result}", flush=True)
        after_each()
    if lost:
        _say("the GPU takes no more work from this process: run the command again")
    for name, reason in failed.items():
        _say(f"no record: {name}: {reason}")
    return len(configs) - finished


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def failure_note(key: str) -> Path:
    """The file that says why a cell has no record; it is there while the cell runs, and goes when it is recorded."""
    return results_root() / "failed" / f"{key}.txt"


def _attempt(config: RunConfig, edition: Edition, key: str) -> tuple[str | None, bool]:
    """Run one cell; why it failed, in one line (None: it did not), and whether the GPU is lost to this process.

    After a failure its note holds the traceback, and its memory is free again.
    """
    note, reason, lost = failure_note(key), None, False
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("the process ended before the cell did: killed, for want of memory perhaps, or at its time limit\n")
    try:
        run(config, edition)
    except Exception as error:  # one cell of hundreds: whatever it died of, the others go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        lost = isinstance(error, getattr(torch, "AcceleratorError", ())) and "out of memory" not in str(error)
        note.write_text("".join(traceback.format_exception(error)))
    except KeyboardInterrupt:
        note.unlink()
        raise
    if reason is None:
        note.unlink()
        return None, False
    gc.collect()  # after the except block: until its end the traceback holds the tensors
    if torch.cuda.is_available() and not lost:
        torch.cuda.empty_cache()
    return reason, lost


def _slowest(configs: Sequence[RunConfig]) -> dict[str, float]:
    """Seconds of each network's slowest recorded run on this machine."""
    here, found = machine(best_device()), dict[str, float]()
    for record in (one for root in {runs_root(config) for config in configs} for one in read_records(root)[0]):
        if record.machine == here:
            model = record.config.model
            found[model] = max(found.get(model, 0.0), float(record.provenance["wall_s"]))
    return found


def main(**options: Any) -> int:
    """Run `python -m cxrlib study`; returns 1 if a cell that was asked for is still missing."""
    arguments = argparse.Namespace(**options)
    if arguments.action in ("images", "pretrain", "cell", "table"):
        return _from_plan(arguments)
    if arguments.action == "make":
        profile_folder(arguments.workflow)  # a wrong name is said before the plan is made
        with driving(plan_path()):
            _write_plan(arguments, plan_path())
            more = shlex.split(arguments.snakemake)
            return drive(plan_path(), arguments.workflow, arguments.batch, arguments.gpus, more)
    if arguments.action == "plan":
        _write_plan(arguments, arguments.output)
        return 0
    edition, _, todo = _grid(arguments)
    if arguments.action == "run":
        deadline = None if arguments.seconds is None else time.monotonic() + arguments.seconds
        return int(run_cells([cell.config for cell in todo], edition, deadline) > 0)
    for cell in todo:
        c = cell.config
        usual = (("wce", c.loss), ("minmax", c.preparation), ("paper", c.recipe), (default_head(c.model), c.head))
        beyond = [value for default, value in usual if value != default]
        weight, repeat = f"beta {beta_text(c.beta)}", f"draw {c.draw_seed} seed {c.seed}"
        print(f"{cell.part:12}", c.protocol, c.cohort, c.model, c.pretraining, weight, repeat, *beyond)
    return 0


def _grid(arguments: argparse.Namespace) -> tuple[Edition, list[Cell], list[Cell]]:
    """The edition, the cells planned and those that are missing; says how many."""
    edition, planned = selected(arguments)
    todo, lacking = missing(planned, edition)
    counts = f"{len(planned)} cells planned, {len(todo)} missing"
    print(f"{edition.short}, profile {arguments.profile}: {counts}", flush=True)
    for error in lacking:
        _say(f"cells that start from these weights count as missing: {error}")
    return edition, planned, todo


def _write_plan(arguments: argparse.Namespace, target: Path) -> None:
    edition, planned, _ = _grid(arguments)
    plan = make_plan(planned, edition, arguments.profile, arguments.grid.stem if arguments.grid else None)
    with atomic_path(target) as part:
        part.write_text(json.dumps(plan, indent=1) + "\n")


def _from_plan(arguments: argparse.Namespace) -> int:
    """A job of the workflow: the image store, trunks or records of some cells of a plan, or its table."""
    plan = json.loads(arguments.plan.read_text())
    configs = {cell["key"]: checked(RunConfig, cell["config"]) for cell in plan["cells"]}
    keys = getattr(arguments, "keys", [])
    unknown = [key for key in keys if key not in configs]
    if unknown:
        raise DataError(f"the plan {arguments.plan.name} has no cell '{unknown[0]}': make the plan again.")
    edition = load_edition(plan["edition"], plan["licences"])
    if edition.digest != plan["data"]:
        raise DataError(f"the data have changed since the plan {arguments.plan.name} was made: make the plan again.")
    wanted = [configs[key] for key in keys]
    if arguments.action == "cell":
        return int(run_cells(wanted, edition) > 0)
    if arguments.action == "table":
        folders = [Path(cell["record"]) for cell in plan["cells"]]
        table = records_table(load_record(folder) for folder in folders if folder.is_dir())
        with atomic_path(plan["table"]) as part:
            table.drop(columns=["wall_s", "machine"], errors="ignore").to_csv(part, index=False)
        print(f"{plan['table']}: {len(table)} of {len(folders)} cells recorded")
    for config in wanted:
        if arguments.action == "images":
            open_store(edition.images, config.image_size)
        else:
            pretrained_trunk(config, edition)
    return 0
