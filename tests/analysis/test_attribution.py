"""Attribution: Grad-CAM against its closed form, the randomisation check on maps that do and do not use the weights."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxrlib.analysis import attribution
from cxrlib.analysis.cross_fitting import tasks
from cxrlib.analysis.shortcuts.sample import eligible
from cxrlib.data.editions import load_edition
from cxrlib.networks.classifier import build_network


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


def test_randomisation_goes_from_the_head_to_the_input_and_leaves_the_original_alone():
    network = Hand()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def changed(stage: int) -> set[str]:
        after = attribution.randomised(network, stage).state_dict()
        return {name for name, value in before.items() if not torch.equal(value, after[name])}

    assert changed(0) == {"head.weight", "head.bias"}
    assert changed(1) == {"head.weight", "head.bias", "trunk.1.weight"}
    assert changed(2) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_check_flags_a_map_that_ignores_the_weights(pixels):
    def edges(_network: nn.Module, images: np.ndarray) -> np.ndarray:
        return np.abs(np.gradient(images.astype(np.float32), axis=1))

    def noise(network: nn.Module, images: np.ndarray) -> np.ndarray:
        seed = int(abs(float(next(network.parameters()).detach().sum())) * 1e6) % 2**31
        return np.random.default_rng(seed).random(images.shape).astype(np.float32)

    ignoring = attribution.randomisation_check(Hand(), pixels, edges)
    assert sorted(set(ignoring["stage"])) == [0, 1, 2]
    assert attribution.last_stage(ignoring) == (pytest.approx(1), 3)
    heeding = attribution.randomisation_check(Hand(), pixels, noise)
    assert abs(attribution.last_stage(heeding)[0]) <= attribution.AGREEMENT
    shares = attribution.inside_lungs(np.ones((3, 4, 4), np.float32), np.tri(4, dtype=bool)[None].repeat(3, 0))
    shares = shares.assign(component=range(3))
    assert "fails the check" in attribution.sentence(ignoring, shares)
    assert "passes the check" in attribution.sentence(heeding, shares)
    assert "1.00 [1.00, 1.00] times" in attribution.sentence(heeding, shares)


def test_grad_cam_of_a_real_trunk_depends_on_its_weights():
    network = build_network("squeezenet", 64, 0).eval()
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    check = attribution.randomisation_check(network, images)
    assert check["stage"].nunique() >= 3
    assert check["correlation"].dropna().between(-1, 1).all()
    assert check["correlation"].dropna().lt(0.999).any()
    blank = attribution.randomisation_check(network, images, lambda _, shown: np.zeros(shown.shape, np.float32))
    assert blank["correlation"].isna().all()


def test_maps_that_are_constant_say_nothing():
    check = pd.DataFrame({"stage": [0, 1], "correlation": [0.3, np.nan]})
    assert attribution.last_stage(check)[1] == 0
    assert "cannot be read" in attribution.sentence(
        check, attribution.inside_lungs(np.zeros((1, 4, 4), np.float32), np.ones((1, 4, 4), bool)).assign(component=0)
    )


def test_the_share_inside_the_lungs():
    lungs = np.zeros((3, 4, 4), bool)
    lungs[:, :2] = True
    maps = np.stack([np.ones((4, 4)), lungs[0].astype(float), np.zeros((4, 4))]).astype(np.float32)
    table = attribution.inside_lungs(maps, lungs)
    assert table["area"].tolist() == [0.5] * 3
    assert table["ratio"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(table["ratio"][2])
    rows = table.assign(label=["covid", "covid", "non_covid"], component=[1, 2, 3])
    means = attribution.lung_table(rows).set_index(["class", "quantity"])
    assert means.loc["COVID-19", "mean"].tolist() == [0.75, 0.5, 1.5]
    assert means.loc["non-COVID", "blank"].tolist() == [1, 1, 1]
    assert means.loc["non-COVID", "mean"].isna().all()


@pytest.mark.slow
def test_images_that_the_network_did_not_see_are_explained(monkeypatch):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.05")
    edition = load_edition("phantom")
    found = attribution.explained(edition, per_class=3, epochs=1)
    _, samples, lungs = found
    (task, *_) = tasks(eligible(edition), 0)
    assert set(samples.table["image_id"]) <= set(task.test["image_id"])
    assert samples.table["label"].value_counts().max() <= 3
    assert lungs.shape == samples.pixels.shape
    monkeypatch.setattr(attribution, "explained", lambda *_: found)
    shares = attribution.lung_shares(edition, folds=1)
    assert list(shares["image_id"]) == list(samples.table["image_id"])
    assert set(attribution.map_randomisation(edition, checked=2)["image"]) == {0, 1}
