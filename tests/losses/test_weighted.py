"""Losses: Eqs. (1)-(4) against torch, by gradient checks and at the edges."""

import math

import pytest
import torch
from fastai.torch_core import TensorCategory, TensorImage
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cxrlib.errors import ParameterError
from cxrlib.losses.alternatives import build_loss
from cxrlib.losses.weighted import cross_entropy, linear_probability_loss, mae, mse, weighted_cross_entropy

BETAS = (0.25, 0.75, 1.0, 4.0)


def batch(size=64, classes=2, seed=0, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, classes, generator=generator, dtype=torch.float64)
    return logits.to(dtype).requires_grad_(), torch.randint(classes, (size,), generator=generator)


def test_mse_is_half_of_torchs_and_mae_is_torchs():
    p, y = torch.rand(50, dtype=torch.float64), torch.randint(2, (50,))
    assert mse(p, y).item() == pytest.approx(F.mse_loss(p, y.double()).item() / 2, rel=1e-12)
    assert mae(p, y).item() == pytest.approx(F.l1_loss(p, y.double()).item(), rel=1e-12)
    by_hand = torch.tensor([0.8, 0.4]), torch.tensor([1, 0])
    assert (mse(*by_hand).item(), mae(*by_hand).item()) == pytest.approx(((0.04 + 0.16) / 4, 0.3))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_scalar_beta_is_torchs_pos_weight_on_the_logit_difference(beta, reduction):
    logits, y = batch()
    z = logits[:, 1] - logits[:, 0]
    theirs = F.binary_cross_entropy_with_logits(z, y.double(), pos_weight=torch.tensor(beta), reduction=reduction)
    for ours in (weighted_cross_entropy(logits, y, beta, reduction), weighted_cross_entropy(z, y, beta, reduction)):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        (mine,) = torch.autograd.grad(ours.sum(), logits, retain_graph=True)
        (other,) = torch.autograd.grad(theirs.sum(), logits, retain_graph=True)
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_equation_4_by_hand():
    y, p, beta = torch.tensor([1, 0, 1]), torch.tensor([0.9, 0.2, 0.3], dtype=torch.float64), 0.75
    expected = -(beta * math.log(0.9) + math.log(0.8) + beta * math.log(0.3)) / 3
    assert weighted_cross_entropy(torch.logit(p), y, beta).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_cross_entropy_is_torchs(classes):
    logits, y = batch(classes=classes)
    torch.testing.assert_close(cross_entropy(logits, y), F.cross_entropy(logits, y), rtol=1e-12, atol=1e-12)


def test_beta_one_is_cross_entropy():
    logits, y = batch()
    torch.testing.assert_close(weighted_cross_entropy(logits, y, 1.0), cross_entropy(logits, y), rtol=0, atol=0)
    assert not torch.equal(weighted_cross_entropy(logits, y, 0.75), cross_entropy(logits, y))


def test_a_scalar_beta_is_the_vector_one_beta():
    logits, y = batch()
    vector = weighted_cross_entropy(logits, y, [1.0, 0.75])
    torch.testing.assert_close(vector, weighted_cross_entropy(logits, y, 0.75), rtol=0, atol=0)
    torch.testing.assert_close(vector, weighted_cross_entropy(logits, y, torch.tensor([1.0, 0.75])), rtol=1e-12, atol=0)


def test_vector_beta_weighs_each_class_and_does_not_normalise():
    logits, y = batch(classes=3)
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    ours = weighted_cross_entropy(logits, y, weight)
    torch.testing.assert_close(ours, F.cross_entropy(logits, y, weight=weight, reduction="sum") / len(y))
    normalised = F.cross_entropy(logits, y, weight=weight)
    torch.testing.assert_close(ours, normalised * weight[y].sum() / len(y))
    assert abs(ours - normalised).item() > 0.1


@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        (lambda z, y: weighted_cross_entropy(z, y, 0.75), 2),
        (lambda z, y: weighted_cross_entropy(z, y, [1.0, 0.0, 2.0, 3.0]), 4),
        (cross_entropy, 2),
        (linear_probability_loss, 2),
        (lambda z, y: mse(z.softmax(1)[:, 1], y), 2),
    ],
)
def test_gradients(loss, classes):
    logits, y = batch(12, classes)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), logits)
    assert torch.autograd.gradgradcheck(lambda z: loss(z, y), logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [20.0, 1e4])
def test_extreme_logits_keep_loss_and_gradient(dtype, size):
    beta = 0.5
    logits = torch.tensor([[0, size], [size, 0], [0, size], [size, 0]], dtype=dtype, requires_grad=True)
    losses = weighted_cross_entropy(logits, torch.tensor([1, 1, 0, 0]), beta, "none")
    assert losses.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    held = logits.detach().max().item()  # the size as this precision holds it
    wanted = torch.tensor([0.0, beta * held, held, 0.0], dtype=losses.dtype)
    torch.testing.assert_close(losses, wanted, rtol=1e-6, atol=1e-7)
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype
    torch.testing.assert_close(
        logits.grad.double(), torch.tensor([[0, 0], [beta, -beta], [-1, 1], [0, 0]]).double(), rtol=1e-5, atol=1e-7
    )


def test_a_confident_right_answer_keeps_its_tiny_loss():
    z = torch.tensor([60.0], requires_grad=True)
    loss = weighted_cross_entropy(z, torch.tensor([1]), 1.0)
    assert loss.item() == pytest.approx(math.exp(-60), rel=1e-5)
    loss.backward()
    assert z.grad is not None
    assert z.grad.item() == pytest.approx(-math.exp(-60), rel=1e-5)


def test_bf16_logits_are_raised_before_they_are_subtracted():
    logits, y = batch(256, dtype=torch.bfloat16)
    torch.testing.assert_close(
        weighted_cross_entropy(logits, y, 0.75), weighted_cross_entropy(logits.float(), y, 0.75), rtol=0, atol=0
    )


@pytest.mark.parametrize("make", [lambda: build_loss("wce", 0.75, "linear"), lambda: build_loss("wce", None, "linear")])
def test_an_empty_batch_has_loss_zero_and_a_gradient(make):
    logits = torch.zeros(0, 2, requires_grad=True)
    loss = make()(logits, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.shape == (0, 2)


@pytest.mark.parametrize("label", [0, 1])
def test_a_one_class_batch_keeps_its_weight(label):
    logits, _ = batch()
    y = torch.full((len(logits),), label)
    ratio = weighted_cross_entropy(logits, y, 0.25) / cross_entropy(logits, y)
    assert ratio.item() == pytest.approx(0.25 if label else 1.0, rel=1e-12)


def test_the_linear_baseline_is_the_exchanged_call():
    logits, y = batch()
    p, label_as_logits = logits.softmax(1), F.one_hot(y, 2).double()
    exchanged = -(p * label_as_logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(linear_probability_loss(logits, y, "none"), exchanged, rtol=1e-10, atol=1e-12)
    wrong = p.gather(1, 1 - y[:, None]).squeeze(1)
    torch.testing.assert_close(exchanged, wrong + math.log(1 + math.exp(-1)), rtol=1e-10, atol=1e-12)
    assert linear_probability_loss(logits, y).item() == pytest.approx(
        mae(p[:, 1], y).item() + math.log(1 + math.exp(-1)), rel=1e-10
    )


def test_the_linear_baseline_stops_learning_where_it_is_confidently_wrong():
    wrong = torch.tensor([-30.0], requires_grad=True)
    (linear,) = torch.autograd.grad(linear_probability_loss(wrong, torch.tensor([1])), wrong)
    (entropy,) = torch.autograd.grad(cross_entropy(wrong, torch.tensor([1])), wrong)
    assert abs(linear.item()) < 1e-12
    assert entropy.item() == pytest.approx(-1.0)


@settings(max_examples=60, deadline=None)
@given(st.floats(-80, 80), st.integers(0, 1), st.floats(1e-3, 1e3))
def test_equation_4_for_any_log_odds(z, y, beta):
    exact = beta * math.log1p(math.exp(-z)) if y else math.log1p(math.exp(z))
    ours = weighted_cross_entropy(torch.tensor([z], dtype=torch.float64), torch.tensor([y]), beta).item()
    assert ours == pytest.approx(exact, rel=1e-9, abs=1e-300)


def test_build_loss_follows_the_protocol():
    logits, y = batch()
    for name, function in (("linear", linear_probability_loss), ("cross_entropy", cross_entropy)):
        torch.testing.assert_close(build_loss("wce", None, name)(logits, y), function(logits, y), rtol=0, atol=0)
    for without in ("linear", "cross_entropy"):
        torch.testing.assert_close(build_loss("wce", 0.75, without)(logits, y), weighted_cross_entropy(logits, y, 0.75))


def test_what_trains_is_equation_4_as_quoted_and_takes_fastais_tensors():
    logits, y = batch()
    trained = build_loss("wce", 0.75, "linear")
    assert trained.func is weighted_cross_entropy and trained.keywords == {"beta": 0.75}
    value = trained(TensorImage(logits.detach()), TensorCategory(y))
    assert type(value) is torch.Tensor
    assert value.item() == pytest.approx(weighted_cross_entropy(logits, y, 0.75).item())


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf, [1.0], [0.0, 0.0], [1.0, -1.0], [[1.0, 2.0]]])
def test_a_wrong_beta_is_refused(beta):
    with pytest.raises(ParameterError, match="beta"):
        weighted_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1]), beta)


def test_wrong_shapes_names_and_labels_are_refused():
    logits, y = batch(8)
    with pytest.raises(ParameterError, match="3 class weights but the logits 2"):
        weighted_cross_entropy(logits, y, [1.0, 1.0, 1.0])
    with pytest.raises(ParameterError, match="2 class weights but the logits 3"):
        weighted_cross_entropy(torch.zeros(8, 3), y, 0.75)
    with pytest.raises(ParameterError, match="binary loss"):
        linear_probability_loss(torch.zeros(8, 3), y)
    with pytest.raises(ParameterError, match="do not fit"):
        cross_entropy(torch.zeros(8, 2, 2), y)
    with pytest.raises(ParameterError, match="integers"):
        cross_entropy(logits, y.float())
    with pytest.raises(ParameterError, match="integers"):
        cross_entropy(logits, y[:4])
    with pytest.raises(ParameterError, match="reduction"):
        cross_entropy(logits, y, "average")
    with pytest.raises(ParameterError, match="loss_without_beta"):
        build_loss("wce", None, "focal")
    with pytest.raises(ParameterError, match=r"\[B\]"):
        mse(torch.zeros(8, 2), y)
    for label in (-1, 2):
        with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
            cross_entropy(logits, torch.full((8,), label))
