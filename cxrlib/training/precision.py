"""The device a run uses and its arithmetic: mixed precision where the hardware has it.

fastai switches autocast off without CUDA, so one small callback of our own serves both devices.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from fastai.callback.core import Callback
from torch import nn


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU; `CXR_DEVICE` (`cpu`, `cuda`, `cuda:1`) overrides."""
    name = os.environ.get("CXR_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32.

    Decided by capability and not by a timing, so that the same machine always computes the same numbers;
    `python -m cxrlib bench` prints what either costs. CPU: AVX512-BF16 or AMX. CUDA: compute capability 8 or above.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if native else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """A context in which convolutions and products run in `dtype`; nothing to do for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def make_deterministic() -> None:
    """Choose deterministic algorithms on a GPU, so that a seed fixes the numbers; a CPU needs nothing."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class Autocast(nn.Module):
    """`network` run under autocast; takes float32 images and returns float32 logits.

    The loss therefore always sees float32, whatever the convolutions used.
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.device, self.dtype = network, device, dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with autocast(self.device, self.dtype):
            logits = self.network(images)
        return logits.float()


class ChannelsLast(Callback):
    """Lay the images out with channels last, as the network's weights are."""

    def before_batch(self) -> None:
        """Convert the batch (fastai calls it)."""
        self.learn.xb = tuple(x.contiguous(memory_format=torch.channels_last) for x in self.xb)
