"""fastai `DataLoaders` whose batches come whole from a uint8 array: no Python per image, no worker processes."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.vision.core import TensorImage

from cxrlib.errors import DataError
from cxrlib.images.augmentation import batch_transforms

RESIDENT_SHARE = 0.25  # of a GPU's free memory that the images may fill; beyond it they stay on the host


class ArrayLoader(DataLoader):
    """Batches (images float32 [B, 1, S, S] in [0, 1], labels int64 [B]) on a device, channels last, from uint8 [N, S, S].

    A frozen trunk's features, floating-point [N, C, H, W], come as float32 [B, C, H, W] instead. Without labels a batch is
    (images,). uint8 travels, the conversion to float happens on the device; on a GPU with room for them all images move
    there once. Shuffled, epoch e has the order that `seed` and e fix; `one_batch` does not advance e. A last batch of a single
    image, on which batch normalisation fails, joins the batch before it, so no image is left out. With `weights` [N], the
    chance of each image, a shuffled epoch is N images drawn with replacement. Raises DataError for another dtype or shape.
    """

    n_inp = 1

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        bs: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        transforms: Sequence[Any] = (),
        weights: np.ndarray | None = None,
    ) -> None:
        pixels = images.dtype == np.uint8 and images.ndim == 3
        if not (pixels or (np.issubdtype(images.dtype, np.floating) and images.ndim == 4)) or len(images) == 0:
            raise DataError(f"a loader takes uint8 images [N, S, S], N > 0, not {images.dtype} {list(images.shape)}.")
        for name, given in (("labels", labels), ("weights", weights)):
            if given is not None and np.shape(given) != (len(images),):
                raise DataError(f"there are {len(images)} images but {name} of shape {list(np.shape(given))}.")
        super().__init__(dataset=range(len(images)), bs=bs, num_workers=0, device=torch.device(device))
        self.shuffle, self.seed, self.epoch, self.transforms = shuffle, seed, 0, transforms
        with warnings.catch_warnings():  # nothing ever writes to the tensor, so a read-only map serves
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.images = torch.from_numpy(np.ascontiguousarray(images))
        self.labels = None if labels is None else torch.as_tensor(labels, dtype=torch.int64)
        self.weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self._sizes())

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        order = self.order(self.epoch)
        self.epoch += 1
        self._place()
        for index in order.to(self.images.device).split(self._sizes()):
            yield self._batch(index)

    def order(self, epoch: int) -> torch.Tensor:
        """Order of the images in an epoch (from 0): int64 [N], a permutation if shuffled, drawn anew if weighted."""
        if not self.shuffle:
            return torch.arange(self.n)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        if self.weights is not None:
            return torch.multinomial(self.weights, self.n, replacement=True, generator=generator)
        return torch.randperm(self.n, generator=generator)

    def one_batch(self) -> tuple[torch.Tensor, ...]:
        """The first batch of the coming epoch, without beginning it."""
        self._place()
        return self._batch(self.order(self.epoch)[: self._sizes()[0]].to(self.images.device))

    def _sizes(self) -> list[int]:
        whole, rest = divmod(self.n, self.bs)
        sizes = [self.bs] * whole + [rest] * (rest > 0)
        if rest == 1 and whole > 0 and self.bs > 1:
            sizes[-2:] = [self.bs + 1]
        return sizes

    def _batch(self, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        images = self._to_device(self.images[index])
        images = images.unsqueeze(1).div(255.0) if images.dtype == torch.uint8 else images.to(torch.float32)
        if self.transforms:
            for transform in self.transforms:
                images = transform(TensorImage(images), split_idx=0)
            images = images.as_subclass(torch.Tensor).clamp_(0.0, 1.0)
        images = images.contiguous(memory_format=torch.channels_last)
        if self.labels is None:
            return (images,)
        return images, self._to_device(self.labels[index])

    def _to_device(self, part: torch.Tensor) -> torch.Tensor:
        """`part` on the loader's device; only a tensor in host memory can be pinned, and only a GPU gains by it."""
        if part.is_cuda or self.device.type == "cpu":
            return part.to(self.device)
        return part.pin_memory().to(self.device, non_blocking=True)

    def _place(self) -> None:
        """Move all images and labels to the loader's GPU if they are not there and there is room."""
        if self.device.type != "cuda" or self.images.is_cuda:
            return
        free, _ = torch.cuda.mem_get_info(self.device)
        if self.images.nbytes <= RESIDENT_SHARE * free:
            self.images = self.images.to(self.device)
            self.labels = None if self.labels is None else self.labels.to(self.device)


def make_loaders(
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    batch_size: int,
    device: torch.device | str,
    seed: int,
    batch_augmentation: str = "none",
    weights: np.ndarray | None = None,
) -> DataLoaders:
    """Training (shuffled from `seed`, augmented if asked) and validation loaders for a `Learner`.

    `train`, `valid`: images uint8 [N, S, S] and labels [N]; see `ArrayLoader` for the batches and the errors, and
    `augmentation.batch_transforms` for what `batch_augmentation` may be. `weights` [N] re-samples the training images.
    """
    transforms = batch_transforms(batch_augmentation)
    shuffled = ArrayLoader(*train, batch_size, True, seed, device, transforms, weights)
    return DataLoaders(shuffled, ArrayLoader(*valid, 2 * batch_size, device=device), device=torch.device(device))
