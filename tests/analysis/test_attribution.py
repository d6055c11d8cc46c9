"""Attribution: Grad-CAM against its closed form, the randomisation check on maps that do and do not use the weights."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from tests.records.test_record import make_record
from torch import nn

from cxrlib.analysis import attribution
from cxrlib.errors import DataError, ParameterError
from cxrlib.networks.classifier import build_network
from cxrlib.training.runs import checkpoint_path


class Hand(nn.Module):
    """One 1 x 1 convolution to four channels, averaged, under a linear head: every derivative is known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 1, bias=False))
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(images).mean(dim=(2, 3)))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 12, 12)).astype(np.uint8)


def test_grad_cam_is_the_closed_form(pixels):
    network = Hand().eval()
    with torch.no_grad():
        maps = network.trunk(torch.as_tensor(pixels).float()[:, None] / 255)
        raw = (network.head.weight[1][None, :, None, None] / 144 * maps).sum(dim=1).clamp(min=0)
    low, high = (getattr(raw.flatten(1), f)(dim=1).values[:, None, None] for f in ("min", "max"))
    expected = ((raw - low) / (high - low)).numpy()
    assert expected.max() == pytest.approx(1)
    np.testing.assert_allclose(attribution.grad_cam(network, pixels, batch=2), expected, atol=2e-3)


def test_a_linear_network_gives_the_probes_logit(pixels):
    trunk = build_network("squeezenet", 64, 0)
    images = torch.rand(2, 1, 64, 64)
    weight = np.linspace(-1, 1, 512)
    network = attribution.LinearOnTrunk(trunk, weight, 0.3).eval()
    with torch.no_grad():
        features = trunk.trunk(images.expand(-1, 3, -1, -1)).mean(dim=(2, 3)).numpy()
        logits = network(images).numpy()
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], features @ weight + 0.3, rtol=1e-4, atol=1e-4)


def test_randomisation_goes_from_the_head_to_the_input_and_leaves_the_original_alone():
    network = Hand()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def changed(stage: int) -> set[str]:
        after = attribution.randomised(network, stage).state_dict()
        return {name for name, value in before.items() if not torch.equal(value, after[name])}

    assert changed(-1) == set()
    assert changed(0) == {"head.weight", "head.bias"}
    assert changed(1) == {"head.weight", "head.bias", "trunk.1.weight"}
    assert changed(2) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert attribution.stages(network) == [0, 1, 2]


def test_the_check_flags_a_map_that_ignores_the_weights(pixels):
    def edges(_network: nn.Module, images: np.ndarray) -> np.ndarray:
        return np.abs(np.gradient(images.astype(np.float32), axis=1))

    def noise(network: nn.Module, images: np.ndarray) -> np.ndarray:
        seed = int(abs(float(next(network.parameters()).detach().sum())) * 1e6) % 2**31
        return np.random.default_rng(seed).random(images.shape).astype(np.float32)

    ignoring = attribution.randomisation_check(Hand(), pixels, edges)
    assert ignoring["correlation"].to_numpy() == pytest.approx(1)
    assert not attribution.passes(ignoring)
    heeding = attribution.randomisation_check(Hand(), pixels, noise)
    assert attribution.passes(heeding)
    shares = attribution.inside_lungs(np.ones((3, 4, 4), np.float32), np.tri(4, dtype=bool)[None].repeat(3, 0))
    assert "fails the check" in attribution.sentence(ignoring, shares, range(3))
    assert "passes the check" in attribution.sentence(heeding, shares, range(3))


def test_grad_cam_of_a_real_trunk_depends_on_its_weights():
    network = build_network("squeezenet", 64, 0).eval()
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    check = attribution.randomisation_check(network, images)
    assert check["stage"].nunique() == len(attribution.stages(network)) >= 3
    assert check["correlation"].dropna().between(-1, 1).all()
    assert check["correlation"].dropna().lt(0.999).any()


def test_maps_that_are_constant_say_nothing():
    assert np.isnan(attribution.rank_correlation(np.zeros(4), np.arange(4)))
    assert attribution.rank_correlation(np.arange(4), np.arange(4) ** 3) == pytest.approx(1)
    check = pd.DataFrame({"stage": [0, 1], "correlation": [0.3, np.nan]})
    with pytest.raises(DataError, match="constant"):
        attribution.passes(check)


def test_the_share_inside_the_lungs():
    lungs = np.zeros((3, 4, 4), bool)
    lungs[:, :2] = True
    maps = np.stack([np.ones((4, 4)), lungs[0].astype(float), np.zeros((4, 4))]).astype(np.float32)
    table = attribution.inside_lungs(maps, lungs)
    assert table["area"].tolist() == [0.5] * 3
    assert table["ratio"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(table["ratio"][2])
    summary = attribution.lung_table(table, [1, 1, 0], [1, 2, 3]).set_index(["class", "quantity"])
    assert summary.loc[("COVID-19", "ratio"), "mean"] == 1.5
    assert summary.loc[("non-COVID", "ratio"), "blank"] == 1
    with pytest.raises(ParameterError, match="some lung"):
        attribution.inside_lungs(maps, np.zeros_like(lungs))


def test_the_interval_resamples_components():
    values, groups = np.r_[np.zeros(50), np.ones(50)], np.r_[np.zeros(50), np.ones(50)]
    mean, low, high = attribution.mean_interval(values, groups)
    assert (mean, low, high) == (0.5, 0.0, 1.0), "two components: the mean can be either"
    _, low, high = attribution.mean_interval(values, np.arange(100))
    assert 0.35 < low < 0.5 < high < 0.65


def test_a_recorded_network_is_found_by_its_checkpoint():
    record = make_record(model="squeezenet", protocol="clean", profile="quick")
    assert attribution.recorded_network([record]) is None
    network = build_network("squeezenet", record.config.image_size, 5)
    path = checkpoint_path(record.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    try:
        found = attribution.recorded_network([record])
    finally:
        path.unlink()
    assert found is not None
    assert found.image_size == record.config.image_size
    assert all(torch.equal(v, found.network.state_dict()[k]) for k, v in network.state_dict().items())
    assert "squeezenet" in found.title
