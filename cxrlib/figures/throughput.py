"""How fast images are prepared on this machine: measured when the chapter runs, never stored."""

import os
import tempfile
import time
from collections.abc import Callable
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from cxrlib.figures.style import PALETTE
from cxrlib.images.augmentation import augment
from cxrlib.images.store import THREADS, ImageStore, open_store
from cxrlib.training.loaders import make_loaders

ROUNDS = 3
LOADER_IMAGES = 1024  # cycled through in batches
AUGMENTED_IMAGES = 31  # as in the paper


def throughput_table(
    rows: pd.DataFrame, store: ImageStore, batch_size: int, device: torch.device, seed: int
) -> pd.DataFrame:
    """Images a second of each stage, the best of three rounds: stage, images, seconds, images/s.

    `rows` (of the image table) are decoded anew into a temporary store; the other stages work on `store`.
    """
    pixels = np.asarray(store.pixels[np.arange(LOADER_IMAGES) % len(store)])
    labels = np.arange(LOADER_IMAGES) % 2
    loader = make_loaders(pixels, labels, pixels[:2], labels[:2], batch_size, device, seed).train
    few = pixels[:AUGMENTED_IMAGES]

    def batches() -> None:
        for _ in loader:
            pass
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    stages: dict[str, tuple[int, Callable[[], object]]] = {
        f"build a store ({THREADS} threads)": (len(rows), lambda: _build(rows, store.size)),
        "augment 32-fold (copies made)": (32 * len(few), lambda: augment(few, "random", seed)),
        f"draw shuffled batches of {batch_size}, as float": (LOADER_IMAGES, batches),
    }
    measured = [(stage, count, _best_of(ROUNDS, work)) for stage, (count, work) in stages.items()]
    table = pd.DataFrame(measured, columns=["stage", "images", "seconds"])
    return table.assign(**{"images/s": table["images"] / table["seconds"]})


def plot_throughput(table: pd.DataFrame) -> Figure:
    """Images a second of each stage, on a logarithmic axis, with the figure at each bar."""
    figure, axis = plt.subplots(figsize=(8, 2.2), layout="constrained")
    bars = axis.barh(table["stage"], table["images/s"], color=PALETTE["blue"], height=0.6)
    axis.bar_label(bars, labels=[f"{rate:,.0f}" for rate in table["images/s"]], padding=4, fontsize="small")
    axis.set(xscale="log", xlabel="images a second")
    axis.set_xlim(10, 6 * table["images/s"].max())
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    return figure


def _build(rows: pd.DataFrame, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, CXR_CACHE=folder):
        open_store(rows, size)


def _best_of(rounds: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
