"""The learner of the training loop and its fastai callbacks, whose methods are named after when they are called."""

import sys
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import TrackerCallback
from fastai.learner import Learner
from tqdm import tqdm

from cxrlib.storage import atomic_path

EVERY_S = 60  # seconds between two states written of a training under way


class EventLearner(Learner):
    """fastai's `Learner`, which calls at an event those callbacks only that have a method for it: half the time between steps."""

    _set_device = staticmethod(lambda batch: batch)  # an `ArrayLoader` has put it there

    def __call__(self, event_name: str) -> None:
        for callback in sorted(self.cbs, key=attrgetter("order")):
            if hasattr(type(callback), event_name) or event_name in vars(callback):
                callback(event_name)


class KeepBest(TrackerCallback):
    """Keep the weights of the best epoch by `monitor` (a loss: the lowest; accuracy: the highest); stop `patience` epochs after it."""

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(monitor=monitor)
        self.patience, self.best_epoch = patience, -1
        self.weights: dict[str, torch.Tensor] = {}

    def after_epoch(self) -> None:
        super().after_epoch()
        if self.new_best or not self.weights:
            self.best_epoch = len(self.recorder.values) - 1
            self.weights = {name: value.detach().clone() for name, value in self.learn.model.state_dict().items()}
        if len(self.recorder.values) > self.best_epoch + self.patience:
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

    order = KeepBest.order + 1

    def __init__(self, path: Path | None, identity: str, keeper: KeepBest) -> None:
        super().__init__()
        self.path, self.identity, self.keeper, self.done = path, identity, keeper, 0

    def before_fit(self) -> None:
        self.written = time.monotonic()
        state = self._read()
        if not state:
            return
        self.learn.model.load_state_dict(state["model"])
        self.learn.opt.load_state_dict(state["optimiser"])
        self.keeper.__dict__.update(state["kept"])
        smooth = self.recorder.smooth_loss
        self.recorder.values, (smooth.count, smooth.val) = state["values"], state["smooth_loss"]
        self.done = self.dls.train.epoch = len(state["values"])
        self.learn.n_epoch -= self.done
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["random_cuda"])  # an empty list where there is no GPU
        print(f"training: going on after {self.done} epochs", file=sys.stderr, flush=True)

    def after_epoch(self) -> None:
        if self.path is None or time.monotonic() - self.written < EVERY_S:
            return
        smooth = self.recorder.smooth_loss
        state = {
            "identity": self.identity,
            "model": self.learn.model.state_dict(),
            "optimiser": self.learn.opt.state_dict(),
            "kept": {name: vars(self.keeper)[name] for name in ("best", "best_epoch", "weights")},
            "values": [list(map(float, values)) for values in self.recorder.values],
            "smooth_loss": (smooth.count, smooth.val),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
        }
        try:
            with atomic_path(self.path) as part:
                torch.save(state, part)
        except (OSError, RuntimeError) as error:  # the training is worth more than its state
            print(f"training: its state could not be written ({error})", file=sys.stderr, flush=True)
        self.written = time.monotonic()

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
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
