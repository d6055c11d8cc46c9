"""The losses of section V, Eqs. (1)-(4), and the loss the released code trains its rows without beta with.

Networks return logits [B, 2], column 1 for COVID. Their difference z = logits[:, 1] - logits[:, 0] is the
log-odds of COVID, since softmax(logits)[:, 1] = sigmoid(z); the binary losses are computed from z alone and
never form log(0). bfloat16 and float16 are raised to float32 inside; float64 stays float64.

An empty batch has loss 0 and a zero gradient (torch's own mean would be NaN). A label that is not a class
index stops with torch's index error.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrlib.errors import ParameterError

Reduction = Literal["mean", "sum", "none"]


def mse(probability: Tensor, target: Tensor) -> Tensor:
    """Mean square error, Eq. (1): the sum of squared errors over 2m, so half of what libraries call MSE.

    probability: float [B] in [0, 1], the predicted probability of COVID; target: [B], 0 or 1.
    """
    return _reduce(_error(probability, target).square() / 2, "mean")


def mae(probability: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, Eq. (2); for a 0/1 target it is the mean probability of the wrong class.

    probability: float [B] in [0, 1], the predicted probability of COVID; target: [B], 0 or 1.
    """
    return _reduce(_error(probability, target).abs(), "mean")


def cross_entropy(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy, Eq. (3): the mean negative log-probability of the true class.

    logits: float [B] (log-odds z) or [B, C], C >= 2; target: integer [B], class indices.
    """
    return _reduce(_pick(_class_losses(logits), target), reduction)


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, beta: float | Sequence[float] | Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Weighted cross-entropy, Eq. (4), averaged over the batch: the positives' term is multiplied by beta.

    Scalar beta (binary): logits float [B, 2] or log-odds z [B]; equals
    ``binary_cross_entropy_with_logits(z, y, pos_weight=beta)``; beta = 1 is Eq. (3).
    Vector beta [C] (categorical): logits float [B, C]; class c's term is multiplied by beta[c], so a scalar beta
    is the vector (1, beta). The mean is over the B samples, as in Eq. (4); torch's weighted ``cross_entropy``
    divides by the sum of the samples' weights instead, which rescales every batch by its own class mix and
    makes a batch of one class blind to its weight.

    target: integer [B], class indices. Raises ParameterError for a beta that is not positive and finite
    (a vector may hold zeros) or that does not fit the logits.
    """
    weight = class_weights(beta)
    classes = 2 if logits.ndim == 1 else logits.shape[-1]
    if len(weight) != classes:
        raise ParameterError(
            f"beta holds {len(weight)} class weights but the logits {classes} classes: give one a class."
        )
    losses = _class_losses(logits)
    return _reduce(_pick(losses * weight.to(losses), target), reduction)


def linear_probability_loss(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """The released code's loss where beta is none: log(1 + 1/e) + the probability of the wrong class.

    That code calls Keras's ``CategoricalCrossentropy(from_logits=True)`` with its two arguments exchanged, so the
    network's softmax output p stands as the truth and the one-hot label t as logits. The value is then
    sum_c p_c (-log softmax(t)_c). With log softmax([1, 0]) = (1 - L, -L), L = log(1 + e) = 1.3133, it is
    p_right (L - 1) + p_wrong L = (L - 1) + p_wrong = 0.3133 + p_wrong: Eq. (2) plus a constant, linear in the
    probability. Its derivative by the log-odds, p (1 - p) in size, vanishes where the network is confidently
    wrong, where that of Eq. (3) is largest.

    logits: float [B, 2] or log-odds z [B]; target: integer [B].
    """
    z = _log_odds(logits)
    wrong = torch.stack((torch.sigmoid(z), torch.sigmoid(-z)), dim=-1)
    return _reduce(_pick(wrong + math.log1p(math.exp(-1.0)), target), reduction)


class _Loss(nn.Module):
    """A loss that fastai can drive: `reduction` is an attribute; `activation` and `decodes` read the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.reduction: Reduction = "mean"

    def activation(self, logits: Tensor) -> Tensor:
        """Class probabilities [B, 2] of logits [B, 2]."""
        return logits.softmax(dim=-1)

    def decodes(self, logits: Tensor) -> Tensor:
        """Predicted class, int64 [B]: COVID where its logit is strictly the larger; a tie is non-COVID."""
        return logits.argmax(dim=-1)


class WeightedCrossEntropy(_Loss):
    """Eq. (4) as a module; `beta` as in `weighted_cross_entropy`, checked when the module is made.

    The released code computes the same from a softmax output clipped to [1e-7, 1 - 1e-7], where the gradient
    stops, and scales it by half the batch size, to which Adam is all but indifferent.
    """

    weight: Tensor

    def __init__(self, beta: float | Sequence[float] | Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", class_weights(beta))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, C] for integer targets [B]."""
        return _weighted(logits, target, self.weight, self.reduction)

    def extra_repr(self) -> str:
        """The class weights, for the module's printed form."""
        return f"weight={self.weight.tolist()}"


class LinearProbabilityLoss(_Loss):
    """`linear_probability_loss` as a module: what the released code minimises where beta is none."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits [B, 2] for integer targets [B]."""
        return linear_probability_loss(logits, target, self.reduction)


def build_loss(beta: float | None, loss_without_beta: str) -> nn.Module:
    """The loss of a run: Eq. (4) where beta is given, else the protocol's loss without beta.

    loss_without_beta: "cross_entropy" for Eq. (3), "linear" for the released code's baseline. Works as a fastai
    `loss_func`. Raises ParameterError for another name or a beta that is not positive and finite.
    """
    if loss_without_beta not in ("cross_entropy", "linear"):
        raise ParameterError(f"unknown loss_without_beta '{loss_without_beta}': choose cross_entropy or linear.")
    if beta is not None:
        return WeightedCrossEntropy(float(beta))
    return LinearProbabilityLoss() if loss_without_beta == "linear" else WeightedCrossEntropy(1.0)


def class_weights(beta: float | Sequence[float] | Tensor) -> Tensor:
    """beta as one weight a class, float64 [C]: a scalar becomes (1, beta).

    Raises ParameterError unless a scalar is positive and finite; a vector needs at least two weights, finite, not
    negative and not all zero.
    """
    weight = torch.as_tensor(beta, dtype=torch.float64).detach().cpu()
    if weight.ndim == 0:
        if not (weight.isfinite() and weight > 0):
            raise ParameterError(f"beta = {weight.item():g} is not allowed: a scalar beta must be positive and finite.")
        return torch.stack((torch.ones_like(weight), weight))
    if weight.ndim != 1 or len(weight) < 2 or not weight.isfinite().all() or (weight < 0).any() or not weight.any():
        raise ParameterError("a vector beta must hold a finite weight of at least 0 for each class, and one above 0.")
    return weight


def _weighted(logits: Tensor, target: Tensor, weight: Tensor, reduction: Reduction) -> Tensor:
    losses = _class_losses(logits)
    if losses.shape[1] != len(weight):
        counts = f"{len(weight)} class weights but the logits {losses.shape[1]} classes"
        raise ParameterError(f"beta holds {counts}: give one weight a class.")
    return _reduce(_pick(losses * weight.to(losses), target), reduction)


def _class_losses(logits: Tensor) -> Tensor:
    """Negative log-probability of every class, [B, C], from logits [B, C] or log-odds [B]."""
    if logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 2):
        z = _log_odds(logits)
        return torch.stack((-F.logsigmoid(-z), -F.logsigmoid(z)), dim=-1)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ParameterError(
            f"logits of shape {tuple(logits.shape)} do not fit: give [B, C] with C >= 2, or log-odds [B]."
        )
    return -F.log_softmax(_wide(logits), dim=-1)


def _log_odds(logits: Tensor) -> Tensor:
    """z [B] in float32 or wider from logits [B, 2] or from z itself."""
    wide = _wide(logits)
    if wide.ndim == 2 and wide.shape[1] == 2:
        return wide[:, 1] - wide[:, 0]
    if wide.ndim != 1:
        raise ParameterError(
            f"logits of shape {tuple(logits.shape)} do not fit a binary loss: give [B, 2], or log-odds [B]."
        )
    return wide


def _wide(values: Tensor) -> Tensor:
    plain = _plain(values)
    return plain if plain.dtype == torch.float64 else plain.float()


def _plain(values: Tensor) -> Tensor:
    """`values` without its subclass: fastai's tensors of different kinds refuse to be combined."""
    return values.as_subclass(Tensor)


def _error(probability: Tensor, target: Tensor) -> Tensor:
    if probability.ndim != 1 or probability.shape != target.shape:
        shapes = f"{tuple(probability.shape)} and {tuple(target.shape)}"
        raise ParameterError(f"probabilities and targets must both be of shape [B], not {shapes}.")
    wide = _wide(probability)
    return wide - _plain(target).to(wide)


def _pick(values: Tensor, target: Tensor) -> Tensor:
    """values[i, target[i]], [B]; gather, unlike indexing, does not take -1 for the last class."""
    if target.shape != values.shape[:1] or target.is_floating_point():
        given = f"{target.dtype} of shape {tuple(target.shape)}"
        raise ParameterError(f"targets must be integers of shape [{len(values)}], one a sample, not {given}.")
    return values.gather(1, _plain(target).long().unsqueeze(1)).squeeze(1)


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ParameterError(f"unknown reduction '{reduction}': choose mean, sum or none.")
    return losses.sum() / max(len(losses), 1) if reduction == "mean" else losses.sum()
