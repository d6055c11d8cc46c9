"""The CUDA path without a GPU: fake tensors have CUDA's devices, shapes and dtypes, and no numbers."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cxrlib.config import MODELS
from cxrlib.networks.counting import sketch
from cxrlib.networks.heads import NATIVE
from cxrlib.training.loaders import ArrayLoader

CELLS = [(model, head) for model in MODELS for head in ("released", "native") if head == "released" or model in NATIVE]


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """Fake tensors, memory that is free without end, and pinning that refuses what CUDA refuses: a tensor on the GPU."""

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_cuda:
            raise RuntimeError("cannot pin 'torch.cuda.ByteTensor' only dense CPU tensors can be pinned")
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (2**50, 2**50))
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
@pytest.mark.parametrize("resident", [True, False])
def test_batches_reach_the_gpu_whether_the_images_lie_there_or_not(fake_cuda, monkeypatch, name, resident):
    """A tensor on the GPU says `cuda:0` and compares unequal to `cuda`: the loader must not compare them."""
    if not resident:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (0, 2**50))
    images, labels = np.zeros((40, 32, 32), np.uint8), np.arange(40) % 2
    with fake_cuda:
        loader = ArrayLoader(images, labels, bs=16, shuffle=False, device=name)
        batches = [*loader, loader.one_batch()]
    assert loader.images.is_cuda == loader.labels.is_cuda == resident
    for x, y in batches:
        assert (str(x.device), x.dtype, x.shape[1:]) == ("cuda:0", torch.float32, (1, 32, 32))
        assert (str(y.device), y.dtype) == ("cuda:0", torch.int64)


@pytest.mark.parametrize(("model", "head"), CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_network_computes_on_the_gpu_and_gives_float32_logits(fake_cuda, model, head, dtype):
    network, seen = sketch(model, 64, head), []  # on the meta device: no weight is drawn
    network.dtype = dtype
    network.head.register_forward_pre_hook(lambda _module, given: seen.append(given[0].dtype))
    with fake_cuda:
        network = network.to_empty(device="cuda:0").eval()
        logits = network(torch.empty(4, 1, 64, 64, device="cuda:0"))
    assert (str(logits.device), logits.dtype, tuple(logits.shape)) == ("cuda:0", torch.float32, (4, 2))
    assert seen == [torch.float32]
