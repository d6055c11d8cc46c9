"""`python -m benchmarks.bench` (`make bench`): the training loop beside bare torch steps, the image store, memory."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback

from cxrlib.config import MODELS, RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.data.samples import RunSamples, Samples
from cxrlib.images.store import open_store
from cxrlib.losses.alternatives import build_loss
from cxrlib.networks.classifier import build_network
from cxrlib.records.provenance import Stopwatch, machine
from cxrlib.training import train as training
from cxrlib.training.configure import run_config
from cxrlib.training.precision import DTYPES, best_device

ROUNDS = 5


def instruction_set() -> str:
    """The widest instructions that torch computes with here: 'AVX2', 'AVX512', 'AVX512-BF16', 'AMX', or the GPU's name."""
    device = best_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for name, probe in (("AMX", "_is_amx_tile_supported"), ("AVX512-BF16", "_is_avx512_bf16_supported")):
        if getattr(torch.cpu, probe, lambda: False)():
            return name
    return torch.backends.cpu.get_cpu_capability()


class _Epochs(Callback):
    """Seconds of each epoch's training part; after each the bare steps run, so that both meet the same machine."""

    order = -1000

    def __init__(self, between: Callable[[], None]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.between = between

    def before_train(self) -> None:
        _synchronise()
        self.start = time.perf_counter()

    def after_train(self) -> None:
        _synchronise()
        self.seconds.append(time.perf_counter() - self.start)
        self.between()


def bench_training(config: RunConfig, steps: int) -> dict[str, object]:
    """Images/s of `training.train.train` beside those of a bare step on one fixed batch, in the same process.

    The bare step does forward, loss, backward and Adam on a batch that is already a float tensor on the device; the loop
    adds indexing, conversion, callbacks and recording. The same step in float32 shows what the precision is worth. All
    alternate `ROUNDS` times after a warm-up and the best of each counts.
    """
    watch, rng = Stopwatch(best_device()), np.random.default_rng(0)
    count = steps * config.batch_size
    part = Samples(
        rng.integers(0, 256, (count, config.image_size, config.image_size), dtype=np.uint8),
        np.arange(count) % 2,
        pd.DataFrame(index=range(count)),
    )
    two = Samples(part.pixels[:2], part.labels[:2], part.table[:2])
    bare, single = _bare_step(config, part), _bare_step(config.replace(precision="float32"), part)
    found: dict[str, list[float]] = {"bare": [], "single": []}

    def between() -> None:
        for name, step in (("bare", bare), ("single", single)):
            found[name].append(_seconds(step, steps))

    epochs = _Epochs(between)
    config = config.replace(epochs=1 + ROUNDS, patience=1 + ROUNDS)
    learner = training.Learner
    with patch.object(training, "Learner", lambda *a, cbs, **more: learner(*a, cbs=[*cbs, epochs], **more)):
        training.train(config, RunSamples(part, two, two, pd.DataFrame()))
    rates = {name: count / min(seconds[1:]) for name, seconds in (*found.items(), ("loop", epochs.seconds))}
    return {
        "model": config.model,
        "px": config.image_size,
        "batch": config.batch_size,
        "precision": config.precision,
        "float32 step, images/s": rates["single"],
        "bare step, images/s": rates["bare"],
        "training loop, images/s": rates["loop"],
        "loop / bare": rates["loop"] / rates["bare"],
        "peak memory, MiB": watch.stop()["peak_memory_mib"],
    }


def bench_store(edition_name: str, size: int) -> dict[str, object]:
    """Images/s of building the image store of an edition from nothing, in a temporary cache."""
    edition = load_edition(edition_name)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, CXR_CACHE=folder):
        start = time.perf_counter()
        store = open_store(edition.images, size)
        seconds = time.perf_counter() - start
    images, mib = len(store.table), store.pixels.nbytes / 2**20
    return {"edition": edition.short, "px": size, "images": images, "images/s": images / seconds, "MiB": mib}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the machine, the table of training and that of the image store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.partition(":")[2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["resnet50", "squeezenet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--steps", type=int, default=12, help="training steps a round")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--edition", default="auto", help="whose image store is built; none: no store")
    parser.add_argument("--csv", type=Path, help="also write the training figures here")
    arguments = parser.parse_args(argv)
    print(f"machine: {machine(best_device())}, {instruction_set()}\n")
    rows = []
    for model in arguments.models:
        for size in arguments.sizes:
            config = run_config(
                edition="phantom", model=model, pretraining="none", image_size=size, batch_size=arguments.batch_size,
                precision=arguments.precision,
            )  # fmt: skip
            rows.append(bench_training(config, arguments.steps))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}" if x < 10 else f"{x:.1f}"), "\n")
    if arguments.edition != "none":
        stores = pd.DataFrame([bench_store(arguments.edition, size) for size in arguments.sizes])
        print(stores.to_string(index=False, float_format=lambda x: f"{x:.1f}"))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)


def _bare_step(config: RunConfig, part: Samples) -> Callable[[], None]:
    device, first = best_device(), slice(config.batch_size)
    network = build_network(config.model, config.image_size, config.seed, head=config.head)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.dtype = DTYPES[config.precision]
    loss = build_loss(config.loss, config.beta, config.rules.loss_without_beta)
    betas = (config.adam_beta1, training.ADAM_BETA2)
    adam = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, betas=betas, eps=training.ADAM_EPSILON, fused=True
    )
    images = torch.from_numpy(part.pixels[first]).to(device).float().div_(255).unsqueeze(1)
    images = images.contiguous(memory_format=torch.channels_last)
    target = torch.from_numpy(part.labels[first]).to(device)

    def step() -> None:
        adam.zero_grad()
        loss(network(images), target).backward()
        adam.step()

    return step


def _seconds(step: Callable[[], None], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _synchronise()
    return time.perf_counter() - start


def _synchronise() -> None:
    if best_device().type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
