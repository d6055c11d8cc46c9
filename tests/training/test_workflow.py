"""A small grid on phantoms through Snakemake: batches, a killed run that resumes, a cell that fails, one driver."""

import json
import os
import subprocess
import sys
import time
from unittest.mock import Mock
from urllib.error import URLError

import pandas as pd
import psutil
import pytest

from cxrlib.__main__ import main
from cxrlib.errors import ParameterError
from cxrlib.paths import project_root
from cxrlib.training.grid import own_cells
from cxrlib.training.workflow import StudyError, command, driving, plan_path, profile_folder

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


def study(action, grid, *options):
    return ["study", action, "--profile", "quick", "--edition", "phantom", "--grid", str(grid), *options]


def make(grid, *options):
    """`study make` with the plan made in this process, which has torch loaded already."""
    return main(study("make", grid, "--gpus", "0", f"--snakemake={ONE_CORE}", *options))


def listed(grid, capsys):
    """The lines that `study list` prints: its count, then the missing cells."""
    capsys.readouterr()
    assert main(study("list", grid)) == 0
    return capsys.readouterr().out.splitlines()


def table(results, name="mini"):
    return pd.read_csv(results / "tables" / f"quick-phantom-{name}.csv")


def marks(results):
    """What a cell that ran again would change: when its run started, and the date of its files."""
    return {
        folder.name: (
            json.loads((folder / "provenance.json").read_text())["started"],
            (folder / "metrics.json").stat().st_mtime_ns,
        )
        for folder in (results / "runs").iterdir()
        if (folder / "metrics.json").is_file()
    }


def kill(driver):
    """SIGKILL to a driver and all that it started."""
    family = [driver, *driver.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)


def trains(process):
    """Whether a process is at work on cells."""
    try:
        return "cell" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


@pytest.fixture(scope="module")
def undisturbed(place):
    """Results of the grid run without disturbance, both cells as one batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_RESULTS", str(place / "undisturbed"))
        assert make(place / "mini.json", "--batch", "2") == 0
    return place / "undisturbed"


def test_a_batch_records_every_cell_and_the_table(undisturbed):
    found = table(undisturbed)
    assert len(marks(undisturbed)) == 2
    assert list(found["beta"].fillna(0)) == [0.75, 0]
    assert (found["seeds"] == 1).all()
    assert set(found["records"]) == set(marks(undisturbed))
    assert (found["tp"] + found["fn"] == 8).all() and (found["fp"] + found["tn"] > 100).all()


def test_a_killed_run_resumes_to_the_same_table(place, undisturbed, results, capsys):
    grid = place / "mini.json"
    assert listed(grid, capsys)[0].endswith("2 cells planned, 2 missing")
    arguments = study("make", grid, "--gpus", "0", f"--snakemake={ONE_CORE}")
    with open(place / "killed.log", "w") as log:
        driver = psutil.Popen(
            [sys.executable, "-m", "cxrlib", *arguments],
            cwd=project_root(),
            env={**os.environ},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 300
            while not (results / "runs").is_dir() or not marks(results):
                assert driver.poll() is None and time.monotonic() < deadline, (place / "killed.log").read_text()
                time.sleep(0.05)
        finally:
            kill(driver)
    first = marks(results)
    assert len(first) == 1 and not (results / "tables").exists()
    count, *missing = listed(grid, capsys)
    assert count.endswith("2 cells planned, 1 missing")
    beta = "-" if "beta0.75" in next(iter(first)) else "0.75"
    assert missing == [f"mini      clean combined squeezenet none beta {beta} seed 0"]

    assert make(grid) == 0
    second = marks(results)
    assert len(second) == 2 and first.items() <= second.items()
    pd.testing.assert_frame_equal(table(results), table(undisturbed))
    assert [line.split(": ")[1] for line in listed(grid, capsys)] == ["2 cells planned, 0 missing"]

    plan = json.loads(plan_path().read_text())
    dry = subprocess.run(
        command(plan_path(), "default", 1, 0, ["--dry-run"]),
        env={**os.environ, "PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing to be done" in dry.stdout
    assert not any(cell["key"] in line for cell in plan["cells"] for line in dry.stdout.splitlines())


def test_a_cell_that_fails_is_named_and_loses_no_other(place, undisturbed, monkeypatch, capfd):
    monkeypatch.setenv("CXR_RESULTS", str(undisturbed))
    (place / "weights" / "squeezenet1_1_imagenet.safetensors").write_bytes(b"not weights")
    before = marks(undisturbed)
    grid = place / "broken.json"
    grid.write_text(json.dumps([*GRID, {**CELL, "pretraining": "imagenet"}, {**CELL, "beta": 2.0}]))
    assert make(grid, "--batch", "2") != 0
    printed = capfd.readouterr().err
    after = marks(undisturbed)
    assert before.items() <= after.items() and len(after) == 3
    (failed,) = (line for line in printed.splitlines() if "] failed: " in line)
    assert "quick-phantom-combined-squeezenet-imagenet" in failed and "weights" in failed
    found = table(undisturbed, "broken")
    assert list(found.loc[found["seeds"] == 0, "pretraining"]) == ["imagenet"]
    assert (found["seeds"] > 0).sum() == 3


def test_a_driver_told_to_stop_ends_with_its_cell(place, results, tmp_path):
    arguments = study("make", place / "mini.json", "--gpus", "0", f"--snakemake={ONE_CORE}")
    with open(tmp_path / "log", "w") as log:
        driver = psutil.Popen(
            [sys.executable, "-m", "cxrlib", *arguments],
            cwd=project_root(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    family = []
    try:
        deadline = time.monotonic() + 300
        while not any(map(trains, family)):
            assert driver.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
            family = driver.children(recursive=True)
        driver.terminate()
        assert driver.wait(timeout=120) != 0
        assert not [process for process in family if process.is_running()]
        assert len(marks(results)) == 1  # the cell at work was finished, the other one never begun
    finally:
        if driver.is_running():
            kill(driver)


def test_a_second_driver_is_refused(place, results, capfd):
    with driving(plan_path()), pytest.raises(StudyError, match="another `make study`"), driving(plan_path()):
        pass
    with driving(plan_path()):
        assert make(place / "mini.json") == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: another `make study` is at work on this plan: wait for it or stop it first."]
    assert not results.exists()


def test_the_lock_is_held_as_long_as_a_child_lives(tmp_path):
    with driving(tmp_path / "plan.json") as held:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(held,))
    try:
        with pytest.raises(StudyError), driving(tmp_path / "plan.json"):
            pass
    finally:
        child.kill()
        child.communicate()
    with driving(tmp_path / "plan.json"):
        pass


@pytest.mark.parametrize(
    ("limits", "threads"), [("--cores 2", 2), ("--cores 2 --resources gpu=2", 1), ("--cores 9 --resources gpu=4", 2)]
)
def test_cells_that_run_at_once_share_the_cores(place, results, capfd, limits, threads):
    assert main(study("make", place / "mini.json", f"--snakemake={limits} --dry-run")) == 0
    printed = capfd.readouterr().out
    cells = printed.split("rule cell:")[1:]
    assert len(cells) == 2
    assert all(f"threads: {threads}\n" in cell if threads > 1 else "threads:" not in cell for cell in cells)


def test_without_weights_the_list_says_what_it_cannot_know(place, results, tmp_path, monkeypatch, capsys):
    grid = tmp_path / "weights.json"
    grid.write_text(json.dumps([*GRID, {**CELL, "pretraining": "imagenet"}, {**CELL, "model": "vgg19"}]))
    monkeypatch.setenv("CXR_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", Mock(side_effect=URLError("no network")))
    assert main(study("list", grid)) == 0
    printed = capsys.readouterr()
    assert "4 cells planned, 4 missing" in printed.out and "squeezenet imagenet" in printed.out
    assert "count as missing: torchvision's ImageNet weights could not be downloaded" in printed.err
    assert "squeezenet1_1_imagenet.safetensors" in printed.err and "vgg19" not in printed.err


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


@pytest.mark.parametrize("content", ["{}", "[]", "[1]", "not json"])
def test_a_grid_of_another_form_is_refused(tmp_path, content):
    path = tmp_path / "grid.json"
    path.write_text(content)
    with pytest.raises(ParameterError, match=r"the grid grid\.json"):
        own_cells(path, "quick", "phantom", 1)


def test_a_cluster_does_not_inherit_the_limits_of_one_machine(place, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps(
            {
                "results": str(tmp_path),
                "cache": str(tmp_path),
                "table": str(tmp_path / "table.csv"),
                "data": "0",
                "cells": [],
            }
        )
    )
    for profile, limited in (("default", True), ("slurm", False)):
        line = [*command(plan, profile, 1, 1), "--dry-run", "--executor", "dryrun"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert "rule table" in done.stdout
        assert ("profiles/default" in done.stderr) is limited
