"""Memory that a step frees stays with the process."""

import os
import platform
import subprocess
import sys

import pytest

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
