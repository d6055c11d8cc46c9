"""A small grid on phantoms through Snakemake: batches, a killed run that resumes, one driver at a time, profiles."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import psutil
import pytest

from cxrlib.__main__ import main as cxrlib
from cxrlib.errors import ParameterError, RecordError
from cxrlib.paths import project_root
from workflow.drive import command, drive, driving, main, plan_path, profile_folder

CELL = {"model": "squeezenet", "pretraining": "none", "image_size": 32, "epochs": 1, "train_limit": 64}
GRID = [{**CELL, "beta": 0.75}, {**CELL, "beta": None}]
ONE_CORE = "--cores 1 --retries 0 --quiet rules"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A machine without data, and the grid's file."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "mini.json").write_text(json.dumps(GRID))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("data", "weights", "cache"):
            (folder / name).mkdir()
            patch.setenv(f"CXR_{name.upper()}", str(folder / name))
        patch.setenv("CXR_PHANTOM_SCALE", "0.05")
        yield folder


@pytest.fixture
def results(place, monkeypatch, request):
    """A results folder of the test's own."""
    folder = place / f"results-{request.node.name}"
    monkeypatch.setenv("CXR_RESULTS", str(folder))
    return folder


def selection(grid):
    return ["--profile", "quick", "--edition", "phantom", "--grid", str(grid)]


def make(grid, *options):
    """`make` with the plan made in this process, which has torch loaded already."""
    return main(["make", *selection(grid), "--gpus", "0", f"--snakemake={ONE_CORE}", *options])


def listed(grid, capsys):
    """The lines that `study list` prints: its count, then the missing cells."""
    capsys.readouterr()
    assert cxrlib(["study", "list", *selection(grid)]) == 0
    return capsys.readouterr().out.splitlines()


def table(results):
    return pd.read_csv(results / "tables" / "quick-phantom-mini.csv")


def records(results):
    """The records that are whole; one trained again would state another start."""
    found = sorted((results / "local").glob("*/record.json"))
    return {path.parent.name: json.loads(path.read_text())["provenance"]["started"] for path in found}


@pytest.fixture(scope="module")
def undisturbed(place):
    """Results of the grid run without disturbance, both cells as one batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_RESULTS", str(place / "undisturbed"))
        assert make(place / "mini.json", "--batch", "2") == 0
    return place / "undisturbed"


@pytest.mark.slow
def test_a_batch_records_every_cell_and_the_table(undisturbed):
    found = table(undisturbed)
    assert len(records(undisturbed)) == 2
    assert list(found["beta"].fillna(0)) == [0.75, 0]
    assert set(found["key"]) == set(records(undisturbed))
    assert (found["tp"] + found["fn"] == 8).all() and (found["fp"] + found["tn"] > 100).all()


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_table(place, undisturbed, results, capsys):
    grid = place / "mini.json"
    assert listed(grid, capsys)[0].endswith("2 cells planned, 2 missing")
    arguments = ["make", *selection(grid), "--gpus", "0", f"--snakemake={ONE_CORE}"]
    with open(place / "killed.log", "w") as log:
        line = [sys.executable, "-m", "workflow.drive", *arguments]
        driver = psutil.Popen(line, cwd=project_root(), stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 500
            while not records(results):
                assert driver.poll() is None and time.monotonic() < deadline, (place / "killed.log").read_text()
                time.sleep(0.05)
        finally:
            family = [driver, *driver.children(recursive=True)]
            for process in family:
                process.kill()
            psutil.wait_procs(family, timeout=30)
    first = records(results)
    assert len(first) == 1 and not (results / "tables").exists()
    count, *missing = listed(grid, capsys)
    assert count.endswith("2 cells planned, 1 missing")
    beta = "none" if "beta0.75" in next(iter(first)) else "0.75"
    assert missing == [f"mini         clean combined squeezenet none beta {beta} draw 0 seed 0"]

    assert make(grid) == 0
    second = records(results)
    assert len(second) == 2 and first.items() <= second.items()
    pd.testing.assert_frame_equal(table(results), table(undisturbed))
    assert [line.split(": ")[1] for line in listed(grid, capsys)] == ["2 cells planned, 0 missing"]


def test_a_driver_told_to_stop_hands_it_on(tmp_path):
    begun = tmp_path / "begun"
    waits = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"

    def stop():
        while not begun.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    assert drive([sys.executable, "-c", waits]) == -signal.SIGTERM


def test_a_second_driver_is_refused(place, results, capfd):
    with driving(plan_path()), pytest.raises(RecordError, match="another `make study`"), driving(plan_path()):
        pass
    with driving(plan_path()):
        assert make(place / "mini.json") == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: another `make study` is at work on this plan: wait for it or stop it first."]
    assert not results.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("limits", "threads"), [("--cores 2", 2), ("--cores 9 --resources gpu=4", 2)])
def test_cells_that_run_at_once_share_the_cores(place, results, capfd, limits, threads):
    assert main(["make", *selection(place / "mini.json"), f"--snakemake={limits} --dry-run"]) == 0
    cells = capfd.readouterr().out.split("rule cells:")[1:]
    assert len(cells) == 2
    assert all(f"threads: {threads}\n" in cell for cell in cells)


def test_a_job_of_an_outdated_plan_is_refused_in_one_sentence(place, results, tmp_path, capsys):
    plan = tmp_path / "old.json"
    assert main(["plan", *selection(place / "mini.json"), str(plan)]) == 0
    capsys.readouterr()
    assert main(["cell", str(plan), "unknown"]) == 2
    assert capsys.readouterr().err == "error: the plan old.json has no cell 'unknown': make the plan again.\n"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "data": "other"}))
    assert main(["table", str(plan)]) == 2
    sentence = "the data have changed since the plan old.json was made: make the plan again."
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_missing_profile_is_said_before_anything_is_planned(place, results, capfd):
    assert make(place / "mini.json", "--workflow", "nowhere") == 2
    printed = capfd.readouterr()
    assert "there is no Snakemake profile 'nowhere': choose default, slurm" in printed.err
    assert "planned" not in printed.out


def test_a_profile_is_a_committed_one_or_a_folder(tmp_path):
    assert profile_folder("slurm").is_dir()
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    assert profile_folder(str(tmp_path)) == tmp_path
    with pytest.raises(ParameterError, match="no Snakemake profile"):
        profile_folder(str(tmp_path / "nothing"))


@pytest.mark.slow
def test_a_cluster_does_not_inherit_the_limits_of_one_machine(place, tmp_path):
    plan = tmp_path / "plan.json"
    empty = {"cache": str(tmp_path), "table": str(tmp_path / "table.csv"), "data": "0", "cells": []}
    plan.write_text(json.dumps(empty))
    for profile, limited in (("default", True), ("slurm", False)):
        line = [*command(plan, profile, 1, 1), "--dry-run", "--executor", "dryrun"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert "rule table" in done.stdout
        assert ("profiles/default" in done.stderr) is limited
