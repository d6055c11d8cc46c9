"""The study's networks: a trunk (ResNet-50, SqueezeNet 1.1, ACNN or VGG-19) under the released code's head."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet50, squeezenet1_1, vgg19

from cxrlib.errors import ParameterError, WeightsError
from cxrlib.networks.acnn import ACNN
from cxrlib.networks.heads import Head

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _resnet50_trunk() -> nn.Module:
    network = resnet50(weights=None)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    trunk = nn.Sequential()
    for name in names:
        trunk.add_module(name, getattr(network, name))
    return trunk


TRUNKS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": _resnet50_trunk,
    "squeezenet": lambda: squeezenet1_1(weights=None).features,
    "acnn": ACNN,
    "vgg19": lambda: vgg19(weights=None).features,
}
"""How each trunk is made; it takes float [B, 3, H, W]."""


class Classifier(nn.Module):
    """Grey images, float [B, 1, S, S] in [0, 1], to logits [B, 2]; column 1 is COVID.

    The grey channel is expanded to three without a copy. With `normalise` the three channels are scaled
    by ImageNet's mean and standard deviation first, which ImageNet weights were trained with.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, head: Head, normalise: bool) -> None:
        super().__init__()
        self.trunk, self.head, self.normalise = trunk, head, normalise
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, 2] of images [B, 1, S, S]."""
        colour = images.expand(-1, 3, -1, -1)
        if self.normalise:
            colour = (colour - self.mean) / self.std
        return self.head(self.trunk(colour))


def build_network(
    model: str,
    image_size: int,
    seed: int,
    trunk_state: Mapping[str, Tensor] | None = None,
    normalise: bool = False,
) -> Classifier:
    """A classifier with initial weights that depend on `seed` alone; the global random state is left as it was.

    `trunk_state` replaces the trunk's random weights. Raises ParameterError for an unknown model, WeightsError
    for a state that does not fit.
    """
    if model not in TRUNKS:
        raise ParameterError(f"unknown model '{model}': choose one of {', '.join(TRUNKS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also set a GPU's
        trunk = TRUNKS[model]()
        channels, height, width = _feature_shape(model, image_size)
        head = Head(channels, height * width)
    if trunk_state is not None:
        problem = misfit(trunk, trunk_state)
        if problem:
            raise WeightsError(f"the weights do not fit the trunk of {model}: {problem}.")
        trunk.load_state_dict(trunk_state, strict=True)
    return Classifier(trunk, head, normalise)


def misfit(trunk: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What keeps `state` from being a state of `trunk`, in a few words; empty where it fits."""
    own = trunk.state_dict()
    kinds = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [name for name in own if name in state and own[name].shape != state[name].shape],
    }
    found = [f"{len(names)} tensors are {kind}, the first '{names[0]}'" for kind, names in kinds.items() if names]
    return "; ".join(found)


def _feature_shape(model: str, image_size: int) -> tuple[int, int, int]:
    """Channels, height and width of the trunk's feature map, without computing it."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        trunk = TRUNKS[model]().eval()
        shape = trunk(torch.empty(1, 3, image_size, image_size)).shape
    return shape[1], shape[2], shape[3]
