"""The network that segments lungs: a small U-Net (Ronneberger et al., 2015)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)


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
