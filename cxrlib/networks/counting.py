"""Trainable parameters by part, beside the three counts that section VI.B of the paper gives."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from cxrlib.networks.classifier import TRUNKS, Classifier, build_network
from cxrlib.paper.tables import HYPERPARAMETERS

_PAPER_SIZE = int(HYPERPARAMETERS["image_size"])


@dataclass(frozen=True)
class PaperCount:
    """A number of trainable parameters as the paper prints it, rounded to `unit`."""

    what: str
    count: int
    unit: int


PAPER_COUNTS = (
    PaperCount("ResNet-50", 23_000_000, 1_000_000),
    PaperCount("ACNN", 8_000_000, 1_000_000),
    PaperCount("fully connected network", 7_000, 1_000),
)
"""Section VI.B. The third is said of the part that produces the likelihoods, whichever trunk is below it."""


def parameter_counts(network: Classifier) -> pd.DataFrame:
    """Trainable parameters of `network`, one row a part: part, parameters, share of all.

    Running averages of BatchNorm are not trained and not counted. The parts sum to the network's parameters.
    """
    parts: dict[str, int] = {}
    for name, layers in (("trunk", network.trunk), ("head", network.head)):
        for layer in layers.modules():
            own = sum(weight.numel() for weight in layer.parameters(recurse=False))
            if own:
                part = f"{name}: {_kind(layer, in_head=name == 'head')}"
                parts[part] = parts.get(part, 0) + own
    table = pd.DataFrame({"part": list(parts), "parameters": list(parts.values())})
    return table.assign(share=table["parameters"] / table["parameters"].sum())


def _kind(layer: nn.Module, in_head: bool) -> str:
    if isinstance(layer, nn.Conv2d):
        return "1x1 convolution" if in_head else "convolutions"
    if isinstance(layer, nn.Linear):
        return f"dense {layer.out_features}"
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return "BatchNorm"
    raise ValueError(f"a layer of type {type(layer).__name__} is not counted")


def sketch(model: str, image_size: int) -> Classifier:
    """A classifier of the right shapes without storage (meta device): for counting, not for computing."""
    with torch.device("meta"):
        return build_network(model, image_size, seed=0)


def counts_by_part(image_size: int, models: Iterable[str] = tuple(TRUNKS)) -> pd.DataFrame:
    """`parameter_counts` of the models at one image size: model, part, parameters, share."""
    parts = [parameter_counts(sketch(model, image_size)).assign(model=model) for model in models]
    return pd.concat(parts, ignore_index=True)[["model", "part", "parameters", "share"]]


def candidates(model: str, image_size: int = _PAPER_SIZE) -> pd.DataFrame:
    """Parts and sums of parts that a count could mean: model, candidate, parameters."""
    network = sketch(model, image_size)
    counts = parameter_counts(network).set_index("part")["parameters"]
    trunk = counts[counts.index.str.startswith("trunk")]
    head = counts[counts.index.str.startswith("head")]
    sums = {
        "trunk": trunk.sum(),
        "trunk with Keras's convolution biases": trunk.sum() + _missing_biases(network.trunk),
        "head": head.sum(),
        "head without its convolution": head.drop("head: 1x1 convolution").sum(),
        "head: dense layers": head[head.index.str.contains("dense")].sum(),
        "whole network": counts.sum(),
    }
    if model != "resnet50":
        del sums["trunk with Keras's convolution biases"]
    named = {**counts.to_dict(), **sums}
    return pd.DataFrame({"model": model, "candidate": list(named), "parameters": [int(v) for v in named.values()]})


def _missing_biases(trunk: nn.Module) -> int:
    """Parameters that a bias in every convolution without one would add; Keras's own ResNet-50 has them."""
    return sum(layer.out_channels for layer in trunk.modules() if isinstance(layer, nn.Conv2d) and layer.bias is None)


def paper_counts(image_size: int = _PAPER_SIZE) -> pd.DataFrame:
    """Each count of the paper beside the candidates for it, nearest first.

    Columns: paper (what), printed, model, candidate, parameters, deviation (relative to the printed count),
    rounds and truncates (whether it gives the printed count that way). Counts of a network are compared with that
    network's parts, the count without a network with the parts of the paper's two networks.
    """
    models = {"ResNet-50": ["resnet50"], "ACNN": ["acnn"]}
    parts = []
    for claim in PAPER_COUNTS:
        table = pd.concat([candidates(model, image_size) for model in models.get(claim.what, ["resnet50", "acnn"])])
        count = table["parameters"]
        table = table.assign(
            paper=claim.what,
            printed=claim.count,
            deviation=count / claim.count - 1,
            rounds=(count + claim.unit // 2) // claim.unit * claim.unit == claim.count,
            truncates=count // claim.unit * claim.unit == claim.count,
        )
        parts.append(table.sort_values("deviation", key=abs, kind="stable"))
    columns = ["paper", "printed", "model", "candidate", "parameters", "deviation", "rounds", "truncates"]
    return pd.concat(parts, ignore_index=True)[columns]


def head_counts(sizes: Iterable[int]) -> pd.DataFrame:
    """The head on ResNet-50 at several image sizes: image_size, positions, and the counts that 7,000 could mean."""
    rows = []
    for size in sizes:
        table = candidates("resnet50", size).set_index("candidate")["parameters"]
        wanted = {name: int(table[name]) for name in ("head", "head without its convolution", "head: dense layers")}
        first = next(layer for layer in sketch("resnet50", size).head if isinstance(layer, nn.Linear))
        rows.append({"image_size": size, "positions": first.in_features, **wanted})
    return pd.DataFrame(rows)
