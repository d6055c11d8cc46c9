"""A network in numbers: parameters beside the paper's counts, arithmetic and memory, and how far it sees."""

import copy
import operator
from collections.abc import Iterable
from itertools import product
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, fx, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from cxrlib.names import name
from cxrlib.networks.classifier import TRUNKS, Classifier, build_network, feature_shape
from cxrlib.networks.heads import NATIVE, default_head
from cxrlib.paper.tables import IMAGE_SIZE

_JOINS = (operator.add, operator.iadd, torch.add, torch.cat)
_LOCAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.Sigmoid, nn.Dropout, nn.Identity)
_BATCH = 2  # images whose cost is counted; BatchNorm needs more than one in training mode


PAPER_COUNTS = (
    ("ResNet-50", 23_000_000, 1_000_000, ("resnet50",)),
    ("ACNN", 8_000_000, 1_000_000, ("acnn",)),
    ("fully connected network", 7_000, 1_000, ("resnet50", "acnn")),
)
"""Section VI.B: of what, trainable parameters as printed, the unit they are rounded to, and the networks it may speak of.

The third is said of the part that produces the likelihoods, whichever trunk is below it.
"""
BLOCKS = {
    "resnet50": ("residual block", "layer1.1", (("conv1",), ("conv2",), ("conv3",)), "+"),
    "squeezenet": ("fire module", "4", (("squeeze",), ("expand1x1", "expand3x3")), "∪"),
    "acnn": ("atrous block", "0", (("residual.0",), ("residual.3",)), "+"),
}
"""Of each network: the block's name, where its trunk holds one, the convolutions row by row, and what joins them at the end."""


def sketch(model: str, image_size: int, head: str | None = None) -> Classifier:
    """A classifier of the right shapes without storage (meta device): for counting, not for computing."""
    with torch.device("meta"):
        return build_network(model, image_size, seed=0, head=head)


def parameter_counts(network: Classifier) -> pd.DataFrame:
    """Trainable parameters of `network` (BatchNorm's averages are not), a row a part: part, parameters, share."""
    rows = []
    for place, layers in (("trunk", network.trunk), ("head", network.head)):
        for layer in layers.modules():
            kind = "BatchNorm"
            if isinstance(layer, nn.Conv2d):
                kind = "1x1 convolution" if place == "head" else "convolutions"
            elif isinstance(layer, nn.Linear):
                kind = f"dense {layer.out_features}"
            rows.append((f"{place}: {kind}", _size(layer.parameters(recurse=False))))
    table = pd.DataFrame(rows, columns=["part", "parameters"]).query("parameters > 0")
    table = table.groupby("part", sort=False, as_index=False).sum()
    return table.assign(share=table["parameters"] / table["parameters"].sum())


def counts_by_part(image_size: int) -> pd.DataFrame:
    """`parameter_counts` of every network under each head it has, with columns model, head and default (bool)."""
    tables = [
        parameter_counts(sketch(model, image_size, head)).assign(
            model=model, head=head, default=head == default_head(model)
        )
        for model in TRUNKS
        for head in ("released", "native")
        if head == "released" or model in NATIVE
    ]
    return pd.concat(tables, ignore_index=True)[["model", "head", "default", "part", "parameters", "share"]]


def candidates(model: str, image_size: int) -> dict[str, int]:
    """Parts of a network under the released head, and sums of parts, that a printed count could mean."""
    network = sketch(model, image_size, "released")
    counts = parameter_counts(network).set_index("part")["parameters"]
    trunk, head = (counts.filter(like=place) for place in ("trunk", "head"))
    found = {
        **counts,
        "trunk": trunk.sum(),
        "head": head.sum(),
        "head without its convolution": head.drop("head: 1x1 convolution").sum(),
        "head: dense layers": head.filter(like="dense").sum(),
        "whole network": counts.sum(),
    }
    if model == "resnet50":  # Keras's has a bias in every convolution
        biases = sum(layer.out_channels for layer in network.trunk.modules() if isinstance(layer, nn.Conv2d))
        found["trunk with Keras's convolution biases"] = trunk.sum() + biases
    return {name: int(count) for name, count in found.items()}


def paper_counts() -> pd.DataFrame:
    """Each count of the paper beside the candidates for it at the paper's image size, nearest first.

    Columns: paper (what), printed, model, candidate, parameters, deviation (relative to the printed count), rounds and
    truncates (whether it gives the printed count that way).
    """
    rows = []
    for what, printed, unit, models in PAPER_COUNTS:
        parts = [(model, part, n) for model in models for part, n in candidates(model, IMAGE_SIZE).items()]
        for model, part, n in sorted(parts, key=lambda row: abs(row[2] - printed)):
            rounds, truncates = ((n + half) // unit * unit == printed for half in (unit // 2, 0))
            rows.append((what, printed, model, part, n, n / printed - 1, rounds, truncates))
    columns = ["paper", "printed", "model", "candidate", "parameters", "deviation", "rounds", "truncates"]
    return pd.DataFrame(rows, columns=columns)


def head_counts(sizes: Iterable[int]) -> pd.DataFrame:
    """The released head on ResNet-50 at several image sizes, the network's own classifier beside it.

    Columns: image_size, map (of the features, pixels), positions that the released head sees, and parameters by part.
    """
    rows = []
    for size in sizes:
        (_, height, width), parts = feature_shape("resnet50", size), candidates("resnet50", size)
        row = {"image_size": size, "map": f"{height} x {width}", "positions": height * width}
        row |= {name: parts[name] for name in ("head", "head without its convolution", "head: dense layers")}
        rows.append(row | {"own classifier": _size(sketch("resnet50", size, "native").head.parameters())})
    return pd.DataFrame(rows)


def image_costs(network: Classifier, image_size: int) -> tuple[int, int]:
    """What an image costs a `sketch`: multiply-accumulates forward, and float32 bytes kept for the backward pass.

    Convolutions and dense layers are counted; of what is kept, each tensor once, and no weights or buffers.
    """
    kept: dict[StorageWeakRef, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        return kept.setdefault(StorageWeakRef(tensor.untyped_storage()), tensor)

    images = torch.empty(_BATCH, 1, image_size, image_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        network.train()(images)
    for own in (*network.parameters(), *network.buffers()):
        kept.pop(StorageWeakRef(own.untyped_storage()), None)
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return counter.get_total_flops() // (2 * _BATCH), size // _BATCH


def cost_table(image_size: int) -> pd.DataFrame:
    """Cost of an image by model, from shapes alone.

    Columns: model, image_size, parameters (trainable), macs, activation_mib (`image_costs`), and their macs_per_byte.
    """
    rows = []
    for model in TRUNKS:
        network = sketch(model, image_size)
        macs, activations = image_costs(network, image_size)
        rows.append((model, image_size, _size(network.parameters()), macs, activations / 2**20, macs / activations))
    return pd.DataFrame(rows, columns=["model", "image_size", "parameters", "macs", "activation_mib", "macs_per_byte"])


def _size(weights: Iterable[Tensor]) -> int:
    return sum(weight.numel() for weight in weights)


def receptive_field(trunk: nn.Module) -> tuple[int, int]:
    """Receptive field and stride, in pixels a side, of the features of `trunk`: the widest path through its layers.

    Branches that join must be centred alike. Raises ValueError for a layer that mixes all positions or is not known.
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

    The effective receptive field of Luo et al. (2016), over `draws` images of uniform noise in [0, 1] and their three
    channels; BatchNorm takes the statistics of these images, as on the first training step.
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


def block_table() -> pd.DataFrame:
    """The convolutions of the networks' blocks: model, row, layer, kernel, rate, channels_in, channels_out, parameters."""
    found = []
    for model, (_, place, rows, _) in BLOCKS.items():
        block = sketch(model, 64).trunk.get_submodule(place)
        for depth, layer in ((depth, layer) for depth, layers in enumerate(rows) for layer in layers):
            c = cast(nn.Conv2d, block.get_submodule(layer))
            size = sum(weight.numel() for weight in c.parameters())
            found.append((model, depth, layer, c.kernel_size[0], c.dilation[0], c.in_channels, c.out_channels, size))
    columns = ["model", "row", "layer", "kernel", "rate", "channels_in", "channels_out", "parameters"]
    return pd.DataFrame(found, columns=columns)


def atrous_table() -> pd.DataFrame:
    """Pixels that a 3x3 kernel reads at three rates, relative to its centre: rate, row, column."""
    read = [(rate, rate * i, rate * j) for rate, i, j in product((1, 2, 3), (-1, 0, 1), (-1, 0, 1))]
    return pd.DataFrame(read, columns=["rate", "row", "column"])


def field_table() -> pd.DataFrame:
    """Receptive field of each trunk from its layers: model, receptive field (pixels a side), stride (pixels)."""
    with torch.device("meta"):
        fields = {model: receptive_field(make()) for model, make in TRUNKS.items()}
    rows = [(name(model), size, stride) for model, (size, stride) in fields.items()]
    return pd.DataFrame(rows, columns=["model", "receptive field", "stride"])


def seen_by_acnn() -> tuple[pd.DataFrame, np.ndarray]:
    """What ACNN's centre feature can see and mostly sees, on a square input of 161 pixels a side.

    A table over the distance from the centre (distance in pixels, share of the absolute gradient within it, and
    whether any reaches it), and the effective field, float32 [161, 161], for the map.
    """
    field = effective_field(build_network("acnn", 32, seed=0).trunk, 161, draws=2)
    table = pd.DataFrame({"share within": share_within(field).numpy()}).rename_axis("distance").reset_index()
    return table.assign(reached=field[80, 80:].numpy() > 0), field.numpy()
