"""The atrous CNN: 16 residual blocks of two dilated convolutions at full resolution (section IV.C)."""

from torch import Tensor, nn

BLOCKS = 16
CHANNELS, WIDTH = 3, 9  # of the image, and inside a block
RATES = (1, 3)
WEIGHT_STD = 0.5


class AtrousBlock(nn.Module):
    """Atrous 3x3 (3 to 9 channels, rate 1), BatchNorm, ReLU, atrous 3x3 (9 to 3, rate 3), BatchNorm, plus the input.

    [B, 3, H, W] to [B, 3, H, W]. No activation follows the sum and the convolutions have no bias; kernels start
    from a normal of standard deviation 0.5 cut at two deviations (`acnn.py` of the released code).
    """

    def __init__(self) -> None:
        super().__init__()
        first, second = RATES
        self.residual = nn.Sequential(
            nn.Conv2d(CHANNELS, WIDTH, 3, padding=first, dilation=first, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, CHANNELS, 3, padding=second, dilation=second, bias=False),
            nn.BatchNorm2d(CHANNELS),
        )
        for layer in self.residual:
            if isinstance(layer, nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, std=WEIGHT_STD, a=-2 * WEIGHT_STD, b=2 * WEIGHT_STD)

    def forward(self, x: Tensor) -> Tensor:
        """The input plus its residual, of the input's shape."""
        return x + self.residual(x)


class ACNN(nn.Sequential):
    """Sixteen atrous blocks; [B, 3, H, W] to [B, 3, H, W], receptive field 129 pixels."""

    def __init__(self, blocks: int = BLOCKS) -> None:
        super().__init__(*(AtrousBlock() for _ in range(blocks)))
