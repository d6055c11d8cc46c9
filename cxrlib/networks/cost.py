"""What an image costs a network: multiply-accumulates, memory kept for the backward pass, and time."""

import time
from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from cxrlib.networks.classifier import TRUNKS, build_network
from cxrlib.networks.counting import sketch

_BATCH = 2  # BatchNorm needs more than one image in training mode


def multiply_accumulates(network: nn.Module, image_size: int, training: bool = False) -> int:
    """Multiply-accumulates an image of convolutions and dense layers; with `training` the backward pass as well.

    `network` may lie on the meta device: shapes suffice. Pooling, BatchNorm and activations are not counted.
    """
    device = next(network.parameters()).device
    images = torch.rand(_BATCH, 1, image_size, image_size, device=device)
    with FlopCounterMode(display=False) as counter:
        logits = network.train()(images)
        if training:
            logits.sum().backward()
    return counter.get_total_flops() // (2 * _BATCH)


def activation_bytes(network: nn.Module, image_size: int) -> int:
    """Bytes an image, in float32, of the tensors that the forward pass keeps for the backward pass.

    The network's own weights and buffers do not count, nor does a tensor twice that several operations keep.
    """
    own = {StorageWeakRef(tensor.untyped_storage()) for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[StorageWeakRef, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = StorageWeakRef(tensor.untyped_storage())
        if storage not in own:
            kept.setdefault(storage, tensor)
        return tensor

    device = next(network.parameters()).device
    images = torch.rand(_BATCH, 1, image_size, image_size, device=device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.train()(images)
    assert logits.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) // _BATCH


def cost_table(image_size: int, models: Iterable[str] = tuple(TRUNKS)) -> pd.DataFrame:
    """Cost of an image by model, from shapes alone.

    Columns: model, image_size, parameters (trainable), macs (forward), training_macs (forward and backward),
    activation_mib (kept for the backward pass, float32), macs_per_byte (of those activations: how much
    arithmetic there is to hide the traffic of memory behind).
    """
    rows = []
    for model in models:
        network = sketch(model, image_size)
        macs, activations = multiply_accumulates(network, image_size), activation_bytes(network, image_size)
        rows.append(
            {
                "model": model,
                "image_size": image_size,
                "parameters": sum(weight.numel() for weight in network.parameters()),
                "macs": macs,
                "training_macs": multiply_accumulates(network, image_size, training=True),
                "activation_mib": activations / 2**20,
                "macs_per_byte": macs / activations,
            }
        )
    return pd.DataFrame(rows)


def training_speed(
    models: Iterable[str], device: torch.device, image_size: int = 64, batch_size: int = 8, budget: float = 0.5
) -> pd.DataFrame:
    """Speed of a training pass in float32 on random images, relative to the first model's: model, relative_speed.

    After a warm-up, forward and backward passes are repeated for `budget` seconds a model, and the fastest counts. Rates
    belong to a machine and an hour; their ratio is what a page can state.
    """
    seconds = [_pass_seconds(model, image_size, device, batch_size, budget) for model in models]
    return pd.DataFrame({"model": list(models), "relative_speed": [seconds[0] / one for one in seconds]})


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
