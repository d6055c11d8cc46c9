"""The study's networks: a trunk (ResNet-50, SqueezeNet 1.1, ACNN or VGG-19) under a head; see `networks.heads`."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet50, squeezenet1_1, vgg19

from cxrlib.errors import ParameterError, WeightsError
from cxrlib.networks.acnn import ACNN
from cxrlib.networks.heads import build_head, default_head

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KERAS_BATCH_NORM = (0.01, 1e-3)  # the new batch's share, 1 - Keras's momentum of 0.99, and its epsilon


def _resnet50_trunk() -> nn.Module:
    layers = dict(resnet50(weights=None).named_children())
    return nn.Sequential(OrderedDict((name, layers[name]) for name in layers if name not in ("avgpool", "fc")))


TRUNKS: dict[str, Callable[[], nn.Module]] = {
    "resnet50": _resnet50_trunk,
    "squeezenet": lambda: squeezenet1_1(weights=None).features,
    "acnn": ACNN,
    "vgg19": lambda: vgg19(weights=None).features,
}
"""How each trunk is made; it takes float [B, 3, H, W]."""


class Classifier(nn.Module):
    """Grey images, float [B, 1, S, S] in [0, 1], to logits float32 [B, 2]; column 1 is COVID.

    The grey channel is expanded to three without a copy. With `normalise` the three channels are scaled by ImageNet's
    mean and standard deviation first, which ImageNet weights were trained with. The trunk computes in `dtype` (under
    autocast unless it is float32); head and loss always compute in float32, where a sigmoid does not saturate early.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, head: nn.Module, normalise: bool = False) -> None:
        super().__init__()
        self.trunk, self.head, self.normalise, self.dtype = trunk, head, normalise, torch.float32
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """The trunk's feature map, float32 [B, C, H, W], of images [B, 1, S, S]."""
        colour = images.expand(-1, 3, -1, -1)
        if self.normalise:
            colour = (colour - self.mean) / self.std
        if self.dtype == torch.float32:
            return self.trunk(colour)
        with torch.autocast(images.device.type, dtype=self.dtype):
            found: Tensor = self.trunk(colour)
        return found.float()

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [B, 2] of images [B, 1, S, S]."""
        return self.head(self.features(images))


def build_network(
    model: str,
    image_size: int,
    seed: int,
    head: str | None = None,
    trunk_state: Mapping[str, Tensor] | None = None,
    normalise: bool = False,
    batch_norm: str = "torch",
) -> Classifier:
    """A classifier with initial weights that depend on `seed` alone; the global random state is left as it was.

    `head`: "released" or "native", by default `heads.default_head`. `trunk_state` replaces the trunk's random weights.
    `batch_norm`: "keras" or "torch". Raises ParameterError for an unknown model, WeightsError for a misfitting state.
    """
    if model not in TRUNKS:
        raise ParameterError(f"unknown model '{model}': choose one of {', '.join(TRUNKS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also set a GPU's
        trunk = TRUNKS[model]()
        top = build_head(head or default_head(model), model, feature_shape(model, image_size))
    if trunk_state is not None:
        problem = misfit(trunk, trunk_state)
        if problem:
            raise WeightsError(f"the weights do not fit the trunk of {model}: {problem}.")
        trunk.load_state_dict(trunk_state, strict=True)
    network = Classifier(trunk, top, normalise)
    for layer in network.modules():
        if batch_norm == "keras" and isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum, layer.eps = KERAS_BATCH_NORM
    return network


def misfit(trunk: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What keeps `state` from being a state of `trunk`, in a few words; empty where it fits."""
    needed = trunk.state_dict()
    kinds = {
        "missing": [name for name in needed if name not in state],
        "unknown": [name for name in state if name not in needed],
        "of another shape": [name for name in needed if name in state and needed[name].shape != state[name].shape],
    }
    found = [f"{len(names)} tensors are {kind}, the first '{names[0]}'" for kind, names in kinds.items() if names]
    return "; ".join(found)


def feature_shape(model: str, image_size: int) -> tuple[int, int, int]:
    """Channels, height and width of the trunk's feature map, without computing it."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        trunk = TRUNKS[model]().eval()
        shape = trunk(torch.empty(1, 3, image_size, image_size)).shape
    return shape[1], shape[2], shape[3]
