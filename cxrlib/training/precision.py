"""The device a run uses and its arithmetic."""

import os
from typing import Literal

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU; `CXR_DEVICE` (`cpu`, `cuda`, `cuda:1`) overrides.

    A GPU is named with its index, as the tensors on it name it: `cuda` and `cuda:0` compare unequal.
    """
    device = torch.device(os.environ.get("CXR_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device == torch.device("cuda"):
        return torch.device("cuda", torch.cuda.current_device())
    return device


def hardware_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """ "bfloat16" where the hardware multiplies it natively, else "float32": what a config's `precision = auto` becomes.

    Decided by capability and not by a timing. CPU: AVX512-BF16 or AMX. CUDA: compute capability 8 or above.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return "bfloat16" if native else "float32"


def make_deterministic() -> None:
    """Choose deterministic algorithms, so that a seed fixes the numbers on one machine.

    A CPU needs nothing. On a GPU this covers cuDNN and cuBLAS, which is tested (`make test-gpu`), not promised for every GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
