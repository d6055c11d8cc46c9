"""Batches from the uint8 array: complete, seeded, fast, and what a fastai Learner needs."""

import time

import fastai.callback.progress  # noqa: F401  # gives Learner its no_bar
import numpy as np
import pytest
import torch
from fastai.learner import Learner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cxrlib.errors import DataError, ParameterError
from cxrlib.training.loaders import ArrayLoader, make_loaders

RNG = np.random.default_rng(0)


def numbered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose grey level is their number, labels that are the number's parity."""
    number = np.arange(count)
    return np.broadcast_to(number.astype(np.uint8)[:, None, None], (count, 4, 4)).copy(), number % 2


def order_of(loader: ArrayLoader) -> list[int]:
    return [round(float(value) * 255) for images, *_ in loader for value in images[:, 0, 0, 0]]


def test_a_batch_is_float_on_the_device_and_keeps_its_labels() -> None:
    images, labels = numbered(200)
    for x, y in ArrayLoader(images, labels, bs=64, shuffle=True, seed=1):
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert x.shape[1:] == (1, 4, 4)
        assert type(x) is torch.Tensor
        number = (x[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(number % 2, y)
        assert torch.equal(x, (number.float() / 255)[:, None, None, None].expand_as(x))


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 255), st.integers(1, 64), st.booleans())
def test_every_image_comes_once_and_never_alone(count: int, bs: int, shuffle: bool) -> None:
    images, labels = numbered(count)
    loader = ArrayLoader(images, labels, bs=bs, shuffle=shuffle)
    sizes = [len(y) for _, y in loader]
    assert sorted(order_of(loader)) == list(range(count))
    assert len(loader) == len(sizes)
    assert max(sizes) <= bs + 1
    if count > 1 and bs > 1:
        assert min(sizes) > 1  # batch normalisation cannot train on one image


def test_same_seed_same_order_and_every_epoch_another() -> None:
    images, labels = numbered(100)
    one, two = (ArrayLoader(images, labels, 16, shuffle=True, seed=7) for _ in range(2))
    first, second = order_of(one), order_of(one)
    assert (first, second) == (order_of(two), order_of(two))
    assert first != second
    assert first != order_of(ArrayLoader(images, labels, 16, shuffle=True, seed=8))
    assert order_of(ArrayLoader(images, labels, 16)) == list(range(100))


def test_the_order_is_independent_of_global_generators_and_of_one_batch() -> None:
    images, labels = numbered(100)
    loader, other = (ArrayLoader(images, labels, 16, shuffle=True, seed=7) for _ in range(2))
    expected = order_of(other)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    peek = loader.one_batch()[0]
    assert order_of(loader) == expected and (peek[:, 0, 0, 0] * 255).round().tolist() == expected[:16]
    assert torch.equal(torch.get_rng_state(), state)


def test_prediction_batches_carry_images_only() -> None:
    images, _ = numbered(33)
    loader = ArrayLoader(images, None, 16)
    assert all(len(batch) == 1 for batch in loader)
    assert order_of(loader) == list(range(33))


def test_a_read_only_memory_map_serves_and_stays_as_it_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    images, labels = numbered(20)
    np.save(tmp_path / "pixels.npy", images)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    for x, _ in ArrayLoader(mapped, labels, 7):
        x.zero_()
    np.testing.assert_array_equal(mapped, images)


def test_wrong_arrays_are_named() -> None:
    images, labels = numbered(10)
    for x, y, message in (
        (images.astype(np.float32), labels, r"uint8 images .* not float32 \[10, 4, 4\]"),
        (images[:0], labels[:0], "N > 0"),
        (images[:, 0], labels, r"\[10, 4\]"),
        (images, labels[:9], r"10 images but labels of shape \[9\]"),
    ):
        with pytest.raises(DataError, match=message):
            ArrayLoader(x, y)
    with pytest.raises(ParameterError, match="batch_augmentation"):
        make_loaders((images, labels), (images, labels), 4, "cpu", 0, "strong")


def tiny_fit(augmentation: str = "none", seed: int = 3) -> list[list[float]]:
    images = np.random.default_rng(1).integers(0, 256, (65, 16, 16), dtype=np.uint8)
    labels = (images.mean(axis=(1, 2)) > np.median(images.mean(axis=(1, 2)))).astype(int)
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    loaders = make_loaders((images, labels), (images[:20], labels[:20]), 16, "cpu", seed, augmentation)
    learner = Learner(loaders, network, loss_func=nn.CrossEntropyLoss(), lr=1e-3)
    with learner.no_bar(), learner.no_logging():
        learner.fit(3)
    return [[float(value) for value in row] for row in learner.recorder.values]


@pytest.mark.parametrize("augmentation", ["none", "light"])
def test_a_learner_fits_and_repeats_itself(augmentation: str) -> None:
    """65 images in batches of 16 leave one over, which batch normalisation could not train on alone."""
    first = tiny_fit(augmentation)
    assert len(first) == 3
    assert np.isfinite(first).all()
    assert first == tiny_fit(augmentation)
    assert first != tiny_fit(augmentation, seed=4)


def test_light_augmentation_changes_the_training_images_alone() -> None:
    images = RNG.integers(0, 256, (32, 16, 16), dtype=np.uint8)
    labels = np.zeros(32, dtype=int)
    loaders = make_loaders((images, labels), (images, labels), 32, "cpu", 0, "light")
    (x, _), (valid, _) = loaders.train.one_batch(), loaders.valid.one_batch()
    plain = torch.tensor(images, dtype=torch.float32)[:, None] / 255
    assert torch.equal(valid, plain)
    assert not torch.equal(x, plain[loaders.train.order(0)])
    assert 0 <= float(x.min()) <= float(x.max()) <= 1


def test_batches_are_far_faster_than_training() -> None:
    """More than 5,000 images of 64 x 64 a second, ten times what the fastest network trains; other processes may run."""
    images = RNG.integers(0, 256, (4096, 64, 64), dtype=np.uint8)
    loader = ArrayLoader(images, np.zeros(4096, dtype=int), 64, shuffle=True)
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        count = sum(len(y) for _, y in loader)
        rates.append(count / (time.perf_counter() - start))
    assert max(rates) > 5_000


def test_weights_draw_an_epoch_anew_with_their_chances():
    labels = np.r_[np.ones(50, int), np.zeros(950, int)]
    images = np.zeros((1000, 4, 4), np.uint8)
    weights = np.where(labels == 1, 10.0, 10.0 / 19)
    loader = ArrayLoader(images, labels, 100, shuffle=True, seed=3, weights=weights)
    drawn = [np.concatenate([y.numpy() for _, y in loader]) for _ in range(2)]
    assert all(len(epoch) == 1000 and 0.44 < epoch.mean() < 0.56 for epoch in drawn)
    assert not np.array_equal(*drawn)
    again = ArrayLoader(images, labels, 100, shuffle=True, seed=3, weights=weights)
    assert torch.equal(again.order(0), loader.order(0)) and not torch.equal(again.order(0), loader.order(1))
    with pytest.raises(DataError, match="weights of shape"):
        ArrayLoader(images, labels, 100, weights=weights[:5])
