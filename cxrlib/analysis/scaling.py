"""What the study costs, from the records' provenance, and how long its grid would take on more GPUs, on paper."""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.turnover import load_turnover, summarise_turnover
from cxrlib.config import RunConfig
from cxrlib.paths import results_root
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.record import Record
from cxrlib.training.grid import PARTS, cells, standard

GPUS = (1, 10, 100, 1000)
BANDWIDTH = 1e9
"""Bytes a second that a shared file system is taken to deliver to all machines together; an assumption."""

_COSTS = ("key", "machine", "model", "pretraining", "cohort", "protocol", "epochs_run", "wall_s", "images_per_s",
          "peak_memory_mib")  # fmt: skip


def state(records: Sequence[Record], profile: str, edition: str, licences: str, seeds: int = 1) -> pd.DataFrame:
    """Cells of the grid by part and protocol: part, protocol, planned, recorded, missing.

    A cell counts as recorded if one of `records` has exactly its config; protocols of single factors are one row.
    """
    done = {record.config for record in records}
    rows = [
        (cell.part, cell.config.protocol if cell.config.protocol in PROTOCOLS else "one factor", cell.config in done)
        for cell in cells(profile, edition, seeds, PARTS, licences)
    ]
    table = pd.DataFrame(rows, columns=["part", "protocol", "recorded"])
    counted = table.groupby(["part", "protocol"], sort=False)["recorded"].agg(planned="size", recorded="sum")
    return counted.assign(missing=counted["planned"] - counted["recorded"]).reset_index()


def costs(records: Iterable[Record]) -> pd.DataFrame:
    """What each run of the grid took: key, machine, settings, epochs, wall time in s, training images/s, peak MiB.

    Runs with other settings than their profile's are left out: they cost something else.
    """
    rows = [
        {
            "key": record.key,
            **{name: getattr(record.config, name) for name in ("model", "pretraining", "cohort", "protocol")},
            "machine": record.machine,
            "epochs_run": int(record.provenance["epochs_run"]),
            "wall_s": float(record.provenance["wall_s"]),
            "images_per_s": float(record.provenance["train_images_per_s"]),
            "peak_memory_mib": float(record.provenance["peak_memory_mib"]),
        }
        for record in records
        if standard(record.config)
    ]
    return pd.DataFrame(rows, columns=list(_COSTS))


def cost_by_model(table: pd.DataFrame) -> pd.DataFrame:
    """Medians of `costs` by machine and network, the range of wall times, and cells an hour one after another."""
    grouped = table.groupby(["machine", "model"])
    wall = grouped["wall_s"]
    return pd.DataFrame(
        {
            "cells": grouped.size().astype(int),
            "wall_s": wall.median(),
            "shortest_s": wall.min(),
            "longest_s": wall.max(),
            "images_per_s": grouped["images_per_s"].median(),
            "peak_memory_mib": grouped["peak_memory_mib"].median(),
            "cells_per_hour": 3600 / wall.mean(),
        }
    ).reset_index()


def between_cells(records: Sequence[Record]) -> float:
    """Seconds between the end of one recorded run and the start of the next on a machine: the median; NaN if none.

    It holds imports, the image cache and the initial weights. Intervals over ten minutes are pauses and do not count.
    """
    gaps = []
    spans: dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
    for record in records:
        begin = pd.Timestamp(record.provenance["started"])
        end = begin + pd.Timedelta(seconds=record.provenance["wall_s"])
        spans.setdefault(record.machine, []).append((begin, end))
    for found in spans.values():
        for begin, _ in found:
            before = [(begin - end).total_seconds() for _, end in found if end <= begin]
            gaps += [min(before)] if before and min(before) < 600 else []
    return float(np.median(gaps)) if gaps else float("nan")


def pretraining_seconds(edition_digest: str, profile: str) -> dict[str, float]:
    """Wall time in s of each network's recorded chest X-ray pretraining on these data and this profile; the longest."""
    found: dict[str, float] = {}
    for path in sorted((results_root() / "pretraining").glob("*.json")):
        stored = json.loads(path.read_text())
        if stored["data"] == edition_digest and stored["config"]["profile"] == profile:
            model = stored["config"]["model"]
            found[model] = max(found.get(model, 0.0), float(stored["provenance"]["wall_s"]))
    return found


@dataclass(frozen=True)
class Job:
    """One unit of work: its seconds, and the name of a job that must end before it can begin."""

    name: str
    seconds: float
    after: str | None = None


def jobs(
    planned: Iterable[RunConfig], table: pd.DataFrame, pretraining: Mapping[str, float], start_s: float
) -> list[Job]:
    """The grid as jobs whose lengths were measured: pretrainings first, then the cells.

    A cell takes the median wall time of its network's runs, of all runs if its network has none, plus `start_s`. A
    pretraining without a record takes as long as a cell of its network. Empty without any run measured.
    """
    if table.empty:
        return []
    known, overall = table.groupby("model")["wall_s"].median(), float(table["wall_s"].median())
    start = 0.0 if np.isnan(start_s) else start_s
    first: dict[str, Job] = {}
    found = []
    for number, config in enumerate(planned):
        seconds = start + float(known.get(config.model, overall))
        needs = None
        if config.pretraining == "chestxray":
            needs = f"pretraining {config.model} seed {config.seed}"
            first.setdefault(needs, Job(needs, start + pretraining.get(config.model, seconds - start)))
        found.append(Job(f"cell {number}", seconds, needs))
    return [*first.values(), *found]


def makespan(work: Sequence[Job], gpus: int) -> float:
    """Seconds until all jobs are done on `gpus` equal GPUs, each taking the longest job that is ready.

    Jobs that others wait for go first. Jobs without one that must come before are ready at once.
    """
    waited = {job.after for job in work if job.after}
    order = sorted(work, key=lambda job: (job.name not in waited, -job.seconds))
    ready = [(place, job) for place, job in enumerate(order) if job.after is None]
    heapq.heapify(ready)
    running: list[tuple[float, int, Job]] = []
    now, free = 0.0, gpus
    while ready or running:
        while ready and free:
            place, job = heapq.heappop(ready)
            heapq.heappush(running, (now + job.seconds, place, job))
            free -= 1
        now, _, ended = heapq.heappop(running)
        free += 1
        for place, job in enumerate(order):
            if job.after == ended.name:
                heapq.heappush(ready, (place, job))
    return now


def scaling(work: Sequence[Job], store_bytes: int, gpus: Sequence[int] = GPUS) -> pd.DataFrame:
    """The grid on several numbers of GPUs, computed: a row each, none if nothing was measured.

    Columns: gpus, hours, speedup and efficiency (against one GPU), cells_per_hour, bound (which of three lower bounds
    on the time is the highest: all work shared evenly, the longest job, a pretraining and then a cell), busy (share of
    GPUs that ever get a job) and read_s (seconds to read the image cache once on each busy GPU's machine at
    `BANDWIDTH`).
    """
    columns = ["gpus", "hours", "speedup", "efficiency", "cells_per_hour", "bound", "busy", "read_s"]
    if not work:
        return pd.DataFrame(columns=columns)
    total = sum(job.seconds for job in work)
    by_name = {job.name: job.seconds for job in work}
    count = sum(job.name.startswith("cell") for job in work)
    chain = max((by_name[job.after] + job.seconds for job in work if job.after), default=0.0)
    rows = []
    for number in gpus:
        seconds = makespan(work, number)
        bounds = {
            "work shared evenly": total / number,
            "longest cell": max(by_name.values()),
            "pretraining, then a cell": chain,
        }
        busy = min(number, len(work))
        rows.append(
            (number, seconds / 3600, total / seconds, total / seconds / number, 3600 * count / seconds,
             max(bounds, key=lambda name: bounds[name]), busy / number, busy * store_bytes / BANDWIDTH)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def breaks_first(table: pd.DataFrame) -> str:
    """What limits the grid as GPUs are added, in one or two sentences from `scaling`."""
    if table.empty:
        return "No run of this profile is recorded on these data, so there is nothing to compute from."
    late = table[table["bound"] != "work shared evenly"]
    if late.empty:
        return f"Up to {table['gpus'].max():,} GPUs the work itself decides."
    first = late.iloc[0]
    return (
        f"At {first['gpus']:,} GPUs the bound is no longer the work but {first['bound']}: the grid then takes "
        f"{60 * first['hours']:.1f} minutes at {first['efficiency']:.0%} efficiency, and more GPUs make it no faster."
    )


def state_sentence(table: pd.DataFrame) -> str:
    """How many cells of `state` are recorded and missing, in one sentence."""
    planned, recorded = int(table["planned"].sum()), int(table["recorded"].sum())
    return f"{recorded} of {planned} cells are recorded, {planned - recorded} are missing."


def cost_sentence(table: pd.DataFrame, missing: int) -> str:
    """Cells an hour and what is left at that rate, in one sentence from `costs`."""
    if table.empty:
        return "No run is recorded, so no cost can be stated."
    mean = float(table["wall_s"].mean())
    return (
        f"A recorded cell took {mean / 60:.1f} minutes on average (n = {len(table)}; {', '.join(sorted(set(table['machine'])))}), "
        f"which is {3600 / mean:.1f} cells an hour one after another; at that rate the {missing} missing ones take "
        f"{missing * mean / 3600:.1f} hours."
    )


def start_sentence(seconds: float) -> str:
    """What `between_cells` found, in one sentence."""
    if np.isnan(seconds):
        return (
            "No two recorded runs followed each other closely, so this start-up is not known and counts as zero below."
        )
    return f"From the end of one recorded run to the start of the next the median is {seconds:.0f} seconds."


def turnover_table() -> pd.DataFrame:
    """Seconds of a small cell in a process of its own and in a warm one, by machine; no rows where not measured."""
    measured = load_turnover()
    return summarise_turnover(measured) if len(measured) else measured
