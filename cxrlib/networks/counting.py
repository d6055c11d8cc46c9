"""What a network is made of and what an image costs it: parameters beside the paper's counts, arithmetic, memory, time."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from cxrlib.networks.classifier import TRUNKS, Classifier, build_network, feature_shape
from cxrlib.networks.heads import NATIVE, default_head
from cxrlib.paper.tables import HYPERPARAMETERS

PAPER_SIZE = int(HYPERPARAMETERS["image_size"])
_BATCH = 2  # images whose cost is counted; BatchNorm needs more than one in training mode


class PaperCount(NamedTuple):
    """A number of trainable parameters as the paper prints it, rounded to `unit`, and the networks it may speak of."""

    what: str
    printed: int
    unit: int
    models: tuple[str, ...]


PAPER_COUNTS = (
    PaperCount("ResNet-50", 23_000_000, 1_000_000, ("resnet50",)),
    PaperCount("ACNN", 8_000_000, 1_000_000, ("acnn",)),
    PaperCount("fully connected network", 7_000, 1_000, ("resnet50", "acnn")),
)
"""Section VI.B. The third is said of the part that produces the likelihoods, whichever trunk is below it."""


def sketch(model: str, image_size: int, head: str | None = None) -> Classifier:
    """A classifier of the right shapes without storage (meta device): for counting, not for computing."""
    with torch.device("meta"):
        return build_network(model, image_size, seed=0, head=head)


def parameter_counts(network: Classifier) -> pd.DataFrame:
    """Trainable parameters of `network`, one row a part: part, parameters, share of all; BatchNorm's averages are not trained."""
    rows = []
    for place, layers in (("trunk", network.trunk), ("head", network.head)):
        for layer in layers.modules():
            kind = "BatchNorm"
            if isinstance(layer, nn.Conv2d):
                kind = "1x1 convolution" if place == "head" else "convolutions"
            elif isinstance(layer, nn.Linear):
                kind = f"dense {layer.out_features}"
            rows.append((f"{place}: {kind}", sum(weight.numel() for weight in layer.parameters(recurse=False))))
    table = pd.DataFrame(rows, columns=["part", "parameters"]).query("parameters > 0")
    table = table.groupby("part", sort=False, as_index=False).sum()
    return table.assign(share=table["parameters"] / table["parameters"].sum())


def counts_by_part(image_size: int, models: Iterable[str] = tuple(TRUNKS)) -> pd.DataFrame:
    """`parameter_counts` of the models under every head they have: model, head, default (bool), part, parameters, share."""
    tables = [
        parameter_counts(sketch(model, image_size, head)).assign(
            model=model, head=head, default=head == default_head(model)
        )
        for model in models
        for head in ("released", "native")
        if head == "released" or model in NATIVE
    ]
    return pd.concat(tables, ignore_index=True)[["model", "head", "default", "part", "parameters", "share"]]


def candidates(model: str, image_size: int = PAPER_SIZE) -> dict[str, int]:
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


def paper_counts(image_size: int = PAPER_SIZE) -> pd.DataFrame:
    """Each count of the paper beside the candidates for it, nearest first.

    Columns: paper (what), printed, model, candidate, parameters, deviation (relative to the printed count), rounds and
    truncates (whether it gives the printed count that way).
    """
    rows = []
    for what, printed, unit, models in PAPER_COUNTS:
        parts = [(model, part, n) for model in models for part, n in candidates(model, image_size).items()]
        for model, part, n in sorted(parts, key=lambda row: abs(row[2] - printed)):
            rounds, truncates = ((n + half) // unit * unit == printed for half in (unit // 2, 0))
            rows.append((what, printed, model, part, n, n / printed - 1, rounds, truncates))
    columns = ["paper", "printed", "model", "candidate", "parameters", "deviation", "rounds", "truncates"]
    return pd.DataFrame(rows, columns=columns)


def head_counts(sizes: Iterable[int], model: str = "resnet50") -> pd.DataFrame:
    """The released head on a network at several image sizes, its own classifier beside it.

    Columns: image_size, map (of the features, pixels), positions that the released head sees, and parameters of: head, head
    without its convolution, head: dense layers, own classifier.
    """
    rows = []
    for size in sizes:
        (_, height, width), parts = feature_shape(model, size), candidates(model, size)
        row = {"image_size": size, "map": f"{height} x {width}", "positions": height * width}
        row |= {name: parts[name] for name in ("head", "head without its convolution", "head: dense layers")}
        own = sum(weight.numel() for weight in sketch(model, size, "native").head.parameters())
        rows.append(row | {"own classifier": own})
    return pd.DataFrame(rows)


def multiply_accumulates(network: nn.Module, image_size: int, training: bool = False) -> int:
    """Multiply-accumulates an image of convolutions and dense layers; with `training` the backward pass as well.

    `network` may lie on the meta device: shapes suffice. Pooling, BatchNorm and activations are not counted.
    """
    with FlopCounterMode(display=False) as counter:
        logits = network.train()(_images(network, image_size))
        if training:
            logits.sum().backward()
    return counter.get_total_flops() // (2 * _BATCH)


def activation_bytes(network: nn.Module, image_size: int) -> int:
    """Bytes an image, in float32, of the tensors that the forward pass keeps for the backward pass.

    The network's own weights and buffers do not count, nor does a tensor twice that several operations keep.
    """
    own = {StorageWeakRef(tensor.untyped_storage()) for tensor in (*network.parameters(), *network.buffers())}
    held: dict[StorageWeakRef, Tensor] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = StorageWeakRef(tensor.untyped_storage())
        if storage not in own:
            held.setdefault(storage, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        logits = network.train()(_images(network, image_size))
    assert logits.requires_grad  # keeps the graph, and what it holds, until it has been counted
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values()) // _BATCH


def _images(network: nn.Module, image_size: int) -> Tensor:
    return torch.rand(_BATCH, 1, image_size, image_size, device=next(network.parameters()).device)


def cost_table(image_size: int, models: Iterable[str] = tuple(TRUNKS)) -> pd.DataFrame:
    """Cost of an image by model, from shapes alone.

    Columns: model, image_size, parameters (trainable), macs (forward), training_macs (forward and backward),
    activation_mib (kept for the backward pass, float32), macs_per_byte (of those activations: how much
    arithmetic there is to hide the traffic of memory behind).
    """
    rows = []
    for model in models:
        network = sketch(model, image_size)
        weights = sum(weight.numel() for weight in network.parameters())
        macs, activations = multiply_accumulates(network, image_size), activation_bytes(network, image_size)
        training = multiply_accumulates(network, image_size, training=True)
        rows.append((model, image_size, weights, macs, training, activations / 2**20, macs / activations))
    columns = ["model", "image_size", "parameters", "macs", "training_macs", "activation_mib", "macs_per_byte"]
    return pd.DataFrame(rows, columns=columns)


def training_speed(
    models: Iterable[str], device: torch.device, image_size: int = 64, batch_size: int = 8, budget: float = 0.5
) -> pd.DataFrame:
    """Speed of a training pass in float32 on random images, relative to the first model's: model, relative_speed.

    After a warm-up, forward and backward passes are repeated for `budget` seconds a model, and the fastest counts. Rates
    belong to a machine and an hour; their ratio is what a page can state.
    """
    seconds = pd.Series({model: _pass_seconds(model, image_size, device, batch_size, budget) for model in models})
    return (seconds.iloc[0] / seconds).rename_axis("model").reset_index(name="relative_speed")


def _pass_seconds(model: str, size: int, device: torch.device, batch_size: int, budget: float) -> float:
    network = build_network(model, size, seed=0).to(device).train()
    images = torch.rand(batch_size, 1, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    labels = (torch.arange(batch_size) % 2).to(device)
    seconds: list[float] = []
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else None):  # dropout draws
        while len(seconds) < 2 or sum(seconds[1:]) < budget:
            start = time.perf_counter()
            cross_entropy(network(images), labels).backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
            network.zero_grad()
    return min(seconds[1:])
