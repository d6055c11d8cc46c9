"""fastai callbacks of the training loop; fastai calls their methods, each named after when."""

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
        self.learn.xb = tuple(x.contiguous(memory_format=torch.channels_last) for x in self.xb)


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
            self.best_epoch = self.epoch
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
        self.learn.opt.set_hyper("lr", self.rate(self.epoch))


class EpochBar(Callback):
    """One progress bar on standard error for the whole fit, the last epoch's losses beside it; silent where no terminal is."""

    order = TrackerCallback.order + 5

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
