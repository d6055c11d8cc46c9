"""`python -m cxrlib study`: list or run the missing cells of the grid; what is recorded is not run again.

Several processes may work on one grid at once: each takes the first cell that no other holds. A cell that fails leaves
its reason in `results/failed/<key>.txt` and does not stop the others; the next start tries it again, after the rest.
"""

import argparse
import gc
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from cxrlib.config import RunConfig
from cxrlib.data.editions import Edition, find_edition, load_edition
from cxrlib.errors import CxrError, WeightsError
from cxrlib.names import beta_text
from cxrlib.networks.heads import default_head
from cxrlib.networks.weights import imagenet_digest
from cxrlib.paths import cache_root, results_root
from cxrlib.records.provenance import machine
from cxrlib.records.record import load_record, read_records, run_folder, runs_root
from cxrlib.storage import lock
from cxrlib.training.grid import PARTS, Cell, cells, listed_cells
from cxrlib.training.precision import best_device
from cxrlib.training.runs import run, run_inputs


def selected(arguments: argparse.Namespace) -> tuple[Edition, list[Cell]]:
    """The edition and the cells that the options of `cli.options.add_selection` choose."""
    common = {name: getattr(arguments, name) for name in ("profile", "licences", "precision", "draws", "seeds")}
    common["edition"] = find_edition() if arguments.edition == "auto" else arguments.edition
    edition = load_edition(common["edition"], arguments.licences)
    if arguments.grid:
        return edition, listed_cells(arguments.grid, **common)
    return edition, cells(parts=arguments.parts or tuple(PARTS), **common)


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

    def recorded(config: RunConfig) -> bool:
        known = config.pretraining != "imagenet" or config.model not in lacking
        return known and run_folder(config, run_inputs(config, edition)).is_dir()

    return [cell for cell in planned if not recorded(cell.config)], list(lacking.values())


def survey(arguments: argparse.Namespace) -> tuple[Edition, list[Cell], list[Cell]]:
    """The edition, the cells that the options choose and those of them without a record; prints how many."""
    edition, planned = selected(arguments)
    todo, lacking = missing(planned, edition)
    print(
        f"{edition.short}, profile {arguments.profile}: {len(planned)} cells planned, {len(todo)} missing", flush=True
    )
    for error in lacking:
        _say(f"cells that start from these weights count as missing: {error}")
    return edition, planned, todo


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
    turns: list[tuple[Path, RunConfig]] = []
    failed: dict[str, str] = {}
    for config in configs:
        try:
            turns.append((run_folder(config, run_inputs(config, edition)), config))
        except CxrError as error:  # initial weights that cannot be had
            failed[f"{config.cohort} {config.model} {config.pretraining} {config.protocol}"] = str(error)
    queue = deque(sorted(turns, key=lambda turn: failure_note(turn[0].name).exists()))
    slowest = _slowest(configs) if deadline is not None else {}
    finished, lost, held = 0, False, set[Path]()
    while queue and not lost:
        folder, config = queue.popleft()
        if folder.is_dir():
            finished += 1
            continue
        began = time.monotonic()
        if deadline is not None and began + slowest.get(config.model, 0.0) >= deadline:
            print(f"stopped before the time limit: {len(queue) + 1} cells left", flush=True)
            break
        try:
            with lock(cache_root() / "study" / folder.name).acquire(timeout=5.0 if folder in held else 0.0):
                reason, lost = _attempt(config, edition, folder.name)
        except Timeout:  # another process is at work on it
            held.add(folder)
            queue.append((folder, config))
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
    note = failure_note(key)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("the process ended before the cell did: killed, for want of memory perhaps, or at its time limit\n")
    try:
        run(config, edition)
    except KeyboardInterrupt:
        note.unlink()
        raise
    except Exception as error:  # one cell of hundreds: whatever it died of, the others go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        lost = isinstance(error, getattr(torch, "AcceleratorError", ())) and "out of memory" not in str(error)
        note.write_text("".join(traceback.format_exception(error)))
    else:
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
    edition, _, todo = survey(argparse.Namespace(**options))
    if options["action"] == "run":
        seconds = options["seconds"]
        deadline = None if seconds is None else time.monotonic() + seconds
        return int(run_cells([cell.config for cell in todo], edition, deadline) > 0)
    for cell in todo:
        c = cell.config
        usual = (("wce", c.loss), ("minmax", c.preparation), ("paper", c.recipe), (default_head(c.model), c.head))
        beyond = [value for default, value in usual if value != default]
        weight, repeat = f"beta {beta_text(c.beta)}", f"draw {c.draw_seed} seed {c.seed}"
        print(f"{cell.part:12}", c.protocol, c.cohort, c.model, c.pretraining, weight, repeat, *beyond)
    return 0
