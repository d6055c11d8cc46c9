"""Where a network looks: Grad-CAM, the check that it depends on the weights at all, and its share inside the lungs.

Grad-CAM (Selvaraju et al., 2017) weights the last feature maps by the mean gradient of the COVID logit. A map that stays the
same when the weights are replaced by random ones explains the image and not the network (Adebayo et al., 2018).
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.torch import load_file
from scipy.stats import rankdata
from torch import Tensor, nn

from cxrlib.errors import DataError, ParameterError
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.records.record import Record
from cxrlib.training.runs import checkpoint_path

Maps = npt.NDArray[np.float32]
Explain = Callable[[nn.Module, npt.NDArray[np.uint8]], Maps]
AGREEMENT = 0.5
"""Largest median rank correlation between a map and that of wholly random weights at which a method passes the check."""


@dataclass(frozen=True)
class Explained:
    """A trained network that is to be explained: `network` with a `trunk`, what to call it, the size of its images."""

    network: nn.Module
    title: str
    image_size: int


class LinearOnTrunk(nn.Module):
    """A linear classifier on the averaged feature map of a frozen trunk: logits [B, 2] of images [B, 1, S, S].

    Its class activation map is exact: the logit is the average of the map plus a constant.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Classifier, weight: npt.ArrayLike, bias: float) -> None:
        super().__init__()
        self.trunk, self.normalise = copy.deepcopy(network.trunk), network.normalise
        self.register_buffer("mean", network.mean.clone())
        self.register_buffer("std", network.std.clone())
        values = torch.as_tensor(np.asarray(weight), dtype=torch.float32)
        self.head = nn.Linear(len(values), 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([torch.zeros_like(values), values]))
            self.head.bias.copy_(torch.tensor([0.0, bias]))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, 2]; the first is 0."""
        colour = images.expand(-1, 3, -1, -1)
        colour = (colour - self.mean) / self.std if self.normalise else colour
        return self.head(self.trunk(colour).mean(dim=(2, 3)))


def recorded_network(records: Sequence[Record]) -> Explained | None:
    """The network of the first record whose trained weights are in the cache, clean protocol first; None where none is."""
    for record in sorted(records, key=lambda r: (r.config.protocol != "clean", r.key)):
        path = checkpoint_path(record.key)
        if not path.is_file():
            continue
        c = record.config
        normalise = c.pretraining == "imagenet" and c.rules.normalisation == "weights"
        network = build_network(c.model, c.image_size, c.seed, normalise=normalise)
        network.load_state_dict(load_file(path))
        weight = "no β" if c.beta is None else f"β = {c.beta:g}"
        title = f"recorded {c.model}, {c.pretraining} weights, cohort {c.cohort}, {weight}, protocol {c.protocol}, seed {c.seed}"
        return Explained(network.eval(), title, c.image_size)
    return None


def grad_cam(network: nn.Module, pixels: npt.NDArray[np.uint8], batch: int = 16) -> Maps:
    """Grad-CAM of the COVID logit on the trunk's output, float32 [N, S, S] in [0, 1], for uint8 images [N, S, S].

    Each map is scaled to its own least and largest value, as the grad-cam package does; a map without any positive
    part is 0 everywhere. The network is left in evaluation mode.
    """
    target = [_children(network)[-1]]
    network.eval()
    parts = []
    with GradCAM(network, target) as explainer:
        for start in range(0, len(pixels), batch):
            images = torch.as_tensor(pixels[start : start + batch]).float()[:, None] / 255
            targets = [ClassifierOutputTarget(1)] * len(images)
            parts.append(np.asarray(explainer(input_tensor=images, targets=targets), np.float32))
    return np.concatenate(parts)


def randomised(network: nn.Module, stage: int, seed: int = 0) -> nn.Module:
    """A copy whose head and last `stage` blocks of the trunk have random weights (0: the head alone; -1: nothing).

    Each tensor is drawn from a normal distribution with its own mean and standard deviation, so that activations keep
    their order of magnitude; the cascade runs from the output to the input, as in Adebayo et al. (2018).
    """
    changed = copy.deepcopy(network)
    if stage < 0:
        return changed
    blocks = _blocks(changed)
    chosen = [cast(nn.Module, changed.head), *(blocks[len(blocks) - stage :] if stage else [])]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in chosen:
            for value in module.parameters():
                spread = value.std().item() if value.numel() > 1 else abs(value.item()) or 1.0
                spread = spread if spread > 0 and math.isfinite(spread) else 1.0
                drawn = torch.randn(value.shape, generator=generator) * spread + value.mean()
                value.copy_(drawn)
    return changed


def stages(network: nn.Module) -> list[int]:
    """Depths of the cascade: the head, a third, two thirds and all of the trunk's blocks that have weights."""
    n = len(_blocks(network))
    return sorted({0, max(n // 3, 1), max(2 * n // 3, 1), n})


def randomisation_check(
    network: nn.Module, pixels: npt.NDArray[np.uint8], explain: Explain = grad_cam, seed: int = 0
) -> pd.DataFrame:
    """Rank correlation of each image's map with that of a network randomised ever deeper.

    Columns: stage (blocks randomised besides the head), share (of the trunk's blocks), image, correlation (Spearman, over pixels; NaN where
    one of the two maps is constant).
    """
    before = explain(network, pixels)
    rows = []
    for stage in stages(network):
        after = explain(randomised(network, stage, seed), pixels)
        for image, (a, b) in enumerate(zip(before, after, strict=True)):
            share = stage / len(_blocks(network))
            rows.append({"stage": stage, "share": share, "image": image, "correlation": rank_correlation(a, b)})
    return pd.DataFrame(rows)


def passes(check: pd.DataFrame) -> bool:
    """Whether the maps of wholly random weights differ: median correlation at the last stage at most `AGREEMENT`.

    Raises DataError where every map there is constant: then nothing can be said.
    """
    last = check.loc[check["stage"] == check["stage"].max(), "correlation"].dropna()
    if last.empty:
        raise DataError("every map of the random network is constant: use more images or another seed.")
    return bool(last.abs().median() <= AGREEMENT)


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's correlation of two maps over their pixels; NaN if one of them is constant."""
    x, y = rankdata(np.asarray(a).ravel()), rankdata(np.asarray(b).ravel())
    if x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def inside_lungs(maps: Maps, lungs: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Share of each map inside the lungs beside the lungs' share of the image: attribution, area, ratio; a row an image.

    maps: [N, S, S], at least 0; lungs: bool [N, S, S]. An even map has ratio 1; a map of zeros has none (NaN).
    Raises ParameterError for shapes that differ or an empty mask.
    """
    if maps.shape != lungs.shape or not lungs.any(axis=(1, 2)).all():
        raise ParameterError("maps and lungs must have one shape, and every mask must show some lung.")
    total, area = maps.sum(axis=(1, 2), dtype=np.float64), lungs.mean(axis=(1, 2))
    inner = (maps * lungs).sum(axis=(1, 2), dtype=np.float64)
    share = np.divide(inner, total, out=np.full(len(maps), np.nan), where=total > 0)
    return pd.DataFrame({"attribution": share, "area": area, "ratio": share / area})


def mean_interval(
    values: npt.ArrayLike, groups: npt.ArrayLike, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of `values` without NaN, and its 95 % percentile interval over components drawn with replacement."""
    x, names = np.asarray(values, np.float64), np.asarray(groups)
    x, names = x[~np.isnan(x)], names[~np.isnan(x)]
    if not len(x):
        return float("nan"), float("nan"), float("nan")
    _, member = np.unique(names, return_inverse=True)
    total, size = np.bincount(member, x), np.bincount(member)
    weights = np.random.default_rng(seed).multinomial(len(size), np.full(len(size), 1 / len(size)), size=draws)
    low, high = np.quantile((weights @ total) / (weights @ size), (0.025, 0.975))
    return float(x.mean()), float(low), float(high)


def lung_table(shares: pd.DataFrame, labels: npt.ArrayLike, groups: npt.ArrayLike, seed: int = 0) -> pd.DataFrame:
    """`inside_lungs` averaged by class: class, images, blank (maps of zeros), quantity, mean, low, high."""
    names = np.where(np.asarray(labels) == 1, "COVID-19", "non-COVID")
    rows = []
    for name in ("COVID-19", "non-COVID"):
        chosen = names == name
        for quantity in ("attribution", "area", "ratio") if chosen.any() else ():
            mean, low, high = mean_interval(shares.loc[chosen, quantity], np.asarray(groups)[chosen], seed=seed)
            counts = {"images": int(chosen.sum()), "blank": int(shares.loc[chosen, "attribution"].isna().sum())}
            rows.append({"class": name, **counts, "quantity": quantity, "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Children of the trunk that have weights, from input to output."""
    return [block for block in _children(network) if any(True for _ in block.parameters())]


def _children(network: nn.Module) -> list[nn.Module]:
    return list(cast(nn.Module, network.trunk).children())


def sentence(check: pd.DataFrame, shares: pd.DataFrame, groups: npt.ArrayLike) -> str:
    """What the check and the lungs' share say, in two sentences; check: `randomisation_check`, shares: `inside_lungs`."""
    last = check.loc[check["stage"] == check["stage"].max(), "correlation"]
    known = last.dropna()
    if known.empty:
        first = "With all weights random every map is constant, so the check cannot be read."
    else:
        word = "passes" if passes(check) else "fails"
        first = (
            f"With all weights random the median rank correlation with the map of the trained network is {known.median():.2f} "
            f"over {len(known)} images, so the method {word} the check (it passes at {AGREEMENT:g} or less in size)."
        )
    mean, low, high = mean_interval(shares["ratio"], groups)
    if math.isnan(mean):
        return f"{first} Every map is zero, so none has a share inside the lungs."
    return (
        f"{first} Inside the lungs the maps weigh {mean:.2f} [{low:.2f}, {high:.2f}] times what their area would give."
    )
