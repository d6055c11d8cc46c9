"""Initial weights: ImageNet's, from safetensors or torchvision's own download, and the study's own trunks."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, SqueezeNet1_1_Weights

from cxrlib.errors import WeightsError
from cxrlib.paths import weights_root
from cxrlib.storage import atomic_path, file_digest

_ARCHITECTURES = {
    "resnet50": ("resnet50", ResNet50_Weights.IMAGENET1K_V1),
    "squeezenet": ("squeezenet1_1", SqueezeNet1_1_Weights.IMAGENET1K_V1),
}


def imagenet_at_hand(model: str) -> bool:
    """Whether ImageNet weights of `model` are on this machine; nothing is downloaded to find out."""
    return _imagenet_file(model) is not None


def imagenet_digest(model: str) -> str:
    """SHA-256 of the file of ImageNet weights that a run of `model` starts from; downloads it if need be."""
    return file_digest(_imagenet_file(model) or _download(model))


def load_imagenet(model: str) -> dict[str, Tensor]:
    """State of the trunk of `model` trained on ImageNet, float32.

    Raises WeightsError where there are none, the download fails or a tensor is missing.
    """
    path = _imagenet_file(model) or _download(model)
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    return _trunk_part(model, state, path)


def save_trunk(network: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the weights of `network.trunk` as safetensors, in one step."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.trunk.state_dict().items()}  # type: ignore[union-attr]
    with atomic_path(path) as part:
        save_file(state, part, metadata=dict(metadata))


def load_trunk(path: Path) -> dict[str, Tensor]:
    """The trunk that `save_trunk` wrote."""
    if not path.is_file():
        raise WeightsError(f"there are no trunk weights {path.name}: run the pretraining again.")
    return load_file(path)


def _imagenet_file(model: str) -> Path | None:
    if model not in _ARCHITECTURES:
        return None
    name, weights = _ARCHITECTURES[model]
    candidates = (
        weights_root() / f"{name}_imagenet.safetensors",
        Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name,
    )
    return next((path for path in candidates if path.is_file()), None)


def _download(model: str) -> Path:
    if model not in _ARCHITECTURES:
        raise WeightsError(f"there are no ImageNet weights for model '{model}': choose pretraining none or chestxray.")
    name, weights = _ARCHITECTURES[model]
    try:
        weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError) as error:
        raise WeightsError(
            f"torchvision's ImageNet weights could not be downloaded: set CXR_WEIGHTS to a folder that holds "
            f"{name}_imagenet.safetensors, or choose pretraining none."
        ) from error
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _trunk_part(model: str, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    prefix, classifier = ("", "fc.") if model == "resnet50" else ("features.", "classifier.")
    part: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith(classifier):
            continue
        if not name.startswith(prefix):
            raise WeightsError(f"{path.name} holds a tensor '{name}' that {model} does not have: use its own weights.")
        part[name.removeprefix(prefix)] = value.float() if value.is_floating_point() else value
    return part
