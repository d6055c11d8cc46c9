"""fastai callbacks of the training loop; fastai calls their methods, each named after when."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import EarlyStoppingCallback, TrackerCallback
from torch import nn
from tqdm import tqdm

from cxrlib.storage import atomic_path

EVERY_S = 60  # seconds between two states written of a training under way
TRACKED = ("best", "wait", "best_epoch", "_state")  # what the callbacks that watch a metric have found so far


class KeepBest(TrackerCallback):
    """Keep the weights of the best epoch by `monitor` (a loss: the lowest; accuracy: the highest)."""

    order = TrackerCallback.order + 1

    def __init__(self, monitor: str = "valid_loss") -> None:
        super().__init__(monitor=monitor)
        self.best_epoch = -1
        self._state: dict[str, torch.Tensor] = {}

    def after_epoch(self) -> None:
        super().after_epoch()
        if self.new_best or not self._state:
            self.best_epoch = len(self.recorder.values) - 1
            self._state = {name: value.detach().clone() for name, value in self.learn.model.state_dict().items()}

    def restore(self, model: nn.Module) -> int:
        """Load the kept weights into `model` and return the epoch they come from (from 0)."""
        model.load_state_dict(self._state)
        return self.best_epoch


class StopEarly(EarlyStoppingCallback):
    """Stop after `patience` epochs without a better value of `monitor`, without printing."""

    def after_epoch(self) -> None:
        TrackerCallback.after_epoch(self)
        self.wait: int = 0 if self.new_best else self.wait + 1
        if self.wait >= self.patience:
            raise CancelFitException


class Schedule(Callback):
    """Set the learning rate of each epoch to `rate(epoch)`, epochs counted from 0."""

    def __init__(self, rate: Callable[[int], float]) -> None:
        super().__init__()
        self.rate = rate

    def before_epoch(self) -> None:
        self.learn.opt.set_hyper("lr", self.rate(len(self.recorder.values)))


class Resume(Callback):
    """Write where the training stands into a file, about once a minute, and go on from there after it was killed.

    What goes on gives the numbers of a training that was never interrupted. `identity`: the code and the machine; the state
    that others left is not used. Without a `path` it does nothing. `done`: epochs that were trained before.
    """

    order = StopEarly.order + 1

    def __init__(self, path: Path | None, identity: str) -> None:
        super().__init__()
        self.path, self.identity, self.done = path, identity, 0

    def before_fit(self) -> None:
        self.written = time.monotonic()
        state = self._read()
        if not state:
            return
        self.learn.model.load_state_dict(state["model"])
        self.learn.opt.load_state_dict(state["optimiser"])
        for tracker, values in zip(self._trackers(), state["trackers"], strict=True):
            vars(tracker).update(values)
        smooth = self.recorder.smooth_loss
        self.recorder.values, (smooth.count, smooth.val) = state["values"], state["smooth_loss"]
        self.done = self.dls.train.epoch = len(state["values"])
        self.learn.n_epoch -= self.done
        torch.set_rng_state(state["random"].cpu())
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all([one.cpu() for one in state["random_cuda"]])
        print(f"training: going on after {self.done} epochs", file=sys.stderr, flush=True)

    def after_epoch(self) -> None:
        if self.path is None or time.monotonic() - self.written < EVERY_S:
            return
        smooth = self.recorder.smooth_loss
        state = {
            "identity": self.identity,
            "model": self.learn.model.state_dict(),
            "optimiser": self.learn.opt.state_dict(),
            "trackers": [{name: vars(one)[name] for name in TRACKED if name in vars(one)} for one in self._trackers()],
            "values": [list(map(float, values)) for values in self.recorder.values],
            "smooth_loss": (smooth.count, smooth.val),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        try:
            with atomic_path(self.path) as part:
                torch.save(state, part)
        except (OSError, RuntimeError) as error:  # the training is worth more than its state
            print(f"training: its state could not be written ({error})", file=sys.stderr, flush=True)
        self.written = time.monotonic()

    def _trackers(self) -> list[TrackerCallback]:
        return [one for one in self.learn.cbs if isinstance(one, TrackerCallback)]

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            state: dict[str, Any] = torch.load(self.path, map_location=self.dls.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            return {}
        return state if state["identity"] == self.identity else {}


class EpochBar(Callback):
    """One progress bar on standard error for the whole fit, the last epoch's losses beside it; silent where no terminal is."""

    order = Resume.order + 1

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def before_fit(self) -> None:
        steps = self.learn.n_epoch * len(self.learn.dls.train)
        self.bar = tqdm(total=steps, desc=self.title, unit="batch", file=sys.stderr, disable=not sys.stderr.isatty())

    def after_batch(self) -> None:
        self.bar.update(int(self.learn.training))

    def after_epoch(self) -> None:
        train, valid = self.learn.recorder.values[-1][:2]
        self.bar.set_postfix(train=f"{train:.4f}", valid=f"{valid:.4f}")

    def after_fit(self) -> None:
        self.bar.close()
