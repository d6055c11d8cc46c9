"""fastai callbacks of the training loop: channels last, the best epoch, early stopping, the schedule, the progress bar."""

import sys
from collections.abc import Callable

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import EarlyStoppingCallback, TrackerCallback
from torch import nn
from tqdm import tqdm


class ChannelsLast(Callback):
    """Lay the images out with channels last, as the network's weights are."""

    def before_batch(self) -> None:
        """Convert the batch (fastai calls it)."""
        self.learn.xb = tuple(x.contiguous(memory_format=torch.channels_last) for x in self.xb)


class KeepBest(TrackerCallback):
    """Keep the weights of the best epoch by `monitor` (a loss: the lowest; accuracy: the highest)."""

    order = TrackerCallback.order + 1

    def __init__(self, monitor: str = "valid_loss") -> None:
        super().__init__(monitor=monitor)
        self.best_epoch = -1
        self._state: dict[str, torch.Tensor] = {}

    def after_epoch(self) -> None:
        """Copy the weights if this epoch is the best so far (fastai calls it)."""
        super().after_epoch()
        if self.new_best or not self._state:
            self.best_epoch = self.epoch
            self._state = {name: value.detach().clone() for name, value in self.learn.model.state_dict().items()}

    def restore(self, model: nn.Module) -> int:
        """Load the kept weights into `model` and return the epoch they come from (from 0)."""
        model.load_state_dict(self._state)
        return self.best_epoch


class StopEarly(EarlyStoppingCallback):
    """Stop after `patience` epochs without a better value of `monitor`, without printing."""

    def after_epoch(self) -> None:
        """Count the epochs without progress (fastai calls it)."""
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
        """Set the rate (fastai calls it)."""
        self.learn.opt.set_hyper("lr", self.rate(self.epoch))


class EpochBar(Callback):
    """One progress bar on standard error for the whole fit; silent where that is not a terminal."""

    order = TrackerCallback.order + 5

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def before_fit(self) -> None:
        """Open the bar (fastai calls it)."""
        steps = self.learn.n_epoch * len(self.learn.dls.train)
        self.bar = tqdm(total=steps, desc=self.title, unit="batch", file=sys.stderr, disable=not sys.stderr.isatty())

    def after_batch(self) -> None:
        """Advance by one training batch (fastai calls it)."""
        if self.learn.training:
            self.bar.update()

    def after_epoch(self) -> None:
        """Print the epoch's losses beside the bar (fastai calls it)."""
        train, valid = self.learn.recorder.values[-1][:2]
        self.bar.set_postfix(train=f"{train:.4f}", valid=f"{valid:.4f}")

    def after_fit(self) -> None:
        """Close the bar (fastai calls it)."""
        self.bar.close()
