"""Networks: the released code's head on three trunks, exact counts, weights that depend on the seed alone."""

import pytest
import torch

from cxrlib.config import MODELS
from cxrlib.errors import ParameterError, WeightsError
from cxrlib.networks.classifier import IMAGENET_MEAN, IMAGENET_STD, build_network
from cxrlib.networks.counting import (
    cost_table,
    counts_by_part,
    head_counts,
    image_costs,
    paper_counts,
    parameter_counts,
    sketch,
)
from cxrlib.networks.heads import default_head

BUILT = [pytest.param(model, marks=pytest.mark.slow) if model == "vgg19" else model for model in MODELS]
"""VGG-19's 140 million weights take half a minute to make and train on two cores."""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [64, 256])
def test_logits_have_two_columns_at_every_size(model, size):
    network = sketch(model, size).eval()
    assert network(torch.empty(2, 1, size, size, device="meta")).shape == (2, 2)


@pytest.mark.parametrize("model", BUILT)
def test_initial_weights_depend_on_the_seed_alone(model):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_network(model, 32, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = (build_network(model, 32, seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_acnn_has_the_released_codes_counts():
    counts = parameter_counts(sketch("acnn", 256)).set_index("part")["parameters"]
    assert counts["trunk: convolutions"] == 16 * (9 * 3 * 9 + 9 * 9 * 3) == 7776
    assert counts["trunk: BatchNorm"] == 16 * 2 * (9 + 3)
    assert counts["head: dense 128"] == 256 * 256 * 128 + 128 == 8_388_736
    assert counts["head: 1x1 convolution"] == 3 + 1


def test_parts_add_up_to_the_network_under_every_head():
    for (model, head), table in counts_by_part(64).groupby(["model", "head"]):
        assert table["parameters"].sum() == sum(p.numel() for p in sketch(model, 64, head).parameters())
        assert table["share"].sum() == pytest.approx(1)


def test_the_papers_counts_fit_the_networks_and_no_head():
    nearest = paper_counts().groupby("paper", sort=False).first()
    assert abs(nearest.loc[["ResNet-50", "ACNN"], "deviation"]).max() < 0.06
    assert nearest.loc["fully connected network", "candidate"] == "trunk: convolutions"  # ACNN's 7,776
    assert nearest.loc["fully connected network", "truncates"]


def test_the_released_head_sees_a_position_for_each_32_pixels_of_resnet():
    heads = head_counts([64, 128, 256]).set_index("image_size")
    assert heads["map"].tolist() == ["2 x 2", "4 x 4", "8 x 8"]
    assert round(heads.loc[128, "head"], -3) == 7000  # at half the paper's size
    assert (heads["own classifier"] == 2048 * 2 + 2).all()


def test_the_head_flattens_one_channel():
    head = build_network("resnet50", 256, seed=0).head
    linear = next(layer for layer in head if isinstance(layer, torch.nn.Linear))
    assert linear.in_features == 8 * 8


def test_acnn_blocks_are_residual_and_keep_the_resolution():
    block = build_network("acnn", 32, seed=0).trunk[0]
    x = torch.rand(2, 3, 20, 24)
    with torch.no_grad():
        for weight in block.parameters():
            weight.zero_()
    assert torch.equal(block(x), x)
    layers = [m for m in build_network("acnn", 32, seed=0).trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(layer.bias is None and layer.weight.abs().max().item() <= 1.0 for layer in layers)


def test_grey_is_expanded_without_a_copy():
    network = build_network("squeezenet", 64, seed=0).eval()
    seen = []
    network.trunk.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    image = torch.rand(1, 1, 64, 64)
    network(image)
    assert seen[0].shape == (1, 3, 64, 64)
    assert seen[0].data_ptr() == image.data_ptr()


def test_normalisation_is_imagenets():
    plain, scaled = (build_network("squeezenet", 64, seed=0, normalise=flag).eval() for flag in (False, True))
    image = torch.rand(2, 1, 64, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    by_hand = plain.head(plain.trunk((image.expand(-1, 3, -1, -1) - mean) / std))
    assert torch.allclose(scaled(image), by_hand, atol=1e-6)
    assert not torch.allclose(scaled(image), plain(image), atol=1e-3)


def test_a_wrong_model_or_state_is_one_sentence():
    with pytest.raises(ParameterError, match="choose one of"):
        build_network("resnet5", 64, seed=0)
    with pytest.raises(WeightsError, match=r"do not fit the trunk of acnn: .* missing"):
        build_network("acnn", 64, seed=0, trunk_state={"nothing": torch.zeros(1)})


@pytest.mark.parametrize(
    ("model", "head"), [(m, default_head(m)) for m in ("resnet50", "acnn", "squeezenet")] + [("resnet50", "native")]
)
def test_a_training_step_in_bfloat16_moves_trunk_and_head_and_logits_are_float32(model, head):
    network = build_network(model, 32, seed=0, head=head)
    network.dtype = torch.bfloat16
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    seen = []
    network.head.register_forward_pre_hook(lambda _module, given: seen.append(given[0].dtype))
    logits = network(torch.rand(4, 1, 32, 32))
    assert logits.dtype == torch.float32 and seen == [torch.float32]
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()
    moved = {name.split(".")[0] for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"trunk", "head"}


def test_keras_batch_norm_is_set_everywhere():
    layers = [m for m in build_network("resnet50", 64, seed=0, batch_norm="keras").modules() if hasattr(m, "momentum")]
    assert layers and all((m.momentum, m.eps) == (0.01, 1e-3) for m in layers)


@pytest.mark.slow
def test_acnn_costs_more_arithmetic_than_resnet_with_fewer_parameters():
    table = cost_table(128).set_index("model")
    assert table.loc["acnn", "parameters"] < table.loc["resnet50", "parameters"]
    trunk_macs = 16 * (243 + 243) * 128 * 128
    dense = 128 * 128 * 128 + 128 * 16 + 16 * 2 + 3 * 128 * 128
    assert image_costs(sketch("acnn", 128), 128)[0] == trunk_macs + dense
