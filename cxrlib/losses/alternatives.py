"""The alternatives to a weight: focal, class-balanced, LDAM and logit-adjusted losses, re-sampling; any loss by name.

Logits are float [B, C] or log-odds [B], targets integers [B], `counts` training images a class, non-COVID first.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cxrlib.errors import ParameterError
from cxrlib.losses.weighted import (
    Reduction,
    class_weights,
    cross_entropy,
    linear_probability_loss,
    reduce,
    weighted_cross_entropy,
)  # fmt: skip


def focal_loss(
    logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Focal loss, Eq. (5) of Lin et al. (2017): -alpha_t (1 - p_t)^gamma log p_t.

    gamma: at least 0; 0 is cross-entropy. alpha: in (0, 1), of the positive class, 1 - alpha of the negative; None: 1.
    """
    if not gamma >= 0:
        raise ParameterError(f"gamma = {gamma} is not allowed: it must be at least 0.")
    entropy = cross_entropy(logits, target, "none")
    losses = (-torch.expm1(-entropy)).clamp_min(torch.finfo(entropy.dtype).tiny) ** gamma * entropy
    if alpha is not None:
        if not 0 < alpha < 1:
            raise ParameterError(f"alpha = {alpha} is not allowed: it must lie between 0 and 1.")
        losses = losses * torch.where(target == 1, alpha, 1 - alpha).to(losses)
    return reduce(losses, reduction)


def effective_number_weights(counts: Sequence[int], beta: float = 0.9999) -> Tensor:
    """Class weights of Cui et al. (2019): (1 - beta) / (1 - beta^n_y), scaled to sum to the number of classes.

    beta: in [0, 1), how new data overlap with old; 0 weighs classes alike, towards 1 by inverse counts. float64 [C].
    """
    if not 0 <= beta < 1:
        raise ParameterError(f"beta = {beta} is not allowed: the effective number needs 0 <= beta < 1.")
    n = _counts(counts)
    effective = -torch.expm1(n * np.log(beta)) if beta else torch.ones_like(n)
    weights = (1 - beta) / effective
    return weights * len(n) / weights.sum()


def class_balanced_loss(
    logits: Tensor, target: Tensor, counts: Sequence[int], beta: float = 0.9999, reduction: Reduction = "mean"
) -> Tensor:
    """Cross-entropy with the class weights of `effective_number_weights`: Eq. (4) with a vector beta."""
    return weighted_cross_entropy(logits, target, effective_number_weights(counts, beta), reduction)


def ldam_margins(counts: Sequence[int], largest: float = 0.5) -> Tensor:
    """Margins of LDAM (Cao et al., 2019), proportional to n_y^(-1/4); the rarest class has `largest`. float64 [C]."""
    if not largest > 0:
        raise ParameterError(f"largest = {largest} is not allowed: a margin must be above 0.")
    raw = _counts(counts) ** -0.25
    return raw * largest / raw.max()


def ldam_loss(
    logits: Tensor,
    target: Tensor,
    counts: Sequence[int],
    largest: float = 0.5,
    scale: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """LDAM, Eq. (13) of Cao et al. (2019): cross-entropy after the true class's logit is lowered by its margin.

    scale multiplies all logits after that: 30 in that paper's code, for a normalised last layer; a linear head needs 1.
    """
    both = torch.stack((torch.zeros_like(logits), logits), dim=-1) if logits.ndim == 1 else logits
    margins = ldam_margins(counts, largest).to(both)
    if len(margins) != both.shape[-1]:
        raise ParameterError(f"counts holds {len(margins)} classes but the logits {both.shape[-1]}: give one a class.")
    lowered = both - nn.functional.one_hot(target, len(margins)).to(both) * margins
    return weighted_cross_entropy(scale * lowered, target, torch.ones(len(margins)), reduction)


def logit_adjusted_loss(
    logits: Tensor, target: Tensor, counts: Sequence[int], tau: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Logit-adjusted cross-entropy, Eq. (10) of Menon et al. (2021): tau log prior is added to the logits.

    At its minimum the logits rank as for balanced classes, so that one half balances the two kinds of error.
    """
    prior = (_counts(counts) / sum(counts)).log().to(logits)
    if logits.ndim == 1 and len(prior) == 2:
        return cross_entropy(logits + tau * (prior[1] - prior[0]), target, reduction)
    if logits.shape[-1] != len(prior):
        raise ParameterError(f"counts holds {len(prior)} classes but the logits do not: give one a class.")
    return cross_entropy(logits + tau * prior, target, reduction)


def balancing_chances(labels: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Chance [N] of each image to be the next drawn, so that all classes are drawn alike (Kang et al., 2020).

    In expectation this is Eq. (4) with the weight n_0 / n_1, up to a factor.
    """
    classes, of, n = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    return (1 / len(classes) / n)[of]


def _counts(counts: Sequence[int]) -> Tensor:
    n = torch.as_tensor(list(counts), dtype=torch.float64)
    if len(n) < 2 or not (n >= 1).all():
        raise ParameterError(
            f"counts = {list(counts)} is not allowed: give at least one image for each of the classes."
        )
    return n


ALTERNATIVES: dict[str, Callable[..., Tensor]] = {
    "focal": focal_loss,
    "class_balanced": class_balanced_loss,
    "ldam": ldam_loss,
    "logit_adjusted": logit_adjusted_loss,
}
"""The alternatives to a weight, by the name that a config's `loss` gives them."""


def build_loss(
    loss: str, beta: float | None, loss_without_beta: str, counts: Sequence[int] = ()
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that a run minimises, a function of logits and targets.

    `loss` "wce" (and "resampled", which changes the batches instead): Eq. (4) where `beta` is given, else
    `loss_without_beta`, "cross_entropy" for Eq. (3) or "linear" for the released code's. Else one of `ALTERNATIVES`
    with its defaults, for `counts` training images of each class. Raises ParameterError for what cannot be.
    """
    if loss in ALTERNATIVES:
        return partial(ALTERNATIVES[loss], **({} if loss == "focal" else {"counts": tuple(counts)}))
    if loss not in ("wce", "resampled"):
        raise ParameterError(f"unknown loss '{loss}': choose one of wce, resampled, {', '.join(ALTERNATIVES)}.")
    if beta is not None:
        class_weights(beta)
        return partial(weighted_cross_entropy, beta=float(beta))
    if loss_without_beta not in ("cross_entropy", "linear"):
        raise ParameterError(f"unknown loss_without_beta '{loss_without_beta}': choose cross_entropy or linear.")
    return linear_probability_loss if loss_without_beta == "linear" else cross_entropy
