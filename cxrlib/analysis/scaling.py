"""What the whole study costs: seconds of a cell by network and machine from the records, the cells that are missing."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis import sentences
from cxrlib.config import IDENTITY, RunConfig
from cxrlib.names import name
from cxrlib.records.record import Record
from cxrlib.training.grid import PARTS, Cell

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)


def costs(records: Iterable[Record]) -> pd.DataFrame:
    """A row a run: its network, recipe, pixels a side, machine and precision, seconds, training images/s, peak MiB."""
    rows = [
        (
            r.config.model, r.config.recipe, r.config.image_size, f"{r.machine}, {r.config.precision}",
            *(float(r.provenance[key]) for key in ("wall_s", "train_images_per_s", "peak_memory_mib")),
        )
        for r in records
    ]  # fmt: skip
    columns = ["model", "recipe", "image_size", "machine", "seconds", "images_per_s", "peak_memory_mib"]
    return pd.DataFrame(rows, columns=columns)


def by_network(table: pd.DataFrame) -> pd.DataFrame:
    """`costs` by machine, network and size: number of cells, seconds (median, shortest, longest), speed, memory."""
    grouped = table.groupby(["machine", "model", "recipe", "image_size"])
    return grouped.agg(
        cells=("seconds", "size"),
        seconds=("seconds", "median"),
        shortest=("seconds", "min"),
        longest=("seconds", "max"),
        images_per_s=("images_per_s", "median"),
        peak_memory_mib=("peak_memory_mib", "median"),
    ).reset_index()


def plan(cells: Sequence[Cell], records: Sequence[Record]) -> pd.DataFrame:
    """A row a cell of the grid: part, what identifies it, whether it is recorded, and its seconds.

    A cell is recorded if a record has its config, of whatever precision. Its `seconds` are the record's own; for a missing
    cell the median of its network under its recipe at its size, else scaled by the number of pixels, else NaN.
    """
    found = {_identity(record.config): float(record.provenance["wall_s"]) for record in records}
    measured = costs(records)
    measured["a_pixel"] = measured["seconds"] / measured["image_size"] ** 2
    known = measured.groupby(["model", "recipe", "image_size"])["seconds"].median()
    a_pixel = measured.groupby(["model", "recipe"])["a_pixel"].median()
    shown = ("cohort", "model", "head", "pretraining", "protocol", "beta", "loss", "image_size", "draw_seed", "seed")
    rows = []
    for cell in cells:
        config, kind = cell.config, (cell.config.model, cell.config.recipe)
        estimated = known.get((*kind, config.image_size), a_pixel.get(kind, np.nan) * config.image_size**2)
        own = found.get(_identity(config))
        rows.append((cell.part, *(getattr(config, field) for field in shown), own is not None, own or float(estimated)))
    return pd.DataFrame(rows, columns=["part", *shown, "recorded", "seconds"])


def by_part(planned: pd.DataFrame) -> pd.DataFrame:
    """`plan` by part of the grid: cells, how many are recorded and missing, hours spent and hours to go."""
    hours = planned["seconds"] / 3600
    spent, to_go = hours.where(planned["recorded"], 0.0), hours.where(~planned["recorded"], 0.0)
    grouped = planned.assign(hours_spent=spent, hours_to_go=to_go).groupby("part", sort=False)
    table = grouped[["recorded", "hours_spent", "hours_to_go"]].sum()
    table.insert(0, "cells", grouped.size())
    table.insert(2, "missing", table["cells"] - table["recorded"])
    table.insert(0, "question", [PARTS[str(part)].title for part in table.index])
    return table.reset_index()


def missing(planned: pd.DataFrame) -> pd.DataFrame:
    """The cells of `plan` without a record, counted by what they share but draw and seed, with the seconds of each."""
    left = planned[~planned["recorded"]]
    keys = [column for column in left if column not in ("draw_seed", "seed", "recorded", "seconds")]
    grouped = left.groupby(keys, sort=False, dropna=False)["seconds"]
    return grouped.agg(cells="size", seconds_each="median").reset_index()


def hours(planned: pd.DataFrame, workers: Sequence[int] = WORKERS) -> pd.DataFrame:
    """Hours of the whole grid on several equal workers, from below: the work shared evenly, but never less than its longest chain.

    max(sum(w) / n, longest chain): a cell, or the pretraining that it waits for (taken to last as long) and then the cell.
    Cells of unknown length are left out. Columns: workers, hours.
    """
    work = planned["seconds"].fillna(0.0)
    chain = (work * (1 + planned["pretraining"].str.endswith("chestxray"))).max() if len(work) else 0.0
    return pd.DataFrame({"workers": workers, "hours": [max(work.sum() / n, chain) / 3600 for n in workers]})


def answer(planned: pd.DataFrame, measured: pd.DataFrame) -> str:
    """The chapter's answer in two sentences."""
    if measured.empty:
        return f"The grid has {len(planned):,} cells. None is recorded, so its cost is not known."
    left = planned[~planned["recorded"]]
    medians = measured[measured["recipe"] == "paper"].groupby("model")["seconds"].median().sort_values()
    each = [f"{seconds / 60:.1f} minutes for {name(model)}" for model, seconds in medians.items()]
    total, unknown = planned["seconds"].sum() / 3600, int(left["seconds"].isna().sum())
    return (
        f"The whole study is {len(planned):,} cells and about {total:.0f} hours of one worker "
        f"({', '.join(sorted(set(measured['machine'])))}), of which {len(planned) - len(left):,} cells are recorded"
        + (f", not counting {sentences.count(unknown, 'cell')} of networks without a record" if unknown else "")
        + f". The median cell takes {sentences.listed(each)}; n workers take an n-th of the time, down to the longest chain."
    )


def _identity(config: RunConfig) -> tuple[object, ...]:
    """What identifies a cell wherever it is run: every field but the precision, which the hardware decides."""
    return tuple(getattr(config, field) for field in IDENTITY if field != "precision")
