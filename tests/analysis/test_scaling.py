"""The cost of the grid and its schedule on more GPUs."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.turnover import WAYS
from cxrlib.analysis import scaling
from cxrlib.analysis.scaling import Job, makespan
from cxrlib.figures import study as figures
from cxrlib.training.grid import cells

COSTS = pd.DataFrame(
    {
        "key": ["a", "b", "c"],
        "machine": ["one"] * 3,
        "model": ["resnet50", "resnet50", "squeezenet"],
        "pretraining": "none",
        "cohort": "combined",
        "protocol": "clean",
        "epochs_run": 10,
        "wall_s": [300.0, 500.0, 60.0],
        "images_per_s": [50.0, 70.0, 900.0],
        "peak_memory_mib": [1800.0, 2000.0, 900.0],
    }
)


def test_a_schedule_by_hand() -> None:
    work = [Job("p", 10), Job("x", 5, "p"), Job("y", 5, "p"), Job("cell", 12)]
    assert makespan(work, 1) == 32
    assert makespan(work, 2) == 17, "p then x beside the cell, then y"
    assert makespan(work, 3) == 15 == makespan(work, 1000)
    assert makespan([], 4) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 100), st.booleans()), min_size=1, max_size=25),
    st.integers(1, 40),
)
def test_a_schedule_lies_between_its_bounds(lengths: list[tuple[float, bool]], gpus: int) -> None:
    work = [Job("p", 20.0), *(Job(f"cell {n}", s, "p" if waits else None) for n, (s, waits) in enumerate(lengths))]
    total, longest = sum(job.seconds for job in work), max(job.seconds for job in work)
    chain = max((20 + job.seconds for job in work if job.after), default=0.0)
    took = makespan(work, gpus)
    assert took >= max(total / gpus, longest, chain) * (1 - 1e-9)
    assert took <= (total / gpus + max(longest, chain)) * (1 + 1e-9), "Graham's bound for list schedules"


def test_jobs_take_what_was_measured() -> None:
    planned = [cell.config for cell in cells("cpu", "open", 1)]
    work = scaling.jobs(planned, COSTS, {"resnet50": 250.0}, 10.0)
    lengths = {job.name: job.seconds for job in work}
    assert lengths["pretraining resnet50 seed 0"] == 260
    waiting = {c.model for c in planned if c.pretraining == "chestxray"}
    assert sum(name.startswith("pretraining") for name in lengths) == len(waiting)
    cell = {c.model: lengths[f"cell {n}"] for n, c in enumerate(planned)}
    assert (cell["resnet50"], cell["squeezenet"]) == (410, 70)
    assert cell["acnn"] == 310, "the median of all, for want of a run of its own"
    assert len(work) == len(planned) + len(waiting)
    assert scaling.jobs(planned, COSTS[:0], {}, math.nan) == []


def test_the_table_of_gpus_and_what_breaks_first() -> None:
    planned = [cell.config for cell in cells("cpu", "open", 1)]
    table = scaling.scaling(scaling.jobs(planned, COSTS, {"resnet50": 250.0}, 10.0), 27_000_000)
    assert table["hours"].is_monotonic_decreasing
    assert table["speedup"].iloc[0] == pytest.approx(1)
    assert table["bound"].iloc[0] == "work shared evenly"
    assert table["bound"].iloc[-1] == "pretraining, then a cell"
    assert table["busy"].iloc[-1] < 0.2
    assert "pretraining, then a cell" in scaling.breaks_first(table)
    figures.plot_scaling(table)
    figures.plot_costs(COSTS)


def test_without_records_the_tables_are_empty_and_the_sentences_say_so() -> None:
    state = scaling.state([], "cpu", "open", "any")
    assert state["recorded"].sum() == 0 and state["missing"].sum() == len(cells("cpu", "open", 1))
    assert scaling.state_sentence(state).startswith("0 of ")
    empty = scaling.costs([])
    assert scaling.cost_by_model(empty).empty
    assert "No run is recorded" in scaling.cost_sentence(empty, 5)
    table = scaling.scaling([], 0)
    assert table.empty and "nothing to compute" in scaling.breaks_first(table)
    assert math.isnan(scaling.between_cells([]))
    figures.plot_scaling(table)
    figures.plot_costs(empty)


def test_cost_by_model() -> None:
    table = scaling.cost_by_model(COSTS).set_index("model")
    assert table.loc["resnet50", ["cells", "wall_s", "longest_s"]].tolist() == [2, 400, 500]
    assert table.loc["resnet50", "cells_per_hour"] == 9
    assert "12.6 cells an hour" in scaling.cost_sentence(COSTS, 10)


def test_what_the_results_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path))
    assert scaling.turnover_table().empty and scaling.pretraining_seconds("d", "cpu") == {}
    (tmp_path / "bench").mkdir()
    rows = [{"way": way, "cell": 0, "seconds": seconds} for way, seconds in zip(WAYS, (30.0, 3.0), strict=True)]
    common = {"machine": "one", "threads": 1, "load": 0.0, "started": "2026-01-01", "code_revision": "c"}
    (tmp_path / "bench" / "turnover-a.json").write_text(json.dumps({**common, "cells": rows}))
    assert scaling.turnover_table()["start_up"].tolist() == [27.0]
    (tmp_path / "pretraining").mkdir()
    for name, wall, data in (("a", 5.0, "d"), ("b", 7.0, "d"), ("c", 9.0, "other")):
        content = {"data": data, "config": {"profile": "cpu", "model": "acnn"}, "provenance": {"wall_s": wall}}
        (tmp_path / "pretraining" / f"{name}.json").write_text(json.dumps(content))
    assert scaling.pretraining_seconds("d", "cpu") == {"acnn": 7.0}
