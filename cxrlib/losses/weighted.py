"""The losses of section V, Eqs. (1)-(4), and the loss the released code trains its rows without beta with.

Networks return logits [B, 2], column 1 for COVID. Their difference z = logits[:, 1] - logits[:, 0] is the log-odds of
COVID; the binary losses are computed from z alone and never form log(0). Logits [B] are z, targets integers [B].
bfloat16 and float16 are raised to float32 inside. An empty batch has loss 0 and a zero gradient (torch's would be NaN).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrlib.errors import ParameterError

Reduction = Literal["mean", "sum", "none"]


def mse(probability: Tensor, target: Tensor) -> Tensor:
    """Mean square error, Eq. (1), of probabilities [B]: squared errors over 2m, half of what libraries call MSE."""
    return reduce(_error(probability, target).square() / 2, "mean")


def mae(probability: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, Eq. (2), of probabilities [B]; for a 0/1 target the mean probability of the wrong class."""
    return reduce(_error(probability, target).abs(), "mean")


def cross_entropy(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy, Eq. (3): the mean negative log-probability of the true class; logits [B] or [B, C], C >= 2."""
    return reduce(_pick(_class_losses(logits), target), reduction)


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, beta: float | Sequence[float] | Tensor, reduction: Reduction = "mean"
) -> Tensor:
    """Weighted cross-entropy, Eq. (4), averaged over the batch: the positives' term is multiplied by beta.

    Scalar beta: logits [B, 2] or [B]; equals ``binary_cross_entropy_with_logits(z, y, pos_weight=beta)``; 1 is Eq. (3).
    Vector beta [C]: logits [B, C], a weight a class; a scalar is the vector (1, beta). The mean is over the B samples;
    torch's weighted ``cross_entropy`` divides by the sum of their weights, which rescales every batch by its own class
    mix. Raises ParameterError for a beta that `class_weights` refuses or that does not fit the logits.
    """
    weight = class_weights(beta)
    classes = 2 if logits.ndim == 1 else logits.shape[-1]
    if len(weight) != classes:
        raise ParameterError(
            f"beta holds {len(weight)} class weights but the logits {classes} classes: give one a class."
        )
    losses = _class_losses(logits)
    return reduce(_pick(losses * weight.to(losses), target), reduction)


def linear_probability_loss(logits: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """The released code's loss where beta is none: log(1 + 1/e) + the probability of the wrong class.

    That code calls Keras's ``CategoricalCrossentropy(from_logits=True)`` with its two arguments exchanged, so the
    network's softmax output p stands as the truth and the one-hot label t as logits. The value is then
    sum_c p_c (-log softmax(t)_c). With log softmax([1, 0]) = (1 - L, -L), L = log(1 + e) = 1.3133, it is
    p_right (L - 1) + p_wrong L = (L - 1) + p_wrong = 0.3133 + p_wrong: Eq. (2) plus a constant, linear in the
    probability. Its derivative by the log-odds, p (1 - p) in size, vanishes where the network is confidently
    wrong, where that of Eq. (3) is largest. logits: float [B, 2] or [B].
    """
    z = _log_odds(logits)
    wrong = torch.stack((torch.sigmoid(z), torch.sigmoid(-z)), dim=-1)
    return reduce(_pick(wrong + math.log1p(math.exp(-1.0)), target), reduction)


def class_weights(beta: float | Sequence[float] | Tensor) -> Tensor:
    """beta as one weight a class, float64 [C]: a scalar becomes (1, beta).

    A scalar must be positive, a vector hold two or more weights, none negative, not all 0; all finite: ParameterError.
    """
    weight = torch.as_tensor(beta, dtype=torch.float64).detach().cpu()
    if weight.ndim == 0:
        if not (weight.isfinite() and weight > 0):
            raise ParameterError(f"beta = {weight.item():g} is not allowed: a scalar beta must be positive and finite.")
        return torch.stack((torch.ones_like(weight), weight))
    if weight.ndim != 1 or len(weight) < 2 or not weight.isfinite().all() or (weight < 0).any() or not weight.any():
        raise ParameterError("a vector beta must hold a finite weight of at least 0 for each class, and one above 0.")
    return weight


def _class_losses(logits: Tensor) -> Tensor:
    """Negative log-probability of every class, [B, C], from logits [B, C] or log-odds [B]."""
    if logits.ndim == 2 and logits.shape[1] > 2:
        return -F.log_softmax(_wide(logits), dim=-1)
    z = _log_odds(logits)
    return torch.stack((-F.logsigmoid(-z), -F.logsigmoid(z)), dim=-1)


def _log_odds(logits: Tensor) -> Tensor:
    """z [B] in float32 or wider from logits [B, 2] or from z itself."""
    wide = _wide(logits)
    if wide.ndim == 2 and wide.shape[1] == 2:
        return wide[:, 1] - wide[:, 0]
    if wide.ndim != 1:
        shape = tuple(logits.shape)
        raise ParameterError(f"logits of shape {shape} do not fit: a binary loss takes [B, 2], or log-odds [B].")
    return wide


def _wide(values: Tensor) -> Tensor:
    """`values` without fastai's subclass (its kinds of tensors refuse to be combined), in float32 or wider."""
    plain = values.as_subclass(Tensor)
    return plain if plain.dtype == torch.float64 else plain.float()


def _error(probability: Tensor, target: Tensor) -> Tensor:
    if probability.ndim != 1 or probability.shape != target.shape:
        shapes = f"{tuple(probability.shape)} and {tuple(target.shape)}"
        raise ParameterError(f"probabilities and targets must both be of shape [B], not {shapes}.")
    wide = _wide(probability)
    return wide - target.as_subclass(Tensor).to(wide)


def _pick(values: Tensor, target: Tensor) -> Tensor:
    """values[i, target[i]], [B]; gather, unlike indexing, does not take -1 for the last class."""
    if target.shape != values.shape[:1] or target.is_floating_point():
        given = f"{target.dtype} of shape {tuple(target.shape)}"
        raise ParameterError(f"targets must be integers of shape [{len(values)}], one a sample, not {given}.")
    return values.gather(1, target.as_subclass(Tensor).long().unsqueeze(1)).squeeze(1)


def reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    """Losses [B] as their mean, their sum or as they are; an empty batch has mean 0. Raises ParameterError."""
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ParameterError(f"unknown reduction '{reduction}': choose mean, sum or none.")
    return losses.sum() / max(len(losses), 1) if reduction == "mean" else losses.sum()
