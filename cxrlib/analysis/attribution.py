"""Where a network looks: Grad-CAM, the check that it depends on the weights at all, and its share inside the lungs.

Grad-CAM (Selvaraju et al., 2017) weights the last feature maps by the mean gradient of the COVID logit. A map that stays the
same when the weights are replaced by random ones explains the image and not the network (Adebayo et al., 2018).
"""

import copy
from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.stats import rankdata
from torch import nn

from cxrlib.analysis.cross_fitting import FOLDS, fitted, settings, tasks
from cxrlib.analysis.sentences import count, estimate
from cxrlib.analysis.shortcuts.probes import mean_over_classes
from cxrlib.analysis.shortcuts.sample import eligible, load
from cxrlib.data.editions import Edition
from cxrlib.data.masks import has_mask, lung_masks
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError
from cxrlib.names import name
from cxrlib.networks.classifier import Classifier
from cxrlib.records.analyses import recorded_analysis

Maps = npt.NDArray[np.float32]
Explain = Callable[[nn.Module, npt.NDArray[np.uint8]], Maps]
AGREEMENT = 0.5  # largest median rank correlation with maps of wholly random weights at which a method passes
PER_CLASS, CHECKED = 100, 24


@recorded_analysis("map_randomisation", trains=True)
def map_randomisation(edition: Edition, checked: int = CHECKED) -> pd.DataFrame:
    """`randomisation_check` of the first cross-fitted network on `checked` of its images."""
    network, samples, _ = explained(edition)
    some = np.linspace(0, len(samples) - 1, min(checked, len(samples))).astype(int)
    return randomisation_check(network, samples.pixels[some])


@recorded_analysis("lung_shares", trains=True)
def lung_shares(edition: Edition, folds: int = FOLDS) -> pd.DataFrame:
    """`inside_lungs` of every image with a lung mask, by the network that did not see it; with image_id, label, component."""
    parts = []
    for network, samples, lungs in (explained(edition, fold) for fold in range(folds)):
        shares = inside_lungs(grad_cam(network, samples.pixels), lungs)
        parts.append(pd.concat([samples.table[["image_id", "label", "component"]], shares], axis=1))
    return pd.concat(parts, ignore_index=True)


def explained(
    edition: Edition, fold: int = 0, per_class: int = PER_CLASS, epochs: int = 10
) -> tuple[Classifier, Samples, npt.NDArray[np.bool_]]:
    """A cross-fitted network, at most `per_class` images of each class that it did not see, and their lungs, bool [N, S, S].

    Read from the cache, or trained now (a minute). Raises DataError where no such image has a mask.
    """
    task, config = tasks(eligible(edition), seed=0)[fold], settings(edition, 0, epochs)
    rows = task.test[has_mask(task.test)].sample(frac=1, random_state=0).groupby("label").head(per_class)
    if rows.empty:
        raise DataError("none of the images has a lung mask: their share inside the lungs is not known.")
    rows = rows.sort_values(["label", "image_id"]).reset_index(drop=True)
    samples = load(rows, task.store(config.image_size))
    return fitted(edition, task, config), samples, lung_masks(samples.table, config.image_size)


def grad_cam(network: nn.Module, pixels: npt.NDArray[np.uint8], batch: int = 16) -> Maps:
    """Grad-CAM of the COVID logit on the trunk's output, float32 [N, S, S] in [0, 1], for uint8 images [N, S, S].

    Each map is scaled to its own least and largest value; one without any positive part is 0 everywhere.
    """
    parts = []
    with GradCAM(network.eval(), [[*cast(nn.Module, network.trunk).children()][-1]]) as explainer:
        for start in range(0, len(pixels), batch):
            images = torch.as_tensor(pixels[start : start + batch]).float()[:, None] / 255
            targets = [ClassifierOutputTarget(1)] * len(images)
            parts.append(np.asarray(explainer(input_tensor=images, targets=targets), np.float32))
    return np.concatenate(parts)


def randomised(network: nn.Module, stage: int) -> nn.Module:
    """A copy whose head and last `stage` blocks of the trunk have random weights (0: the head alone).

    Each tensor is drawn from a normal distribution with its own mean and standard deviation, so that activations keep
    their order of magnitude; the cascade runs from the output to the input, as in Adebayo et al. (2018).
    """
    changed, generator = copy.deepcopy(network), torch.Generator().manual_seed(0)
    blocks = _blocks(changed)
    for module in (cast(nn.Module, changed.head), *blocks[len(blocks) - stage :]):
        for value in module.parameters():
            drawn = torch.randn(value.shape, generator=generator)
            value.data = drawn * value.std(correction=0) + value.mean()
    return changed


def randomisation_check(network: nn.Module, pixels: npt.NDArray[np.uint8], explain: Explain = grad_cam) -> pd.DataFrame:
    """Rank correlation of each image's map with that of a network randomised ever deeper.

    Columns: stage (blocks with weights randomised besides the head), share (of the trunk's blocks), image, correlation
    (Spearman, over pixels; NaN where one of the two maps is constant).
    """
    before, n, rows = explain(network, pixels), len(_blocks(network)), []
    for stage in sorted({0, max(n // 3, 1), max(2 * n // 3, 1), n}):
        after = explain(randomised(network, stage), pixels)
        for image, maps in enumerate(zip(before, after, strict=True)):
            x, y = (rankdata(np.ravel(one)) for one in maps)
            correlation = float(np.corrcoef(x, y)[0, 1]) if x.std() and y.std() else np.nan
            rows.append({"stage": stage, "share": stage / n, "image": image, "correlation": correlation})
    return pd.DataFrame(rows)


def last_stage(check: pd.DataFrame) -> tuple[float, int]:
    """Median correlation where all weights are random, and of how many maps: NaN and 0 where every map there is constant."""
    last = check.loc[check["stage"] == check["stage"].max(), "correlation"].dropna()
    return float(last.median()), len(last)


def inside_lungs(maps: Maps, lungs: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Share of each map inside the lungs beside the lungs' share of the image: attribution, area, ratio; a row an image.

    maps: [N, S, S], at least 0; lungs: bool [N, S, S], some in each. An even map has ratio 1; a map of zeros has none (NaN).
    """
    total, area = maps.sum(axis=(1, 2), dtype=np.float64), lungs.mean(axis=(1, 2))
    inner = (maps * lungs).sum(axis=(1, 2), dtype=np.float64)
    share = np.divide(inner, total, out=np.full(len(maps), np.nan), where=total > 0)
    return pd.DataFrame({"attribution": share, "area": area, "ratio": share / area})


def lung_table(shares: pd.DataFrame) -> pd.DataFrame:
    """`lung_shares` averaged by class: class, images, blank (maps of zeros), then a row a quantity: mean with its interval."""
    rows = []
    for label, part in shares.groupby("label"):
        counts = (name(label), len(part), int(part["attribution"].isna().sum()))
        rows += [(*counts, quantity, *average(part, quantity)) for quantity in ("attribution", "area", "ratio")]
    return pd.DataFrame(rows, columns=["class", "images", "blank", "quantity", "mean", "mean_low", "mean_high"])


def average(shares: pd.DataFrame, quantity: str) -> tuple[float, float, float]:
    """Mean of a quantity over the images whose map is not blank, with its 95 % interval by component."""
    known = shares.dropna(subset="attribution")
    return mean_over_classes(known[quantity], np.zeros(len(known)), known["component"])


def sentence(check: pd.DataFrame, shares: pd.DataFrame) -> str:
    """What the check and the lungs' share say, in two sentences; check: `map_randomisation`, shares: `lung_shares`."""
    median, maps = last_stage(check)
    first = "With all weights random every map is constant, so the check cannot be read."
    if maps:
        first = (
            f"With all weights random the median rank correlation with the map of the trained network is {median:.2f} over "
            f"{count(maps, 'image')}, so the method {'passes' if abs(median) <= AGREEMENT else 'fails'} the check (it passes "
            f"at {AGREEMENT:g} or less in size)."
        )
    ratio = estimate(*average(shares, "ratio"), digits=2)
    return f"{first} Inside the lungs the maps weigh {ratio} times what their area would give."


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Children of the trunk that have weights, from input to output."""
    return [block for block in cast(nn.Module, network.trunk).children() if list(block.parameters())]
