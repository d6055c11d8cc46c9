"""`python -m cxrlib bench`: what the training loop costs beside a bare torch step, and what the cache costs."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback

from benchmarks.turnover import load_turnover, measure_turnover, save_turnover, summarise_turnover
from cxrlib.config import MODELS, PROFILES, RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.errors import ParameterError
from cxrlib.images.store import open_store
from cxrlib.losses.weighted import build_loss
from cxrlib.networks.classifier import build_network
from cxrlib.records.provenance import Stopwatch, machine
from cxrlib.training.learner import ADAM_BETA2, ADAM_EPSILON, build_learner, to_device
from cxrlib.training.loaders import make_loaders
from cxrlib.training.precision import Autocast, best_device, compute_dtype

ROUNDS = 3


class _TrainTimer(Callback):
    """Seconds of each epoch's training part."""

    order = -1000

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def before_train(self) -> None:
        _synchronise(self.learn.dls.device)
        self._start = time.perf_counter()

    def after_train(self) -> None:
        _synchronise(self.learn.dls.device)
        self.seconds.append(time.perf_counter() - self._start)


def bench_training(config: RunConfig, steps: int) -> dict[str, object]:
    """Images/s of the fastai loop beside those of a bare step on one fixed batch, in the same process.

    The bare step does forward, loss, backward and Adam on a batch that is already a float tensor on the
    device; the loop adds indexing, conversion, callbacks and recording. The same step in float32 shows what
    the machine's precision is worth. All alternate `ROUNDS` times after a warm-up and the best of each counts.
    """
    device = best_device()
    watch = Stopwatch(device)
    rng = np.random.default_rng(0)
    count = steps * config.batch_size
    pixels = rng.integers(0, 256, (count, config.image_size, config.image_size), dtype=np.uint8)
    labels = rng.integers(0, 2, count)
    loaders = make_loaders(pixels, labels, pixels[:2], labels[:2], batch_size=config.batch_size, device=device, seed=0)
    loss = build_loss(config.beta, "cross_entropy")
    first = pixels[: config.batch_size], labels[: config.batch_size]
    bare_step = _bare_step(config, *first, loss, device, compute_dtype(device))
    single_step = _bare_step(config, *first, loss, device, torch.float32)
    timer = _TrainTimer()
    bare: list[float] = []
    single: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        network = build_network(config.model, config.image_size, config.seed)
        learner = build_learner(config, network, loaders, loss, Path(folder) / "history.csv", "bench")
        learner.add_cb(timer)
        with learner.no_bar(), learner.no_logging():
            for _ in range(1 + ROUNDS):
                learner.fit(1)
                bare.append(_seconds(bare_step, steps, device))
                single.append(_seconds(single_step, steps, device))
    bare_rate, loop_rate = count / min(bare[1:]), count / min(timer.seconds[1:])
    return {
        "model": config.model,
        "px": config.image_size,
        "batch": config.batch_size,
        "precision": str(compute_dtype(device)).removeprefix("torch."),
        "float32 step, images/s": count / min(single[1:]),
        "bare step, images/s": bare_rate,
        "training loop, images/s": loop_rate,
        "loop / bare": loop_rate / bare_rate,
        "peak memory, MiB": watch.stop()["peak_memory_mib"],
    }


def bench_store(edition_name: str, size: int) -> dict[str, object]:
    """Images/s of building the image store of an edition from nothing, in a temporary cache."""
    edition = load_edition(edition_name)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, CXR_CACHE=folder):
        start = time.perf_counter()
        store = open_store(edition.images, size)
        seconds = time.perf_counter() - start
    return {
        "edition": edition.short,
        "px": size,
        "images": len(store.table),
        "images/s": len(store.table) / seconds,
        "MiB": store.pixels.nbytes / 2**20,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m cxrlib bench`."""
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["resnet50"])
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[int(PROFILES[name]["image_size"]) for name in ("quick", "full")]
    )
    parser.add_argument("--steps", type=int, default=4, help="training steps a round")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--edition", default="auto", help="whose image store is built")
    parser.add_argument(
        "--study",
        type=int,
        metavar="CELLS",
        help="instead: this many small cells, each in a process of its own and in a warm one; kept in results/bench",
    )
    parser.add_argument("--csv", type=Path, help="also write the training figures here")


def main(arguments: argparse.Namespace) -> int:
    """Print both tables, or with `--study` the one of turnover; returns 0."""
    if arguments.study is not None:
        if arguments.study < 1:
            raise ParameterError("--study needs a number of cells of at least 1.")
        print(save_turnover(measure_turnover(arguments.study)))
        print(summarise_turnover(load_turnover()).to_string(index=False))
        return 0
    print(f"machine: {machine(best_device())}\n")
    rows = []
    for model in arguments.models:
        for size in arguments.sizes:
            config = RunConfig.create(
                edition="phantom",
                model=model,
                pretraining="none",
                image_size=size,
                batch_size=arguments.batch_size,
                protocol="released",
            )
            rows.append(bench_training(config, arguments.steps))
    training = pd.DataFrame(rows)
    print(training.to_string(index=False, float_format=lambda x: f"{x:.3f}" if x < 10 else f"{x:.1f}"), "\n")
    stores = pd.DataFrame([bench_store(arguments.edition, size) for size in arguments.sizes])
    print(stores.to_string(index=False, float_format=lambda x: f"{x:.1f}"))
    if arguments.csv:
        training.to_csv(arguments.csv, index=False)
    return 0


def _bare_step(
    config: RunConfig,
    pixels: np.ndarray,
    labels: np.ndarray,
    loss: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype,
) -> Callable[[], None]:
    network = to_device(build_network(config.model, config.image_size, config.seed), device)
    model = Autocast(network, device, dtype)
    betas = (config.adam_beta1, ADAM_BETA2)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=betas, eps=ADAM_EPSILON, fused=True)
    images = (
        torch.from_numpy(pixels).to(device).float().div_(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)
    )
    target = torch.from_numpy(labels).to(device)

    def step() -> None:
        optimiser.zero_grad()
        loss(model(images), target).backward()
        optimiser.step()

    return step


def _seconds(step: Callable[[], None], steps: int, device: torch.device) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _synchronise(device)
    return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
