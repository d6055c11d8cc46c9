"""Initial weights: found, checked, converted; never downloaded in a test."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import _api, squeezenet1_1

from cxrlib.errors import WeightsError
from cxrlib.networks import weights
from cxrlib.networks.classifier import build_network
from cxrlib.networks.weights import imagenet_digest, imagenet_file, load_imagenet, load_state, save_state
from cxrlib.paths import weights_root
from cxrlib.storage import file_digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path


def _write(folder, change=None):
    state = {
        name: value.half() if value.ndim > 1 else value
        for name, value in squeezenet1_1(weights=None).state_dict().items()
    }
    if change:
        change(state)
    path = folder / "squeezenet1_1_imagenet.safetensors"
    save_file(state, path)
    return path


def test_weights_at_hand_are_found_by_file_and_never_fetched(folder, monkeypatch):
    monkeypatch.setattr(_api, "load_state_dict_from_url", lambda *a, **k: pytest.fail("downloaded"))
    assert not imagenet_file("squeezenet") and not imagenet_file("acnn")
    path = _write(folder)
    assert imagenet_file("squeezenet")
    assert imagenet_digest("squeezenet") == file_digest(path)


def test_half_precision_becomes_single_and_fits_the_trunk(folder):
    _write(folder)
    state = load_imagenet("squeezenet")
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
    network = build_network("squeezenet", 64, seed=0, trunk_state=state)
    assert all(torch.equal(network.trunk.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.0.weight"), "missing"),
        (lambda s: s.update({"features.99.weight": torch.zeros(1)}), "unknown"),
        (lambda s: s.update({"features.0.weight": torch.zeros(64, 3, 5, 5)}), "of another shape"),
    ],
)
def test_weights_of_another_network_are_refused(folder, change, message):
    _write(folder, change)
    with pytest.raises(WeightsError, match=message):
        load_imagenet("squeezenet")


def test_a_damaged_file_is_named(folder):
    (folder / "squeezenet1_1_imagenet.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="damaged"):
        load_imagenet("squeezenet")


def test_offline_without_weights_says_what_to_do(folder, monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(type(weights.SqueezeNet1_1_Weights.IMAGENET1K_V1), "get_state_dict", offline)
    with pytest.raises(WeightsError, match="set CXR_WEIGHTS to a folder that holds squeezenet1_1_imagenet"):
        load_imagenet("squeezenet")
    with pytest.raises(WeightsError, match="choose pretraining none or chestxray"):
        load_imagenet("acnn")


def test_a_trunk_survives_the_disk(tmp_path):
    network = build_network("acnn", 32, seed=3)
    save_state(network.trunk, tmp_path / "trunk.safetensors", {"key": "k"})
    state = load_state(tmp_path / "trunk.safetensors")
    assert all(torch.equal(state[name], value) for name, value in network.trunk.state_dict().items())
    with pytest.raises(WeightsError, match="make them again"):
        load_state(tmp_path / "other.safetensors")


@pytest.mark.real_data
@pytest.mark.parametrize("model", ["resnet50", "squeezenet"])
def test_the_published_weights_fit(model):
    if not (weights_root().is_dir() and imagenet_file(model)):
        pytest.skip("no ImageNet weights: set CXR_WEIGHTS")
    network = build_network(model, 64, seed=0, trunk_state=load_imagenet(model), normalise=True)
    assert torch.isfinite(network.eval()(torch.rand(2, 1, 64, 64))).all()
