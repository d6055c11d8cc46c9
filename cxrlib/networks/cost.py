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


def timing_table(
    sizes: Iterable[int],
    device: torch.device,
    models: Iterable[str] = tuple(TRUNKS),
    batch_size: int = 4,
    budget: float = 1.0,
) -> pd.DataFrame:
    """Images a second of forward and backward pass in float32 on `device`; random images, nothing is trained.

    After a warm-up, passes are repeated for `budget` seconds a model and size, and the fastest counts. Columns:
    model, image_size, batch_size, passes, seconds (a batch), images_per_second, gmacs_per_second (the
    arithmetic reached).
    """
    rows = []
    for size in sizes:
        for model in models:
            seconds = _pass_seconds(model, size, device, batch_size, budget)
            rate = batch_size / min(seconds)
            macs = multiply_accumulates(sketch(model, size), size, training=True)
            rows.append((model, size, batch_size, len(seconds), min(seconds), rate, rate * macs / 1e9))
    columns = ["model", "image_size", "batch_size", "passes", "seconds", "images_per_second", "gmacs_per_second"]
    return pd.DataFrame(rows, columns=columns)


def _pass_seconds(model: str, size: int, device: torch.device, batch_size: int, budget: float) -> list[float]:
    network = build_network(model, size, seed=0).to(device).train()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, 1, size, size, generator=generator).to(device)
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
    return seconds[1:]
