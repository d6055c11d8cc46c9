"""Where a number comes from: code revision, versions, machine, time and memory."""

import ast
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from cxrlib import __version__
from cxrlib.paths import project_root
from cxrlib.storage import digest

_PACKAGES = ("torch", "torchvision", "fastai", "numpy", "pandas", "scikit-learn", "scipy", "safetensors", "pillow")
_TRAINING_MODULES = (
    "data/samples", "images/augmentation", "images/decoding", "images/equalisation", "losses/alternatives",
    "losses/weighted", "networks/acnn", "networks/classifier", "networks/heads", "training/callbacks", "training/loaders",
    "training/runs", "training/segmentation", "training/train",
)  # fmt: skip

EQUIVALENT: dict[str, str] = {
    "68fbad174a9f2734": "before modules were merged; SqueezeNet, combined, clean, β 0.25, draw 0, seed 0 trained again: identical logits",
    "1bb7beb0b60cbb7a": "before modules were merged; SqueezeNet, combined, clean, β 0.25, draw 0, seed 1 trained again: identical logits",
    "447d711e2877ace2": "before a killed training could go on; SqueezeNet (β 4, released, draw 1, seed 4; no β, clean, draw 0, seed 3), ACNN (β 0.75, clean) and the baseline SqueezeNet (no β, paper) trained again: identical logits",
    "6761b1f5050b963e": "before a record outlived weights that cannot be written; four SqueezeNet cells and, on phantoms, twelve settings of all four networks trained again: identical logits",
    "3740140c57fba748": "before a GPU was waited for; two SqueezeNet cells and, on phantoms, eleven settings of all four networks trained again: identical logits",
}
"""Digests of earlier training code whose runs the code as it stands repeats bit for bit, each with the evidence.

A digest enters only after runs recorded with that code have been trained again with the present code on the same
machine and gave the same predictions; it leaves with the next change of the training code that is not checked so.
"""


@cache
def code_revision() -> str:
    """The git commit of the checkout, with '+changes' if tracked files differ from it; else the version."""
    asked = (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "--", "cxrlib"))
    git = ["git", "-C", str(project_root())]
    try:
        commit, changed = (
            subprocess.check_output([*git, *words], stderr=subprocess.DEVNULL, text=True) for words in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return f"cxrlib {__version__}, not in a git checkout"
    return commit.strip() + ("+changes" if changed else "")


@cache
def training_code() -> str:
    """Digest of the statements of the modules that train; comments, docstrings and layout do not count.

    What the cohorts draw has a digest of its own in a run's inputs.
    """
    package = Path(__file__).parents[1]
    return digest({name: _statements(package / f"{name}.py") for name in _TRAINING_MODULES})[:16]


@cache
def code_digest(path: Path) -> str:
    """Digest of the statements of one module; comments, docstrings and layout do not count."""
    return digest(_statements(path))[:16]


def _statements(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(value=ast.Constant()), *rest]:
                node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine(device: torch.device | None = None) -> str:
    """The machine in a few words: the GPU if `device` is one, else the processor and its threads."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'s' * (threads > 1)}"


def _cuda_versions() -> dict[str, str]:
    try:
        driver = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except OSError:
        driver = "not known"
    return {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version()), "driver": driver}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a run's numbers."""
    found = {"python": platform.python_version(), "cxrlib": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


class Stopwatch:
    """Wall time and peak memory of a run; start it before the work and call `stop` after."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.started, self._start = device, datetime.now(UTC), time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def stop(self) -> dict[str, Any]:
        """Provenance of the work done since the start, as plain values for JSON.

        `peak_memory_mib` is the process's resident peak (CPU) or the allocator's peak (GPU), in MiB.
        """
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "wall_s": round(time.perf_counter() - self._start, 2),
            "peak_memory_mib": round(peak, 1),
            "code_revision": code_revision(),
            "training_code": training_code(),
            "versions": versions(),
            "platform": platform.platform(aliased=True, terse=True),
            "machine": machine(self.device),
            "device": self.device.type,
            "cuda": _cuda_versions() if self.device.type == "cuda" else None,
        }
