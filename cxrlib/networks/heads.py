"""The head that the released code puts on every trunk: one feature map, two small dense layers, two logits."""

from torch import nn

HIDDEN = (128, 16)
DROPOUT = 0.2


class Head(nn.Sequential):
    """Feature map [B, C, H, W] to logits [B, 2], column 1 for COVID (`model_factory.py` of the released code).

    1x1 convolution to one channel with a sigmoid, flatten, Dense 128, Dense 16 (each with dropout 0.2,
    BatchNorm, ReLU), Dense 2; the softmax belongs to the loss. Weights start Glorot-uniform and biases at zero, as
    in Keras. BatchNorm keeps torch's own settings (epsilon 1e-5, 10 % of each batch into the running averages)
    where Keras has epsilon 1e-3 and 1 %: at 1 % the averages need hundreds of steps to forget where they started,
    more than a short run has.
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
