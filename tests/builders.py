"""Made-up records that are complete enough for every table and every check, without training anything."""

from typing import Any

import numpy as np
import pandas as pd

from cxrlib.config import RunConfig
from cxrlib.records.evaluate import evaluate
from cxrlib.records.provenance import training_code
from cxrlib.records.record import Record
from cxrlib.training.configure import run_config

DATA = "d" * 64


def make_config(**changes: Any) -> RunConfig:
    """A config that looks for neither data nor weights."""
    given = {
        "edition": "phantom",
        "model": "squeezenet",
        "pretraining": "none",
        "precision": "float32",
        "profile": "cpu",
    }
    return run_config(**{**given, **changes})


def make_record(strength: float = 1.5, n: int = 120, noise_seed: int | None = None, **changes: Any) -> Record:
    """A record whose logits hold the label with `strength` (0: nothing is learned); `changes` are those of the config."""
    config = make_config(**changes)
    rng = np.random.default_rng([config.seed, config.draw_seed] if noise_seed is None else noise_seed)
    label = (np.arange(n) % 3 == 0).astype(np.int8)
    logit = (rng.normal(size=n) + strength * (label - 0.5)).astype(np.float32)
    predictions = pd.DataFrame(
        {
            "split": np.where(np.arange(n) % 2, "test", "valid"),
            "image_id": [f"phantom/{k}" for k in range(n)],
            "source": np.where(np.arange(n) % 5, "first", "second"),
            "component": np.arange(n, dtype=np.int64) // 2,
            "overlap": (label == 1) & (np.arange(n) % 4 == 1),
            "label": label,
            "logit": logit,
            "probability": (1 / (1 + np.exp(-logit.astype(np.float64)))).astype(np.float32),
        }
    )
    provenance = {
        "started": "2026-01-01T00:00:00+00:00", "wall_s": 1.0, "machine": "a machine, 1 thread", "device": "cpu",
        "training_code": training_code(), "code_revision": "0" * 40, "versions": {"torch": "2"}, "command": "papermill …",
        "epochs_run": 2, "epoch_kept": 0, "train_images_per_s": 100.0, "peak_memory_mib": 1.0,
        "counts": {part: {"covid": 20, "non_covid": 40} for part in ("train", "valid", "test")}, "left_out": {},
    }  # fmt: skip
    history = pd.DataFrame(
        {
            "epoch": [0, 1],
            "train_loss": [0.7, 0.5],
            "valid_loss": [0.6, 0.7],
            "accuracy": [0.7, 0.8],
            "kept": [True, False],
        }
    )
    metrics = evaluate(predictions, draws=50)
    return Record(
        config, {"data": DATA, "samples": "s" * 64, "weights": None}, metrics, predictions, history, provenance
    )
