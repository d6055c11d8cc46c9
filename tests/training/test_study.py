"""The cells of a grid in this process: what fails, what another process holds, what does not fit the time; the list."""

import json
import time
from unittest.mock import Mock
from urllib.error import URLError

import pytest
import torch

from cxrlib.__main__ import main
from cxrlib.data.editions import load_edition
from cxrlib.paths import cache_root
from cxrlib.records.record import run_folder
from cxrlib.storage import lock
from cxrlib.training import study
from cxrlib.training.grid import listed_cells
from cxrlib.training.runs import run_inputs

CELL = {"model": "squeezenet", "pretraining": "none", "image_size": 32, "epochs": 1, "train_limit": 64}
GRID = [{**CELL, "beta": 0.75}, {**CELL, "beta": None}]


@pytest.fixture
def grid(phantom_env):
    """The file of a small grid, on a machine without data."""
    path = phantom_env / "mini.json"
    path.write_text(json.dumps(GRID))
    return path


@pytest.fixture
def three(grid):
    """Edition, three configs, and the folders of their records."""
    edition = load_edition("phantom")
    cells = listed_cells(grid, seeds=2, profile="quick", edition="phantom")[:3]
    configs = [cell.config for cell in cells]
    return edition, configs, [run_folder(config, run_inputs(config, edition)) for config in configs]


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


def test_without_weights_the_list_says_what_it_cannot_know(grid, tmp_path, monkeypatch, capsys):
    grid.write_text(json.dumps([*GRID, {**CELL, "pretraining": "imagenet"}, {**CELL, "model": "vgg19"}]))
    monkeypatch.setenv("CXR_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", Mock(side_effect=URLError("no network")))
    assert main(["study", "list", "--profile", "quick", "--edition", "phantom", "--grid", str(grid)]) == 0
    printed = capsys.readouterr()
    assert "4 cells planned, 4 missing" in printed.out and "squeezenet imagenet" in printed.out
    assert "count as missing: torchvision's ImageNet weights could not be downloaded" in printed.err
    assert "squeezenet1_1_imagenet.safetensors" in printed.err and "vgg19" not in printed.err


@pytest.mark.parametrize("number", ["0", "-1"])
@pytest.mark.parametrize("option", ["seeds", "draws"])
def test_fewer_than_one_seed_or_draw_is_refused(option, number, grid, capsys):
    for own in (["--grid", str(grid)], []):
        assert main(["study", "list", "--edition", "phantom", *own, f"--{option}", number]) == 2
        sentence = f"{option} = {number} is not allowed: {option} must be a whole number of at least 1."
        assert capsys.readouterr().err == f"error: {sentence}\n"
