"""The alternatives to a weight, each against its published formula written out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from cxrlib.errors import ParameterError
from cxrlib.losses import alternatives as imbalance
from cxrlib.losses.alternatives import ALTERNATIVES, build_loss
from cxrlib.losses.weighted import cross_entropy, weighted_cross_entropy

COUNTS = [900, 100]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(64, dtype=torch.float64, generator=generator), torch.randint(2, (64,), generator=generator)


def _two(z: torch.Tensor) -> torch.Tensor:
    return torch.stack((torch.full_like(z, 0.3), z + 0.3), dim=1)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.75), (2.0, None), (0.0, None)])
def test_focal_is_torchvisions(batch, gamma, alpha):
    z, y = batch
    expected = sigmoid_focal_loss(z, y.double(), alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(imbalance.focal_loss(z, y, gamma, alpha), expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(imbalance.focal_loss(_two(z), y, gamma, alpha), expected, rtol=1e-10, atol=0)


def test_focal_has_a_finite_gradient_where_the_network_is_sure():
    z = torch.tensor([80.0, -80.0], requires_grad=True)
    imbalance.focal_loss(z, torch.tensor([1, 0]), gamma=0.5).backward()
    assert z.grad is not None and z.grad.isfinite().all()


def test_effective_numbers_by_hand():
    beta = 0.999
    raw = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    expected = [2 * w / sum(raw) for w in raw]
    np.testing.assert_allclose(imbalance.effective_number_weights(COUNTS, beta), expected, rtol=1e-10)
    np.testing.assert_allclose(imbalance.effective_number_weights(COUNTS, 0.0), [1, 1])
    weights = imbalance.effective_number_weights(COUNTS, 1 - 1e-9)  # towards 1: inverse counts
    assert weights[1] / weights[0] == pytest.approx(9, rel=1e-4)


def test_class_balanced_is_torchs_weighted_sum(batch):
    z, y = batch
    weight = imbalance.effective_number_weights(COUNTS, 0.999)
    expected = functional.cross_entropy(_two(z), y, weight=weight, reduction="sum") / len(y)
    torch.testing.assert_close(imbalance.class_balanced_loss(z, y, COUNTS, 0.999), expected)


def test_ldam_by_hand(batch):
    z, y = batch
    margins = imbalance.ldam_margins(COUNTS, 0.5)
    assert margins[1] == pytest.approx(0.5)
    assert margins[0] / margins[1] == pytest.approx((100 / 900) ** 0.25)
    logits, scale = _two(z), 30.0
    total = 0.0
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        own = scale * (row[label] - margins[label].item())
        total += math.log1p(math.exp(min(scale * row[1 - label] - own, 700)))
    assert imbalance.ldam_loss(logits, y, COUNTS, scale=scale).item() == pytest.approx(total / len(y), rel=1e-10)
    assert imbalance.ldam_loss(z, y, COUNTS, scale=scale).item() == pytest.approx(total / len(y), rel=1e-10)


def test_logit_adjusted_is_a_softmax_with_the_prior(batch):
    z, y = batch
    logits, prior = _two(z), torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    weighted = prior * logits.exp()
    expected = -(weighted[torch.arange(len(y)), y] / weighted.sum(1)).log().mean()
    torch.testing.assert_close(imbalance.logit_adjusted_loss(logits, y, COUNTS), expected)
    torch.testing.assert_close(imbalance.logit_adjusted_loss(z, y, COUNTS), expected)
    torch.testing.assert_close(imbalance.logit_adjusted_loss(z, y, COUNTS, tau=0.0), cross_entropy(z, y))


def test_balanced_draws_equal_a_weight_in_expectation(batch):
    z, _ = batch
    labels = np.r_[np.zeros(54, int), np.ones(10, int)]
    chances = imbalance.balancing_chances(labels)
    assert chances.sum() == pytest.approx(1) and chances[labels == 1].sum() == pytest.approx(0.5)
    losses = cross_entropy(z, torch.as_tensor(labels), "none").numpy()
    weighted = weighted_cross_entropy(z, torch.as_tensor(labels), 54 / 10).item()
    assert (chances * losses).sum() == pytest.approx(weighted * 64 / (2 * 54), rel=1e-10)


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_each_has_a_gradient_and_a_value_an_image(batch, name):
    z, y = batch
    loss = build_loss(name, None, "cross_entropy", COUNTS)
    logits = _two(z).requires_grad_()
    value = loss(logits, y)
    value.backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0
    assert loss(logits, y, reduction="none").mean().item() == pytest.approx(value.item())


@pytest.mark.parametrize(
    "call",
    [
        lambda z, y: imbalance.focal_loss(z, y, gamma=-1),
        lambda z, y: imbalance.focal_loss(z, y, alpha=1.0),
        lambda z, y: imbalance.focal_loss(z, y, reduction="average"),
        lambda z, y: imbalance.class_balanced_loss(z, y, COUNTS, beta=1.0),
        lambda z, y: imbalance.ldam_loss(z, y, [10, 0]),
        lambda z, y: imbalance.ldam_loss(z, y, [1, 2, 3]),
        lambda z, y: imbalance.ldam_margins(COUNTS, 0.0),
        lambda z, y: imbalance.logit_adjusted_loss(z, y, [1, 2, 3]),
        lambda z, y: build_loss("hinge", None, "cross_entropy", COUNTS),
    ],
)
def test_what_cannot_be_is_refused(batch, call):
    with pytest.raises(ParameterError):
        call(*batch)
