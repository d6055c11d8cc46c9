"""Trainable parameters by part and head, beside the three counts that section VI.B of the paper gives."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from cxrlib.networks.classifier import TRUNKS, Classifier, build_network, feature_shape
from cxrlib.networks.heads import NATIVE, default_head
from cxrlib.paper.tables import HYPERPARAMETERS

PAPER_SIZE = int(HYPERPARAMETERS["image_size"])


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
    parts: dict[str, int] = {}
    for place, layers in (("trunk", network.trunk), ("head", network.head)):
        for layer in layers.modules():
            if weights := sum(weight.numel() for weight in layer.parameters(recurse=False)):
                part = f"{place}: {_kind(layer, place)}"
                parts[part] = parts.get(part, 0) + weights
    table = pd.DataFrame({"part": list(parts), "parameters": list(parts.values())})
    return table.assign(share=table["parameters"] / table["parameters"].sum())


def _kind(layer: nn.Module, place: str) -> str:
    if isinstance(layer, nn.Conv2d):
        return "1x1 convolution" if place == "head" else "convolutions"
    return f"dense {layer.out_features}" if isinstance(layer, nn.Linear) else "BatchNorm"


def counts_by_part(image_size: int, models: Iterable[str] = tuple(TRUNKS)) -> pd.DataFrame:
    """`parameter_counts` of the models under every head they have: model, head, default (bool), part, parameters, share."""
    heads = [(m, head) for m in models for head in ("released", "native") if head == "released" or m in NATIVE]
    parts = [
        parameter_counts(sketch(model, image_size, head)).assign(
            model=model, head=head, default=head == default_head(model)
        )
        for model, head in heads
    ]
    columns = ["model", "head", "default", "part", "parameters", "share"]
    return pd.concat(parts, ignore_index=True)[columns]


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
        convolutions = [layer for layer in network.trunk.modules() if isinstance(layer, nn.Conv2d)]
        found["trunk with Keras's convolution biases"] = trunk.sum() + sum(c.out_channels for c in convolutions)
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
        _, height, width = feature_shape(model, size)
        parts = candidates(model, size)
        wanted = {name: parts[name] for name in ("head", "head without its convolution", "head: dense layers")}
        own = sum(weight.numel() for weight in sketch(model, size, "native").head.parameters())
        rows.append({"image_size": size, "map": f"{height} x {width}", "positions": height * width, **wanted})
        rows[-1]["own classifier"] = own
    return pd.DataFrame(rows)
