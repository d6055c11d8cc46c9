"""The one training loop, read from top to bottom: a run, the chest X-ray pretraining and own data all go through it."""

import copy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn

from cxrlib.config import RunConfig
from cxrlib.data.samples import RunSamples, Samples
from cxrlib.losses.alternatives import balancing_chances, build_loss
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.heads import PooledLinear
from cxrlib.records.provenance import Stopwatch, machine, training_code
from cxrlib.training.callbacks import EpochBar, KeepBest, Resume, Schedule
from cxrlib.training.callbacks import EventLearner as Learner
from cxrlib.training.loaders import ArrayLoader, make_loaders
from cxrlib.training.precision import DTYPES, best_device, keep_freed_memory, make_deterministic

ADAM_BETA2, ADAM_EPSILON = 0.999, 1e-7  # Keras's defaults, which the released code leaves as they are


@dataclass(frozen=True)
class Trained:
    """What training leaves: the network with the kept weights, a row an epoch, and its provenance."""

    network: Classifier
    history: pd.DataFrame  # epoch (from 0), train_loss, valid_loss, accuracy, kept
    provenance: Mapping[str, Any]


def train(
    config: RunConfig,
    samples: RunSamples,
    trunk_state: Mapping[str, torch.Tensor] | None = None,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    state: Path | None = None,
) -> Trained:
    """Train one network as `config` says (section VI.B of the paper) and return it with the weights its protocol keeps.

    `trunk_state`: initial weights of the trunk, random where None. `loss`: a function of logits [B, 2] and labels [B] in
    place of the config's. `state`: a file in which a training that is killed leaves where it stood, for the next call to go
    on from; whoever keeps the result removes it. Under `recipe = deepcovid` the trunk is frozen, so its features are computed once and the head
    alone is trained on them.
    """
    device = best_device()
    make_deterministic()
    keep_freed_memory()
    watch = Stopwatch(device)

    # The network: initial weights depend on the seed alone; the trunk computes in the config's precision.
    normalise = config.pretraining.startswith("imagenet") and config.rules.normalisation == "weights"
    network = build_network(
        config.model, config.image_size, config.seed, config.head, trunk_state, normalise, config.batch_norm
    )
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.dtype = DTYPES[config.precision]
    frozen = config.recipe == "deepcovid"
    model: nn.Module = network.head if frozen else network

    # The images: uint8 (or a frozen trunk's features) in batches whose order the seed fixes.
    torch.manual_seed(config.seed)
    parts = (samples.train, samples.valid)
    x_train, x_valid = (features(network, part.pixels, device) if frozen else part.pixels for part in parts)
    weights = balancing_chances(samples.train.labels) if config.loss == "resampled" else None
    loaders = make_loaders(
        (x_train, samples.train.labels), (x_valid, samples.valid.labels), config.batch_size, device, config.seed,
        config.batch_augmentation, weights,
    )  # fmt: skip

    # The loss, the optimiser and its schedule.
    counts = np.bincount(samples.train.labels, minlength=2).tolist()
    loss = loss or build_loss(config.loss, config.beta, config.rules.loss_without_beta, counts)
    optimiser, schedule = _optimiser(config)
    callbacks = [EpochBar(f"{config.cohort} {config.model} {config.protocol}"), Schedule(schedule)]
    keeper = KeepBest("accuracy" if frozen else "valid_loss", config.patience)
    resume = Resume(state, f"{training_code()}, {machine(device)}", keeper)
    callbacks += [keeper, resume] if config.rules.checkpoint == "best" else [resume]

    # Training.
    learner = Learner(
        loaders, model, loss, optimiser, lr=config.learning_rate, metrics=accuracy, cbs=callbacks, train_bn=True
    )
    _state_duration(model, loss, loaders.train, loaders.valid, config.epochs)
    with learner.no_bar(), learner.no_logging():
        learner.fit(config.epochs)
    history = pd.DataFrame(map(list, learner.recorder.values), columns=list(learner.recorder.metric_names)[1:-1])
    history.insert(0, "epoch", np.arange(len(history)))
    kept = keeper.best_epoch if keeper.weights else len(history) - 1
    if keeper.weights:
        model.load_state_dict(keeper.weights)

    provenance = watch.stop()
    rate = round((len(history) - resume.done) * len(samples.train) / max(provenance["wall_s"], 1e-9), 1)
    provenance |= {"epochs_run": len(history), "epoch_kept": kept, "train_images_per_s": rate}
    if resume.done:
        provenance["resumed_after_epochs"] = resume.done  # `wall_s` is of the rest
    return Trained(network, history.assign(kept=history["epoch"] == kept), provenance)


@torch.inference_mode()
def predict(network: Classifier, part: Samples, batch_size: int = 128) -> np.ndarray:
    """Log-odds of COVID, float32 [N]: the logit of COVID minus that of non-COVID; dropout off, batches in order."""
    network.eval()
    batches = ArrayLoader(part.pixels, None, batch_size, device=network.mean.device)
    logits = [network(images) for (images,) in batches]
    return torch.cat([(both[:, 1] - both[:, 0]).float().cpu() for both in logits]).numpy()


@torch.inference_mode()
def features(network: Classifier, pixels: np.ndarray, device: torch.device, batch_size: int = 64) -> np.ndarray:
    """Feature maps float16 [N, C, H, W] of the frozen trunk for uint8 images [N, S, S]; pooled already where the head pools first."""
    network.eval()
    pool = network.head[0] if isinstance(network.head, PooledLinear) else nn.Identity()
    batches = ArrayLoader(pixels, None, batch_size, device=device)
    maps = [pool(network.features(images)) for (images,) in batches]
    return np.concatenate([part.half().contiguous().cpu().numpy() for part in maps])


def _optimiser(config: RunConfig) -> tuple[Any, Callable[[int], float]]:
    """fastai's factory of the optimiser, and the learning rate by epoch: Adam as the paper has it, times `lr_decay` an epoch;
    or the recipe of Minaee et al. [3]: SGD with momentum 0.9, the rate times 0.1 every 7 epochs.
    """
    if config.recipe == "deepcovid":
        sgd = partial(OptimWrapper, opt=torch.optim.SGD, momentum=0.9)
        return sgd, lambda epoch: config.learning_rate * 0.1 ** (epoch // 7)
    betas = (config.adam_beta1, ADAM_BETA2)
    adam = partial(OptimWrapper, opt=torch.optim.Adam, betas=betas, eps=ADAM_EPSILON, fused=True)
    return adam, lambda epoch: config.learning_rate * config.lr_decay**epoch


def _state_duration(
    model: nn.Module, loss: Callable[..., torch.Tensor], batches: ArrayLoader, valid: ArrayLoader, epochs: int
) -> None:
    """Say on standard error how long the training takes at most, from a few steps of a copy of the network."""
    on_gpu, seconds = batches.device.type == "cuda", []
    with torch.random.fork_rng(devices=[batches.device] if on_gpu else []):
        trial, (images, labels) = copy.deepcopy(model).train(), batches.one_batch()
        for _ in range(4):  # the fastest counts
            start = time.perf_counter()
            loss(trial(images), labels).backward()
            if on_gpu:
                torch.cuda.synchronize(batches.device)
            seconds.append(time.perf_counter() - start)
    expected = epochs * min(seconds) / len(labels) * (batches.n + valid.n / 3)
    text = f"training: at most {epochs} epochs of {batches.n:,} images, about {expected:,.0f} s"
    print(text, file=sys.stderr, flush=True)
