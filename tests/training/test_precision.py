"""A GPU has an index, float32 is no TF32, and memory that a step frees stays with the process."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from cxrlib.training.precision import best_device, make_deterministic

FAULTS = """
import resource, sys
import torch
from cxrlib.training.precision import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    return [torch.zeros(2**18) for _ in range(64)]  # 64 MiB, freed when the next step has begun
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives the memory back between steps")
def test_pages_are_not_mapped_anew_at_each_step():
    # a low threshold makes sure that the allocator gives the blocks back; by default that depends on where they lie
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "131072"}

    def pages(kind):
        return int(subprocess.check_output([sys.executable, "-c", FAULTS, kind], env=environment, text=True))

    assert pages("default") > 20 * max(pages("kept"), 100)


@pytest.mark.parametrize(
    ("asked", "expected"), [("", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")]
)
def test_a_gpu_is_named_with_its_index(monkeypatch, asked, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setenv("CXR_DEVICE", asked)
    assert str(best_device()) == expected


def test_float32_is_not_computed_in_tf32():
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    make_deterministic()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
