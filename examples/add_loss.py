"""A loss: the Brier score with the positives' term multiplied by beta, as Eq. (4) multiplies cross-entropy's."""

from torch import Tensor, nn


class WeightedBrier(nn.Module):
    """Logits [B, 2] and labels int64 [B] to the mean of w (p - y)^2, with w = beta for positives and 1 for negatives."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        error = (logits[:, 1] - logits[:, 0]).sigmoid() - target
        weight = 1 + (self.beta - 1) * target
        return (weight * error.square()).mean()


LOSS = WeightedBrier(beta=2.0)
