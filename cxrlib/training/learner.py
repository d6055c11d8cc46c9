"""The fastai `Learner` of a run: Adam as the paper sets it, best checkpoint, early stopping, history."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.progress import CSVLogger
from fastai.callback.tracker import EarlyStoppingCallback, TrackerCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn
from tqdm import tqdm

from cxrlib.config import RunConfig
from cxrlib.training.loaders import test_loader
from cxrlib.training.precision import Autocast, ChannelsLast, compute_dtype

ADAM_BETA2, ADAM_EPSILON = 0.999, 1e-7  # Keras's defaults, which the released code leaves as they are


class KeepBest(TrackerCallback):
    """Keep the weights of the epoch with the lowest validation loss; `restore` puts them back."""

    order = TrackerCallback.order + 1

    def __init__(self) -> None:
        super().__init__(monitor="valid_loss")
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
    """Stop after `patience` epochs without a lower validation loss, without printing."""

    def after_epoch(self) -> None:
        """Count the epochs without progress (fastai calls it)."""
        TrackerCallback.after_epoch(self)
        self.wait: int = 0 if self.new_best else self.wait + 1
        if self.wait >= self.patience:
            raise CancelFitException


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


def to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` on `device`, its weights laid out with channels last."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_learner(
    config: RunConfig, network: nn.Module, loaders: DataLoaders, loss: nn.Module, log: Path, title: str
) -> Learner:
    """A Learner for one run (section VI.B): Adam, mixed precision, channels last, CSV history at `log`.

    Where the protocol keeps the best epoch, the run also stops early; where it keeps the last, it trains
    every epoch, as the released code does.
    """
    device = loaders.device
    network = to_device(network, device)
    log.parent.mkdir(parents=True, exist_ok=True)
    callbacks: list[Callback] = [ChannelsLast(), CSVLogger(fname=log.name), EpochBar(title)]
    if config.rules.checkpoint == "best":
        callbacks += [KeepBest(), StopEarly(patience=config.patience)]
    adam = partial(
        OptimWrapper,
        opt=torch.optim.Adam,
        betas=(config.adam_beta1, ADAM_BETA2),
        eps=ADAM_EPSILON,
        fused=True,
    )
    model = Autocast(network, device, compute_dtype(device))
    return Learner(
        loaders,
        model,
        loss_func=loss,
        opt_func=adam,
        lr=config.learning_rate,
        cbs=callbacks,
        path=log.parent,
        train_bn=True,
    )


def fit(learner: Learner, epochs: int) -> tuple[pd.DataFrame, int]:
    """Train for at most `epochs`; returns the history (a row an epoch) and the epoch kept (from 0).

    After it `learner.model` holds the weights the protocol keeps.
    """
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs)
    names = list(learner.recorder.metric_names)[1:-1]
    history = pd.DataFrame([list(row) for row in learner.recorder.values], columns=names)
    history.insert(0, "epoch", np.arange(len(history)))
    keeper = next((cb for cb in learner.cbs if isinstance(cb, KeepBest)), None)
    kept = keeper.restore(learner.model) if keeper is not None else len(history) - 1
    return history.assign(kept=history["epoch"] == kept), kept


@torch.inference_mode()
def predict(model: nn.Module, pixels: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Logit of COVID against non-COVID, float32 [N], for uint8 images [N, S, S]; dropout off."""
    model.eval()
    parts = []
    for batch in test_loader(pixels, batch_size, device):
        images = (batch[0] if isinstance(batch, tuple | list) else batch).contiguous(memory_format=torch.channels_last)
        logits = model(images)
        parts.append((logits[:, 1] - logits[:, 0]).float().cpu())
    return torch.cat(parts).numpy()
