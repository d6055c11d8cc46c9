"""How far a network sees: which pixels its features can depend on, from the layers, and how much each of them counts."""

import copy
import operator

import torch
from torch import Tensor, fx, nn

_JOINS = (operator.add, operator.iadd, torch.add, torch.cat)
_LOCAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.Sigmoid, nn.Dropout, nn.Identity)


def receptive_field(trunk: nn.Module) -> tuple[int, int]:
    """Receptive field and stride, in pixels a side, of the features of `trunk`: the widest path through its layers.

    trunk: square convolutions and pooling, and sums and concatenations of branches that are centred alike. Raises ValueError
    for a layer that mixes all positions (a dense layer, global pooling) or is not known.
    """
    graph = fx.symbolic_trace(trunk)
    fields: dict[fx.Node, tuple[int, int]] = {}
    for node in graph.graph.nodes:
        size, stride = max((fields[source] for source in node.all_input_nodes), default=(1, 1))
        layer = graph.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(layer, _LOCAL):
            given = (layer.kernel_size, layer.stride, getattr(layer, "dilation", 1))
            kernel, step, rate = (int(value[0] if isinstance(value, tuple) else value) for value in given)
            size, stride = size + (kernel - 1) * rate * stride, stride * step
        elif not (node.op in ("placeholder", "output") or node.target in _JOINS or isinstance(layer, _POINTWISE)):
            raise ValueError(f"no receptive field is known for '{node.name}': pass the layers before it")
        fields[node] = size, stride
    return fields[node]


def effective_field(trunk: nn.Module, size: int, draws: int = 4) -> Tensor:
    """How much each pixel moves the centre feature: mean absolute gradient, float32 [size, size], summing to 1.

    The mean runs over `draws` images of uniform noise in [0, 1] and over their three channels. A copy of `trunk`
    is used with its own weights; its BatchNorm takes the statistics of these images, as on the first training
    step. This is the effective receptive field of Luo et al. (2016).
    """
    trunk = copy.deepcopy(trunk)
    images = torch.rand(draws, 3, size, size, generator=torch.Generator().manual_seed(0))
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the running averages become those of the one batch
            layer.reset_running_stats()
    with torch.no_grad():
        trunk.train()(images)
    features = trunk.eval()(images.requires_grad_())
    row, column = features.shape[2] // 2, features.shape[3] // 2
    (gradient,) = torch.autograd.grad(features[:, :, row, column].sum(), images)
    field = gradient.abs().sum(1).mean(0)
    return field / field.sum()


def share_within(field: Tensor) -> Tensor:
    """Share of `field` within a square of half-width 0, 1, 2, ... pixels around its centre, float [size // 2 + 1]."""
    size = field.shape[0]
    distance = (torch.arange(size) - size // 2).abs()
    square = torch.maximum(distance[:, None], distance[None, :])
    ring = torch.zeros(size // 2 + 1, dtype=field.dtype).index_add_(0, square.flatten(), field.flatten())
    return ring.cumsum(0)
