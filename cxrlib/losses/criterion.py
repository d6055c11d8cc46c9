"""A loss by name, as the module that training drives."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from cxrlib.errors import ParameterError
from cxrlib.losses.alternatives import class_balanced_loss, focal_loss, ldam_loss, logit_adjusted_loss
from cxrlib.losses.weighted import class_weights, cross_entropy, linear_probability_loss, weighted_cross_entropy

ALTERNATIVES: dict[str, Callable[..., Tensor]] = {
    "focal": focal_loss,
    "class_balanced": class_balanced_loss,
    "ldam": ldam_loss,
    "logit_adjusted": logit_adjusted_loss,
}
"""The alternatives to a weight, by the name that a config's `loss` gives them."""


class Criterion(nn.Module):
    """A function of logits [B, C] and integer targets [B] as a module; fastai asks for `reduction`, `activation`, `decodes`."""

    def __init__(self, function: Callable[..., Tensor], **settings: Any) -> None:
        super().__init__()
        self.function, self.settings = partial(function, **settings), settings
        self.reduction = "mean"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] for integer targets [B]."""
        return self.function(logits.as_subclass(Tensor), target.as_subclass(Tensor), reduction=self.reduction)

    def activation(self, logits: Tensor) -> Tensor:
        """Class probabilities [B, C]."""
        return logits.softmax(dim=-1)

    def decodes(self, logits: Tensor) -> Tensor:
        """Predicted class, int64 [B]: COVID where its logit is strictly the larger; a tie is non-COVID."""
        return logits.argmax(dim=-1)

    def extra_repr(self) -> str:
        """The function and its settings, for the module's printed form."""
        return ", ".join([self.function.func.__name__, *(f"{name}={value}" for name, value in self.settings.items())])


def build_loss(loss: str, beta: float | None, loss_without_beta: str, counts: Sequence[int] = ()) -> Criterion:
    """The loss that a run minimises.

    `loss` "wce" (and "resampled", which changes the batches instead): Eq. (4) where `beta` is given, else
    `loss_without_beta`, "cross_entropy" for Eq. (3) or "linear" for the released code's. Else one of `ALTERNATIVES`,
    for a training set with `counts` images of each class: focal with gamma 2 and no alpha, class-balanced with beta
    0.9999, LDAM with largest margin 0.5 and scale 1 (a plain linear head), logit-adjusted with tau 1. Raises
    ParameterError for another name or a beta that is not positive and finite.
    """
    if loss in ALTERNATIVES:
        return Criterion(ALTERNATIVES[loss], **({} if loss == "focal" else {"counts": tuple(counts)}))
    if loss not in ("wce", "resampled"):
        raise ParameterError(f"unknown loss '{loss}': choose one of wce, resampled, {', '.join(ALTERNATIVES)}.")
    if beta is not None:
        class_weights(beta)
        return Criterion(weighted_cross_entropy, beta=float(beta))
    if loss_without_beta not in ("cross_entropy", "linear"):
        raise ParameterError(f"unknown loss_without_beta '{loss_without_beta}': choose cross_entropy or linear.")
    return Criterion(linear_probability_loss if loss_without_beta == "linear" else cross_entropy)
