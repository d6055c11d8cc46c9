"""The building blocks of the three networks, drawn from the modules themselves (Fig. 2 of the paper among them)."""

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import fx, nn

from cxrlib.figures.style import PALETTE
from cxrlib.networks.counting import sketch

INPUT, SUM, CONCATENATION = "input", "sum", "concatenation"
TITLES = {
    "resnet50": "ResNet-50: residual block",
    "squeezenet": "SqueezeNet: fire module",
    "acnn": "ACNN: atrous block",
}
_MERGES = {SUM: "+", CONCATENATION: "∪"}
_WIDTH, _HEIGHT, _STEP = 2.0, 0.62, 1.0  # of a box, and from one depth to the next


@dataclass
class _Step:
    operation: str
    reads: list[int]
    depth: int
    details: dict[str, Any] = field(default_factory=dict)
    then: list[str] = field(default_factory=list)


def block_of(model: str) -> nn.Module:
    """The block that a model repeats, on the meta device: one that keeps the shape of its input where there is one."""
    trunk = sketch(model, 64).trunk
    place = {"resnet50": "layer1.1", "squeezenet": "4", "acnn": "0.residual"}[model]
    return trunk.get_submodule(place if model != "acnn" else "0")


def block_table(model: str) -> pd.DataFrame:
    """The operations of a model's block in the order of its graph.

    Columns: model, step, operation (input, convolution, sum, concatenation), reads (steps), depth, kernel, rate,
    channels_in, channels_out, parameters (with those of the BatchNorm that follows), then (what follows at once).
    """
    rows = [
        {
            "model": model,
            "step": number,
            "operation": step.operation,
            "reads": " ".join(map(str, step.reads)),
            "depth": step.depth,
            **{name: step.details.get(name) for name in ("kernel", "rate", "channels_in", "channels_out")},
            "parameters": step.details.get("parameters", 0),
            "then": ", ".join(step.then),
        }
        for number, step in enumerate(_steps(block_of(model)))
    ]
    integers = dict.fromkeys(("kernel", "rate", "channels_in", "channels_out"), "Int64")
    return pd.DataFrame(rows).astype(integers)


def all_blocks() -> pd.DataFrame:
    """`block_table` of the three networks, one below the other."""
    return pd.concat([block_table(model) for model in TITLES], ignore_index=True)


def _steps(block: nn.Module) -> list[_Step]:
    """The block's graph with BatchNorm and activations folded into the step that they follow."""
    graph = fx.symbolic_trace(block)
    layers = dict(graph.named_modules())
    steps: list[_Step] = []
    of_node: dict[fx.Node, int] = {}
    for node in graph.graph.nodes:
        reads = [of_node[source] for source in node.all_input_nodes]
        layer = layers.get(node.target) if node.op == "call_module" else None
        if node.op == "output":
            break
        if layer is not None and not isinstance(layer, nn.Conv2d):
            step = steps[reads[0]]
            step.then.append(type(layer).__name__.removesuffix("2d"))
            step.details["parameters"] = step.details.get("parameters", 0) + _count(layer)
            of_node[node] = reads[0]
            continue
        depth = 1 + max((steps[number].depth for number in reads), default=-1)
        steps.append(_Step(_operation(node, layer), reads, depth, _convolution(layer)))
        of_node[node] = len(steps) - 1
    return steps


def _operation(node: fx.Node, layer: nn.Module | None) -> str:
    if node.op == "placeholder":
        return INPUT
    if layer is not None:
        return "convolution"
    return CONCATENATION if getattr(node.target, "__name__", "") == "cat" else SUM


def _convolution(layer: nn.Module | None) -> dict[str, Any]:
    if not isinstance(layer, nn.Conv2d):
        return {}
    return {
        "kernel": layer.kernel_size[0],
        "rate": layer.dilation[0],
        "channels_in": layer.in_channels,
        "channels_out": layer.out_channels,
        "parameters": _count(layer),
    }


def _count(layer: nn.Module) -> int:
    return sum(weight.numel() for weight in layer.parameters())


def plot_blocks(table: pd.DataFrame) -> Figure:
    """The blocks of `block_table`, one panel a model: convolutions as boxes, sums and concatenations as circles."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(1, len(models), figsize=(3.4 * len(models), 5.4), layout="constrained")
    deepest = table["depth"].max()
    for axis, model in zip(axes if len(models) > 1 else [axes], models, strict=True):
        _draw(axis, table[table["model"] == model].set_index("step"))
        axis.set_title(TITLES[model], loc="center", fontsize="medium")
        axis.set(xlim=(-2.35, 2.35), ylim=(-(deepest + 1.0) * _STEP, 0.5), aspect="equal")
        axis.axis("off")
    return figure


def _draw(axis: Axes, steps: pd.DataFrame) -> None:
    places = {}
    for depth, group in steps.groupby("depth"):
        for place, number in enumerate(group.index):
            x = (place - (len(group) - 1) / 2) * (_WIDTH + 0.25)
            places[number] = (x, -int(depth) * _STEP)
    for number, step in steps.iterrows():
        for source in map(int, str(step["reads"]).split()):
            _connect(axis, steps.loc[source], places[source], step, places[number])
        _node(axis, step, places[number])
    last = steps.iloc[-1]
    x, y = places[steps.index[-1]]
    _arrow(axis, (x, y - 0.2), (x, y - 0.75))
    activation = f"{last['then']}\n" if last["then"] else ""
    residual = last["operation"] == SUM
    axis.text(x + 0.12, y - 0.5, activation + ("$H(x) = F(x) + x$" if residual else ""), fontsize="small", va="center")
    if residual:
        axis.text(-1.3, (places[1][1] + places[steps.index[-2]][1]) / 2, "$F(x)$", ha="right", va="center")


def _node(axis: Axes, step: pd.Series, place: tuple[float, float]) -> None:
    x, y = place
    if step["operation"] == INPUT:
        axis.text(x, y, "$x$", ha="center", va="center")
    elif step["operation"] in _MERGES:
        circle = plt.Circle((x, y), 0.2, facecolor="white", edgecolor="black", zorder=3)
        axis.add_patch(circle)
        axis.text(x, y, _MERGES[step["operation"]], ha="center", va="center", zorder=4)
    else:
        colour = PALETTE["sky"] if step["rate"] == 1 else PALETTE["orange"]
        corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
        style = "round,pad=0,rounding_size=0.08"
        axis.add_patch(
            FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle=style, facecolor=(*colour, 0.35), edgecolor="black")
        )
        rate = f", rate {step['rate']}" if step["rate"] > 1 else ""
        text = f"{step['kernel']}×{step['kernel']}{rate}, {step['channels_in']} → {step['channels_out']}"
        axis.text(x, y, f"{text}\n{step['then']}", ha="center", va="center", fontsize="x-small")


def _connect(
    axis: Axes, source: pd.Series, start: tuple[float, float], target: pd.Series, end: tuple[float, float]
) -> None:
    if target["depth"] - source["depth"] > 1:  # around the steps between
        side = _WIDTH / 2 + 0.45
        below = start[1] - 0.15
        axis.plot([start[0] + 0.15, side, side], [start[1], start[1], end[1]], color="black", linewidth=1.2)
        _arrow(axis, (side, end[1]), (end[0] + 0.2, end[1]))
        axis.text(side + 0.1, (below + end[1]) / 2, "$x$", va="center")
        return
    reach = {INPUT: 0.15, SUM: 0.2, CONCATENATION: 0.2}
    leave, enter = reach.get(source["operation"], _HEIGHT / 2), reach.get(target["operation"], _HEIGHT / 2)
    _arrow(axis, (start[0], start[1] - leave), (end[0] + 0.3 * (start[0] - end[0]) * (enter < 0.3), end[1] + enter))


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)
