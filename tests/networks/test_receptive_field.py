"""Receptive fields: from the layers and from the gradient, which must agree."""

import pytest
import torch
from torch import nn

from cxrlib.networks.classifier import TRUNKS, build_network
from cxrlib.networks.counting import effective_field, receptive_field, share_within


def test_acnn_sees_129_pixels_by_its_layers_and_by_its_gradient():
    assert receptive_field(TRUNKS["acnn"]()) == (16 * (2 + 6) + 1, 1) == (129, 1)
    reached = effective_field(build_network("acnn", 32, seed=0).trunk, 141) > 0
    assert reached.any(0).sum() == reached.any(1).sum() == 129


@pytest.mark.parametrize(
    ("layers", "size", "stride"),
    [
        ([nn.Conv2d(3, 1, 3)], 3, 1),
        ([nn.Conv2d(3, 1, 3, dilation=2)], 5, 1),
        ([nn.Conv2d(3, 2, 3, stride=2), nn.Conv2d(2, 1, 3)], 7, 2),
        ([nn.Conv2d(3, 2, 7, stride=2), nn.MaxPool2d(3, 2), nn.Conv2d(2, 1, 3)], 19, 4),
    ],
)
def test_small_stacks_agree_with_the_formula_and_the_gradient(layers, size, stride):
    trunk = nn.Sequential(*layers)
    assert receptive_field(trunk) == (size, stride)
    reached = (effective_field(trunk, 41, draws=64) > 0).any(0).nonzero().flatten()
    assert reached[-1] - reached[0] + 1 == size  # an atrous kernel leaves holes between


def test_resnet_and_squeezenet_have_the_known_strides():
    with torch.device("meta"):
        assert receptive_field(TRUNKS["resnet50"]())[1] == 32
        assert receptive_field(TRUNKS["squeezenet"]())[1] == 16


def test_a_dense_layer_has_no_receptive_field():
    with pytest.raises(ValueError, match="no receptive field"):
        receptive_field(nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(4, 2)))


def test_the_effective_field_is_a_distribution():
    field = effective_field(nn.Sequential(*list(build_network("acnn", 32, seed=0).trunk)[:3]), 41, draws=2)
    assert field.sum().item() == pytest.approx(1, abs=1e-4)
    share = share_within(field)
    assert (share.diff() >= -1e-6).all() and share[-1].item() == pytest.approx(1, abs=1e-4)
