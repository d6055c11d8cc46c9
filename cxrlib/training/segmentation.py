"""Lung segmentation before classification, as Tartaglione et al. (2020) prepare their images: a small U-Net of our own.

Trained on the lung masks at hand (see `data.masks`), at the size of the images it is used on. Published masks of
radiographs were drawn by another network, so agreement with them is agreement with that network.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrlib.config import RunConfig
from cxrlib.data.cohorts import build_cohort
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.folds import grouped_folds
from cxrlib.data.masks import Masks, has_mask, lung_masks
from cxrlib.errors import DataError
from cxrlib.images.equalisation import equalised
from cxrlib.images.store import open_store

WIDTHS = (16, 32, 64)
FEWEST, MOST = 40, 240  # images with masks to train on
_BATCH = 16

Pixels = npt.NDArray[np.uint8]


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015) with three levels: images float [B, 1, S, S] in [0, 1] to lung logits of that shape.

    Each level is two 3x3 convolutions with BatchNorm; down by max pooling, up by bilinear interpolation. S a multiple of 4.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.down1, self.down2, self.bottom = _block(1, first), _block(first, second), _block(second, third)
        self.up2, self.up1 = _block(third + second, second), _block(second + first, first)
        self.last = nn.Conv2d(first, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of "this pixel is lung", float [B, 1, S, S]."""
        fine = self.down1(images)
        middle = self.down2(F.max_pool2d(fine, 2))
        coarse = self.bottom(F.max_pool2d(middle, 2))
        middle = self.up2(torch.cat([_double(coarse), middle], dim=1))
        logits: Tensor = self.last(self.up1(torch.cat([_double(middle), fine], dim=1)))
        return logits


def _double(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Segmenter:
    """A trained U-Net and how well it did: a row of `held_out` (image_id, component, dice) an image it did not see."""

    network: UNet
    held_out: pd.DataFrame
    trained_on: int

    def lungs(self, pixels: Pixels) -> Masks:
        """Lungs of uint8 images [N, S, S] as masks bool of that shape, widened by one pixel on all sides."""
        with torch.inference_mode():
            parts = [
                F.max_pool2d(_found(self.network, part).float(), 3, stride=1, padding=1).squeeze(1) > 0
                for part in np.array_split(pixels, max(len(pixels) // 128, 1))
            ]
        return torch.cat(parts).numpy()

    def prepare(self, pixels: Pixels) -> Pixels:
        """The images with their histogram equalised and all but the lungs black, uint8 [N, S, S]."""
        return np.where(self.lungs(pixels), equalised(pixels), np.uint8(0))


def preparation(config: RunConfig, edition: Edition | None = None) -> Callable[[Pixels], Pixels] | None:
    """What the config's `preparation` does to stored pixels uint8 [N, S, S]; None where it does nothing.

    For `lungs` a U-Net is trained on the images with masks of the config's edition, none of a component of the run's test
    set; for images of one's own on those of the edition at hand.
    """
    if config.preparation != "lungs":
        return equalised if config.preparation == "equalised" else None
    own = config.edition == "own"
    edition = edition or load_edition("auto" if own else config.edition, config.licences)
    unseen = () if own else build_cohort(edition, config.cohort, config.rules, config.draw_seed).test["component"]
    return train_segmenter(edition, config.image_size, unseen, config.draw_seed).prepare


def dice(found: Masks, truth: Masks) -> npt.NDArray[np.float64]:
    """Dice coefficient of each pair of masks bool [N, S, S]: twice the shared area over the sum of both; 1 for two empty ones."""
    shared = (found & truth).sum(axis=(1, 2))
    total = found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    return np.divide(2.0 * shared, total, out=np.ones(len(found)), where=total > 0)


def train_segmenter(
    edition: Edition, size: int, without: Iterable[int] = (), seed: int = 0, epochs: int = 25
) -> Segmenter:
    """A U-Net trained on images with lung masks, none of a component in `without` (such as the test set's).

    A fifth of the components is held out for the Dice coefficient. Loss: cross-entropy plus one minus the soft Dice; Adam,
    1e-3. Raises DataError where fewer than FEWEST images have masks.
    """
    table = edition.images
    table = table[(table["modality"] == "X-ray") & ~table["component"].isin(set(without))]
    table = table[has_mask(table).astype(bool)].sort_values("image_id")
    table = table.sample(n=min(MOST, len(table)), random_state=seed).reset_index(drop=True)
    if len(table) < FEWEST:
        raise DataError(f"only {len(table)} images have a lung mask: a segmentation network needs at least {FEWEST}.")
    pixels, masks = open_store(table, size).take(table["image_id"]), lung_masks(table, size)
    train, held = grouped_folds(np.zeros(len(table)), table["component"], 5, seed)[0]
    network = _fit(pixels[train], masks[train], seed, epochs)
    agreed = dice(_found(network, pixels[held]).squeeze(1).numpy(), masks[held])
    rows = table.loc[held, ["image_id", "component"]].assign(dice=agreed).reset_index(drop=True)
    return Segmenter(network, rows, len(train))


def _fit(pixels: Pixels, masks: Masks, seed: int, epochs: int) -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet().train()
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        images, truth = _batch(pixels), torch.from_numpy(masks).unsqueeze(1).float()
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(_BATCH):
                optimiser.zero_grad()
                _loss(network(images[rows]), truth[rows]).backward()
                optimiser.step()
    return network.eval()


@torch.inference_mode()
def _found(network: UNet, pixels: Pixels) -> Tensor:
    return network(_batch(pixels)) > 0


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    found = logits.sigmoid()
    overlap = 2 * (found * truth).sum(dim=(1, 2, 3)) + 1
    soft = overlap / (found.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3)) + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + 1 - soft.mean()


def _batch(pixels: Pixels) -> Tensor:
    return torch.from_numpy(equalised(pixels)).unsqueeze(1).float() / 255
