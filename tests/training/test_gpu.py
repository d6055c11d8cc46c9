"""On a CUDA device (`make test-gpu`): a step of each network, resident images or not, lost memory, repeats, the offline runner."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.data.editions import load_edition
from cxrlib.data.samples import RunSamples, Samples
from cxrlib.paths import project_root
from cxrlib.records.record import read_records, run_folder
from cxrlib.training import loaders, runs, study
from cxrlib.training.configure import run_config
from cxrlib.training.precision import best_device, hardware_precision
from cxrlib.training.train import predict, train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

TINY = {
    "edition": "phantom",
    "model": "squeezenet",
    "pretraining": "none",
    "image_size": 32,
    "epochs": 1,
    "train_limit": 64,
}
NETWORKS = [
    ("resnet50", "released"), ("resnet50", "native"), ("acnn", "released"), ("squeezenet", "native"), ("vgg19", "native"),
]  # fmt: skip


def part(count, size):
    """Random pixels with both classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)
    return Samples(pixels, np.arange(count) % 2, pd.DataFrame(index=range(count)))


def samples(size=64):
    return RunSamples(part(32, size), part(16, size), part(16, size), pd.DataFrame())


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch):
    monkeypatch.delenv("CXR_DEVICE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")


@pytest.fixture
def edition(phantom_env):
    return load_edition("phantom")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("model", "head"), NETWORKS)
def test_each_network_trains_and_predicts(model, head, precision):
    if precision == "bfloat16" and hardware_precision(best_device()) == "float32":
        pytest.skip("this GPU has no bfloat16")
    config = run_config(**{**TINY, "model": model, "head": head, "precision": precision, "image_size": 64})
    trained = train(config, samples())
    assert next(trained.network.parameters()).device == best_device()
    assert np.isfinite(trained.history[["train_loss", "valid_loss"]].to_numpy()).all()
    assert np.isfinite(predict(trained.network, part(16, 64))).all()
    assert trained.provenance["device"] == "cuda" and set(trained.provenance["cuda"]) == {"cuda", "cudnn", "driver"}


def test_a_frozen_trunk_trains_its_head():
    config = run_config(**{**TINY, "recipe": "deepcovid", "beta": None, "image_size": 64, "epochs": 2})
    assert len(train(config, samples()).history) >= 1


@pytest.mark.parametrize("share", [0.25, 0.0], ids=["resident", "on the host"])
def test_images_may_stay_on_the_host(share, monkeypatch):
    monkeypatch.setattr(loaders, "RESIDENT_SHARE", share)
    config = run_config(**{**TINY, "epochs": 2})
    history = train(config, samples(32)).history
    monkeypatch.setattr(loaders, "RESIDENT_SHARE", 0.25)
    np.testing.assert_array_equal(history["train_loss"], train(config, samples(32)).history["train_loss"])


def test_a_training_that_was_killed_goes_on_to_the_same_numbers(edition, killed_after):
    config = run_config(**{**TINY, "epochs": 3})
    whole = runs.run(config, edition)
    with killed_after(2):
        runs.run(config, edition, rerun=True)
    again = runs.run(config, edition, rerun=True)
    assert again.provenance["resumed_after_epochs"] == 2
    np.testing.assert_array_equal(again.predictions["logit"], whole.predictions["logit"])


@pytest.mark.parametrize("model", ["squeezenet", "resnet50", "acnn"])
def test_the_same_cell_twice_gives_the_same_numbers(edition, model):
    config = run_config(**{**TINY, "model": model, "epochs": 2})
    first, again = (runs.run(config, edition, rerun=True, save=False) for _ in range(2))
    np.testing.assert_array_equal(first.predictions["logit"], again.predictions["logit"])


def test_a_cell_that_runs_out_of_gpu_memory_is_named_and_the_next_one_runs(edition, monkeypatch):
    configs = [run_config(**{**TINY, "beta": beta}) for beta in (0.5, 0.75)]
    train_one, held = runs.train, torch.cuda.memory_allocated()

    def greedy(config, *rest, **more):
        if config.beta == 0.5:
            blocks = []
            while True:
                blocks.append(torch.empty(4 << 30, dtype=torch.uint8, device=best_device()))
        return train_one(config, *rest, **more)

    monkeypatch.setattr(runs, "train", greedy)
    assert study.run_cells(configs, edition) == 1
    assert torch.cuda.memory_allocated() - held < 1 << 30, "the memory of the failed cell is free again"
    folder = run_folder(configs[0], runs.run_inputs(configs[0], edition))
    assert "OutOfMemoryError" in study.failure_note(folder.name).read_text()
    monkeypatch.setattr(runs, "train", train_one)
    assert study.run_cells(configs, edition) == 0


def test_the_offline_runner_end_to_end(phantom_env):
    cells = [
        {name: value for name, value in TINY.items() if name != "edition"} | {"beta": beta} for beta in (0.75, None)
    ]
    (phantom_env / "grid.json").write_text(json.dumps(cells))
    environment = {**os.environ, "PYTHONPATH": str(project_root())}
    package = [sys.executable, "-m", "tools.offline_runner.package", "--profile", "quick", "--edition", "phantom"]
    subprocess.run(
        [*package, "--grid", "grid.json", "--output", "package"], cwd=phantom_env, env=environment, check=True
    )
    line = [sys.executable, "package/run_study.py", "--seconds", "200", "--output", "study"]
    subprocess.run(line, cwd=phantom_env, env=environment, check=True)
    imported = [sys.executable, "-m", "tools.offline_runner.merge", "study/records.zip"]
    subprocess.run(imported, cwd=phantom_env, env=environment, check=True)
    records, aside = read_records(phantom_env / "results" / "local")
    assert len(records) == 2 and not aside and {record.provenance["device"] for record in records} == {"cuda"}
