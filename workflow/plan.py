"""The plan of a grid, a JSON file that Snakemake reads with neither torch nor data, and the jobs that follow it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from cxrlib.config import RunConfig, checked
from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError
from cxrlib.images.store import open_store
from cxrlib.paths import cache_root, results_root
from cxrlib.records.record import load_record, records_table, run_folder
from cxrlib.storage import atomic_path
from cxrlib.training.runs import pretrained_trunk, pretraining_key, run_inputs
from cxrlib.training.study import run_cells, survey


def write_plan(arguments: argparse.Namespace, target: Path) -> None:
    """Write the plan of the cells that the options of `cli.options.add_selection` choose: cache, table, data, a row a cell.

    The table is named after profile and edition, and after the file of a grid that is not the study's.
    """
    edition, cells, _ = survey(arguments)
    rows = []
    for config in (cell.config for cell in cells):
        folder = run_folder(config, run_inputs(config, edition))
        trunk = pretraining_key(config, edition) if config.pretraining.endswith("chestxray") else None
        row = {"key": folder.name, "record": str(folder), "recorded": folder.is_dir(), "pretraining": trunk}
        rows.append(row | {"config": config.model_dump()})
    name = "-".join([arguments.profile, edition.name, *([arguments.grid.stem] if arguments.grid else [])])
    places = {"cache": str(cache_root()), "table": str(results_root() / "tables" / f"{name}.csv")}
    data = {"edition": edition.name, "licences": edition.licences, "data": edition.digest}
    with atomic_path(target) as part:
        part.write_text(json.dumps({**places, **data, "cells": rows}, indent=1) + "\n")


def work(action: str, path: Path, keys: Sequence[str] = ()) -> int:
    """Do a job of the plan at `path`: the image stores, trunks or records of the cells `keys`, or the table of all records.

    Returns 1 if a cell has no record afterwards. Raises DataError if the plan has no such cell, or the data have changed.
    """
    plan = json.loads(path.read_text())
    configs = {cell["key"]: checked(RunConfig, cell["config"]) for cell in plan["cells"]}
    unknown = [key for key in keys if key not in configs]
    if unknown:
        raise DataError(f"the plan {path.name} has no cell '{unknown[0]}': make the plan again.")
    edition = load_edition(plan["edition"], plan["licences"])
    if edition.digest != plan["data"]:
        raise DataError(f"the data have changed since the plan {path.name} was made: make the plan again.")
    chosen = [configs[key] for key in keys]
    if action == "cell":
        return int(run_cells(chosen, edition) > 0)
    if action == "table":
        _write_table(Path(plan["table"]), [Path(cell["record"]) for cell in plan["cells"]])
    for config in chosen:
        if action == "images":
            open_store(edition.images, config.image_size)
        else:
            pretrained_trunk(config, edition)
    return 0


def _write_table(target: Path, folders: Sequence[Path]) -> None:
    table = records_table(load_record(folder) for folder in folders if folder.is_dir())
    with atomic_path(target) as part:
        table.drop(columns=["wall_s", "machine"], errors="ignore").to_csv(part, index=False)
    print(f"{target}: {len(table)} of {len(folders)} cells recorded")
