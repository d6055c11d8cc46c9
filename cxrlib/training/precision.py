"""The device a run uses and its arithmetic."""

import ctypes
import os
from typing import Literal

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU; `CXR_DEVICE` (`cpu`, `cuda`, `cuda:1`) overrides.

    A GPU is named with its index, as the tensors on it name it: `cuda` and `cuda:0` compare unequal.
    """
    device = torch.device(os.environ.get("CXR_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def hardware_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """ "bfloat16" where the hardware multiplies it natively, else "float32": what a config's `precision = auto` becomes.

    Decided by capability and not by a timing. CPU: AVX512-BF16 or AMX. CUDA: compute capability 8 or above.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
    return "bfloat16" if native else "float32"


def make_deterministic() -> None:
    """Choose deterministic algorithms, so that a seed fixes the numbers on one machine, and keep float32 free of TF32.

    A CPU needs nothing. On a GPU this covers cuDNN and cuBLAS, not VGG-19's adaptive pooling; `make test-gpu` checks the rest.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def keep_freed_memory() -> None:
    """Let this process keep the memory that a training step frees, for the next step; only glibc's allocator needs to be told.

    By default it returns the gradients' memory to the system after each step, which then maps every page anew: 5 % of a
    step of ResNet-50 at 64 px. Blocks up to 32 MiB, glibc's most, stay up to 1 GiB in all.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # macOS has none
    mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD in <malloc.h>
    mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
