"""Which input pixels a feature sees: computed from the layers, and found by differentiation; the two must agree.

`effective_field` then says how much each of them counts.
"""

import copy
import operator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, fx, nn

_JOINS = (operator.add, operator.iadd, torch.add, torch.cat)
_LOCAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.Sigmoid, nn.Dropout, nn.Identity)


@dataclass(frozen=True)
class Field:
    """Receptive field along one axis, in input pixels: feature i sees [low + i * stride, low + i * stride + size)."""

    size: int = 1
    stride: int = 1
    low: int = 0

    def joined(self, other: "Field") -> "Field":
        """The field of a sum or concatenation of features of this field and of `other`, which has the same stride."""
        if self.stride != other.stride:
            raise ValueError(f"features of stride {self.stride} and {other.stride} cannot be joined")
        low = min(self.low, other.low)
        return Field(max(self.low + self.size, other.low + other.size) - low, self.stride, low)


def receptive_field(trunk: nn.Module) -> Field:
    """Receptive field of the features of `trunk`, made of square convolutions, pooling, sums and concatenations.

    Raises ValueError for a layer that mixes all positions (a dense layer, global pooling) or is not known.
    """
    graph = fx.symbolic_trace(trunk)
    fields: dict[fx.Node, Field] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            fields[node] = Field()
            continue
        if not (node.op in ("call_module", "output") or node.target in _JOINS):
            raise ValueError(f"no receptive field is known for the operation '{node.name}'")
        field = reduce(Field.joined, (fields[source] for source in node.all_input_nodes))
        fields[node] = _through(graph.get_submodule(node.target), field) if node.op == "call_module" else field
    return field


def _through(layer: nn.Module, field: Field) -> Field:
    if isinstance(layer, _POINTWISE):
        return field
    if not isinstance(layer, _LOCAL):
        raise ValueError(f"{type(layer).__name__} has no receptive field of its own: pass the layers before it")
    sizes = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    kernel, stride, padding, rate = (int(size[0] if isinstance(size, tuple) else size) for size in sizes)  # all square
    span = (kernel - 1) * rate * field.stride
    return Field(field.size + span, field.stride * stride, field.low - padding * field.stride)


def support(trunk: nn.Module, size: int) -> Tensor:
    """Which pixels of a `size` x `size` input the centre of the feature map depends on, bool [size, size].

    Every weight of a copy of `trunk` is made positive, so that no two paths cancel; activations and
    BatchNorm are left out and pooling takes the mean, so that none is blocked. What then has a gradient is
    what the geometry lets through.
    """
    image = torch.ones(1, 3, size, size, dtype=torch.float64)
    return _centre_gradient(_open(copy.deepcopy(trunk)).double(), image)[0] > 0


def effective_field(trunk: nn.Module, size: int, draws: int = 4, seed: int = 0) -> Tensor:
    """How much each pixel moves the centre feature: mean absolute gradient, float32 [size, size], summing to 1.

    The mean runs over `draws` images of uniform noise in [0, 1] and over their three channels. A copy of `trunk`
    is used with its own weights; its BatchNorm takes the statistics of these images, as on the first training
    step. This is the effective receptive field of Luo et al. (2016).
    """
    trunk = copy.deepcopy(trunk)
    images = torch.rand(draws, 3, size, size, generator=torch.Generator().manual_seed(seed))
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the running averages become those of the one batch
            layer.reset_running_stats()
    with torch.no_grad():
        trunk.train()(images)
    gradient = _centre_gradient(trunk.eval(), images).mean(0)
    return gradient / gradient.sum()


def _centre_gradient(trunk: nn.Module, images: Tensor) -> Tensor:
    """Absolute gradient of the sum of the centre's channels, summed over the input's channels: [B, S, S]."""
    images = images.requires_grad_()
    features = trunk(images)
    row, column = features.shape[2] // 2, features.shape[3] // 2
    (gradient,) = torch.autograd.grad(features[:, :, row, column].sum(), images)
    return gradient.abs().sum(1)


def _open(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.ReLU | nn.Dropout):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
        elif isinstance(child, nn.Conv2d):
            nn.init.constant_(child.weight, 1 / child.weight[0].numel())
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        else:
            _open(child)
    return module


def share_within(field: Tensor) -> Tensor:
    """Share of `field` within a square of half-width 0, 1, 2, ... pixels around its centre, float [size // 2 + 1]."""
    size = field.shape[0]
    distance = (torch.arange(size) - size // 2).abs()
    square = torch.maximum(distance[:, None], distance[None, :])
    ring = torch.zeros(size // 2 + 1, dtype=field.dtype).index_add_(0, square.flatten(), field.flatten())
    return ring.cumsum(0)
