"""Heads: what turns a trunk's feature map into two logits, the released code's or the network's own classifier."""

from torch import nn

HIDDEN = (128, 16)
DROPOUT = 0.2


class ReleasedHead(nn.Sequential):
    """Feature map [B, C, H, W] to logits [B, 2], column 1 for COVID (`model_factory.py` of the released code).

    1x1 convolution to one channel with a sigmoid, flatten, Dense 128, Dense 16 (each with dropout 0.2, BatchNorm,
    ReLU), Dense 2; the softmax belongs to the loss. Weights start Glorot-uniform and biases at zero, as in Keras.
    """

    def __init__(self, channels: int, positions: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, 1, 1), nn.Sigmoid(), nn.Flatten()]
        width = positions
        for hidden in HIDDEN:
            layers += [nn.Linear(width, hidden), nn.Dropout(DROPOUT), nn.BatchNorm1d(hidden), nn.ReLU()]
            width = hidden
        super().__init__(*layers, nn.Linear(width, 2))
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class PooledLinear(nn.Sequential):
    """ResNet's own classifier: average pooling and one linear layer, as in torchvision."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


class PooledConvolution(nn.Sequential):
    """SqueezeNet's own classifier: dropout, 1x1 convolution to two channels, ReLU, average pooling."""

    def __init__(self, channels: int) -> None:
        convolution = nn.Conv2d(channels, 2, 1)
        nn.init.normal_(convolution.weight, std=0.01)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        super().__init__(nn.Dropout(0.5), convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Dense(nn.Sequential):
    """VGG-19's own classifier: pooling to 7 x 7, two dense layers of 4,096 with dropout, one to two logits."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(7), nn.Flatten(),
            nn.Linear(channels * 49, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 2),
        )  # fmt: skip


NATIVE = {"resnet50": PooledLinear, "squeezenet": PooledConvolution, "vgg19": Dense}
"""Each network's own classifier; ACNN has none: the paper gives it the released head alone."""


def default_head(model: str) -> str:
    """`released` for the two networks the paper trains under it, `native` for the networks it only quotes."""
    return "released" if model in ("resnet50", "acnn") else "native"


def build_head(name: str, model: str, shape: tuple[int, int, int]) -> nn.Module:
    """The head `name` for feature maps of `shape` (channels, height, width) of the trunk `model`."""
    channels, height, width = shape
    if name == "released":
        return ReleasedHead(channels, height * width)
    return NATIVE.get(model, PooledLinear)(channels)
