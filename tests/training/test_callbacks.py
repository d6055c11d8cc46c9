"""The learner calls what fastai's own would call, and the best epoch's weights are kept."""

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.metrics import accuracy
from torch import nn

from cxrlib.training.callbacks import EventLearner, KeepBest
from cxrlib.training.loaders import make_loaders


def fitted(learner_class, callbacks, epochs=3):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (48, 8, 8), dtype=np.uint8), np.arange(48) % 2
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    loaders = make_loaders((images[:32], labels[:32]), (images[32:], labels[32:]), 8, "cpu", 0)
    learner = learner_class(loaders, network, nn.functional.cross_entropy, lr=1e-2, metrics=accuracy, cbs=callbacks)
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs)
    return learner


class Listener(Callback):
    """Notes every event it has a method for; `after_loss` is given to the instance, as fastai allows."""

    def __init__(self, **methods):
        super().__init__(**methods)
        self.heard = []

    def before_batch(self):
        self.heard.append("before_batch")

    def after_step(self):
        self.heard.append("after_step")

    def after_validate(self):
        self.heard.append("after_validate")


def test_the_learner_trains_as_fastais_own_does_and_calls_the_same_methods():
    ours, theirs = (
        (fitted(kind, [listener := Listener(after_loss=lambda self: self.heard.append("after_loss"))]), listener.heard)
        for kind in (EventLearner, Learner)
    )
    assert ours[1] == theirs[1] and ours[1].count("after_step") == 12 and ours[1].count("after_loss") == 15
    assert [values[:3] for values in ours[0].recorder.values] == [values[:3] for values in theirs[0].recorder.values]
    for one, other in zip(ours[0].model.parameters(), theirs[0].model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("monitor", "best"), [("valid_loss", 1), ("accuracy", 0)])
def test_the_best_epoch_is_kept_and_the_fit_ends_after_the_patience(monitor, best):
    planted = iter([[0.0, 0.5, 0.8], [0.0, 0.4, 0.7], [0.0, 0.6, 0.7], [0.0, 0.7, 0.6], [0.0, 0.1, 0.9]])
    weights = []

    class Plant(Callback):
        order = KeepBest.order - 1

        def after_epoch(self):
            self.recorder.values[-1] = next(planted)
            weights.append({name: value.clone() for name, value in self.learn.model.state_dict().items()})

    keeper = KeepBest(monitor, patience=2)
    fitted(EventLearner, [Plant(), keeper], epochs=5)
    assert keeper.best_epoch == best and len(weights) == best + 3
    assert all(torch.equal(value, weights[best][name]) for name, value in keeper.weights.items())
