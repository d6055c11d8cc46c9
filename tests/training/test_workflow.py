"""A small grid on phantoms: cells that fail, several processes, and Snakemake with batches and a killed run that resumes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from unittest.mock import Mock
from urllib.error import URLError

import pandas as pd
import psutil
import pytest
import torch

from cxrlib.__main__ import main
from cxrlib.data.editions import load_edition
from cxrlib.errors import ParameterError, RecordError
from cxrlib.paths import cache_root, project_root
from cxrlib.records.record import run_folder
from cxrlib.storage import lock
from cxrlib.training import study, workflow
from cxrlib.training.grid import listed_cells
from cxrlib.training.runs import run_inputs
from cxrlib.training.workflow import command, drive, driving, plan_path, profile_folder

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


@pytest.fixture
def three(place, results):
    """Edition, three configs, and the folders of their records."""
    edition = load_edition("phantom")
    cells = listed_cells(place / "mini.json", seeds=2, profile="quick", edition="phantom")[:3]
    configs = [cell.config for cell in cells]
    return edition, configs, [run_folder(config, run_inputs(config, edition)) for config in configs]


def command_line(action, grid, *options):
    return ["study", action, "--profile", "quick", "--edition", "phantom", "--grid", str(grid), *options]


def make(grid, *options):
    """`study make` with the plan made in this process, which has torch loaded already."""
    return main(command_line("make", grid, "--gpus", "0", f"--snakemake={ONE_CORE}", *options))


def listed(grid, capsys):
    """The lines that `study list` prints: its count, then the missing cells."""
    capsys.readouterr()
    assert main(command_line("list", grid)) == 0
    return capsys.readouterr().out.splitlines()


def table(results):
    return pd.read_csv(results / "tables" / "quick-phantom-mini.csv")


def records(results):
    """The records that are whole; one trained again would state another start."""
    found = sorted((results / "local").glob("*/record.json"))
    return {path.parent.name: json.loads(path.read_text())["provenance"]["started"] for path in found}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
            "OutOfMemoryError: CUDA out of memory",
        ),
        (MemoryError(), "MemoryError"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "RuntimeError: cuDNN error"),
    ],
)
def test_a_cell_out_of_memory_is_named_loses_no_other_and_comes_last_at_the_next_start(
    error, reason, three, monkeypatch, capsys
):
    edition, configs, folders = three
    tried = []

    def run(config, edition):
        tried.append(config)
        assert study.failure_note(folders[configs.index(config)].name).is_file(), "there even if the process is killed"
        if config == configs[0] and len(tried) == 1:
            raise error
        folders[configs.index(config)].mkdir(parents=True)

    monkeypatch.setattr(study, "run", run)
    monkeypatch.setattr(study, "load_record", lambda folder: Mock(metrics={"test": {"auroc": 0.5, "bacc": 0.5}}))
    calls = []
    assert study.run_cells(configs[:2], edition, after_each=lambda: calls.append(1)) == 1
    assert tried == configs[:2] and len(calls) == 2
    assert f"no record: {folders[0].name}: {reason}" in capsys.readouterr().err
    note = study.failure_note(folders[0].name)
    assert reason in note.read_text() and "Traceback" in note.read_text()
    assert study.run_cells(configs, edition) == 0
    assert tried[2:] == [configs[2], configs[0]]
    assert not list(note.parent.iterdir())


def test_a_gpu_that_is_lost_ends_the_process_in_good_order(three, monkeypatch, capsys):
    edition, configs, _ = three
    monkeypatch.setattr(study, "run", Mock(side_effect=torch.AcceleratorError("CUDA error: an illegal memory access")))
    assert study.run_cells(configs, edition) == 3
    assert study.run.call_count == 1
    assert "the GPU takes no more work from this process" in capsys.readouterr().err


def test_a_cell_that_another_process_holds_is_left_to_it(three, monkeypatch):
    edition, configs, folders = three
    held = lock(cache_root() / "study" / folders[0].name)
    order = []

    def run(config, edition):
        order.append(config)
        folders[configs.index(config)].mkdir(parents=True)
        if len(order) == 2:  # meanwhile the other process ends, having recorded its cell
            folders[0].mkdir()
            held.release()

    monkeypatch.setattr(study, "run", run)
    monkeypatch.setattr(study, "load_record", lambda folder: Mock(metrics={"test": {"auroc": 0.5, "bacc": 0.5}}))
    held.acquire()
    assert study.run_cells(configs, edition) == 0
    assert order == configs[1:]


def test_no_cell_is_begun_that_would_pass_the_time_limit(three, monkeypatch):
    edition, configs, _ = three
    monkeypatch.setattr(study, "_slowest", lambda configs: {"squeezenet": 60.0})
    monkeypatch.setattr(study, "run", Mock())
    assert study.run_cells(configs, edition, time.monotonic() + 30) == 3
    assert not study.run.called


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
    arguments = command_line("make", grid, "--gpus", "0", f"--snakemake={ONE_CORE}")
    with open(place / "killed.log", "w") as log:
        line = [sys.executable, "-m", "cxrlib", *arguments]
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


def test_a_driver_told_to_stop_hands_it_on(monkeypatch, tmp_path):
    begun = tmp_path / "begun"
    waits = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    monkeypatch.setattr(workflow, "command", lambda *_: [sys.executable, "-c", waits])

    def stop():
        while not begun.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    assert drive(tmp_path / "plan.json", "default", 1, 0) == -signal.SIGTERM


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
    assert main(command_line("make", place / "mini.json", f"--snakemake={limits} --dry-run")) == 0
    cells = capfd.readouterr().out.split("rule cells:")[1:]
    assert len(cells) == 2
    assert all(f"threads: {threads}\n" in cell for cell in cells)


def test_without_weights_the_list_says_what_it_cannot_know(place, results, tmp_path, monkeypatch, capsys):
    grid = tmp_path / "weights.json"
    grid.write_text(json.dumps([*GRID, {**CELL, "pretraining": "imagenet"}, {**CELL, "model": "vgg19"}]))
    monkeypatch.setenv("CXR_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", Mock(side_effect=URLError("no network")))
    assert main(command_line("list", grid)) == 0
    printed = capsys.readouterr()
    assert "4 cells planned, 4 missing" in printed.out and "squeezenet imagenet" in printed.out
    assert "count as missing: torchvision's ImageNet weights could not be downloaded" in printed.err
    assert "squeezenet1_1_imagenet.safetensors" in printed.err and "vgg19" not in printed.err


@pytest.mark.parametrize("number", ["0", "-1"])
@pytest.mark.parametrize("option", ["seeds", "draws"])
def test_fewer_than_one_seed_or_draw_is_refused(option, number, place, results, capsys):
    for line in (command_line("list", place / "mini.json"), ["study", "list", "--edition", "phantom"]):
        assert main([*line, f"--{option}", number]) == 2
        sentence = f"{option} = {number} is not allowed: {option} must be a whole number of at least 1."
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
