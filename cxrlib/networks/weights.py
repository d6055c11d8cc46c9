"""Initial weights: ImageNet's, from safetensors or torchvision's own download, and the study's own trunks."""

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, SqueezeNet1_1_Weights, VGG19_Weights, WeightsEnum

from cxrlib.config import RunConfig, checked
from cxrlib.errors import WeightsError
from cxrlib.networks.classifier import TRUNKS, Classifier, build_network, misfit
from cxrlib.paths import weights_root
from cxrlib.storage import atomic_path, file_digest

_ARCHITECTURES: dict[str, tuple[str, WeightsEnum, str, str]] = {
    "resnet50": ("resnet50", ResNet50_Weights.IMAGENET1K_V1, "", "fc."),
    "squeezenet": ("squeezenet1_1", SqueezeNet1_1_Weights.IMAGENET1K_V1, "features.", "classifier."),
    "vgg19": ("vgg19", VGG19_Weights.IMAGENET1K_V1, "features.", "classifier."),
}
"""By model: torchvision's name, its weights, and how its tensors' names begin in the trunk and in the classifier."""


def imagenet_file(model: str) -> Path | None:
    """The file of ImageNet weights on this machine: under `CXR_WEIGHTS`, in torch's download cache, or None."""
    if model not in _ARCHITECTURES:
        return None
    name, weights, *_ = _ARCHITECTURES[model]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    candidates = (weights_root() / f"{name}_imagenet.safetensors", cached)
    return next((path for path in candidates if path.is_file()), None)


def imagenet_digest(model: str) -> str:
    """SHA-256 of the ImageNet weights of `model`, downloaded if need be; raises WeightsError if that fails."""
    return file_digest(_imagenet(model))


def load_imagenet(model: str) -> dict[str, Tensor]:
    """State of the trunk of `model` trained on ImageNet, float32; half precision on disk is converted.

    Raises WeightsError where there are none, the download fails, the file is damaged, or its tensors do not fit.
    """
    path = _imagenet(model)
    *_, prefix, classifier = _ARCHITECTURES[model]
    trunk = {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in load_state(path).items()
        if not name.startswith(classifier)
    }
    with torch.device("meta"):
        problem = misfit(TRUNKS[model](), trunk)
    if problem:
        raise WeightsError(f"{path.name} does not hold the weights of {model}: {problem}; replace the file.")
    return trunk


def save_state(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the weights of `module` as safetensors with `metadata`, in one step."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with atomic_path(path) as part:
        save_file(state, part, metadata=dict(metadata))


def load_state(path: Path) -> dict[str, Tensor]:
    """The state in a file of weights; raises WeightsError where it is missing or damaged."""
    if not path.is_file():
        raise WeightsError(f"there are no weights {path.name}: make them again.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if file_digest(path).startswith(path.stem.rpartition("-")[2]):  # torchvision names a file after its SHA-256
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"the weights {path.name} are damaged ({error}): delete the file and start again."
        ) from error
    raise WeightsError(f"the weights {path.name} are damaged (wrong SHA-256): delete the file and start again.")


def load_network(path: Path) -> tuple[RunConfig, Classifier]:
    """The trained network in a file that `training.runs` wrote, and its config; raises WeightsError."""
    try:
        with safe_open(path, "pt") as file:
            config = checked(RunConfig, json.loads((file.metadata() or {})["config"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is not a network that this project has trained ({type(error).__name__}: {error})."
        ) from error
    normalise = config.pretraining.startswith("imagenet") and config.rules.normalisation == "weights"
    given = (config.model, config.image_size, config.seed, config.head)
    network, state = build_network(*given, normalise=normalise, batch_norm=config.batch_norm), load_state(path)
    problem = misfit(network, state)
    if problem:
        raise WeightsError(f"the weights in {path} do not fit a {config.model} of {config.image_size} px: {problem}.")
    network.load_state_dict(state)
    return config, network


def _imagenet(model: str) -> Path:
    """The file of `imagenet_file`, downloaded where there is none."""
    if model not in _ARCHITECTURES:
        raise WeightsError(f"there are no ImageNet weights for model '{model}': choose pretraining none or chestxray.")
    name, weights, *_ = _ARCHITECTURES[model]
    try:
        if imagenet_file(model) is None:
            weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"torchvision's ImageNet weights could not be downloaded ({error}): set CXR_WEIGHTS to a folder that holds "
            f"{name}_imagenet.safetensors, or choose pretraining none."
        ) from error
    return cast(Path, imagenet_file(model))
