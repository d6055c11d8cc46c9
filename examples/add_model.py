"""A model: four strided convolutions as one more trunk; the head and the training stay as they are."""

from torch import nn

from cxrlib.networks.classifier import TRUNKS


def small_trunk() -> nn.Module:
    """Float [B, 3, H, W] to [B, 64, H / 16, W / 16]."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


TRUNKS["small"] = small_trunk
