"""The 32-fold augmentation: its count, its order and the geometry of every variant."""

import numpy as np
import pytest
import torch
from fastai.vision.core import TensorImage
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrlib.errors import DataError, ParameterError
from cxrlib.images.augmentation import (
    ANGLES,
    COPIES,
    augment,
    batch_transforms,
    draw_angles,
    rotate,
    total_angles,
    variant_table,
)


def line(size: int, degrees: float) -> np.ndarray:
    """A bright line through the centre, `degrees` counter-clockwise from the horizontal, on black; uint8."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.abs(x * np.sin(np.deg2rad(degrees)) + y * np.cos(np.deg2rad(degrees)))
    along = np.hypot(x, y) < 0.4 * size
    return np.rint(255 * np.clip(2.5 - distance, 0, 1) * along).astype(np.uint8)


def direction(image: np.ndarray) -> float:
    """Direction of a line in degrees counter-clockwise from the horizontal, in (-90, 90], by second moments."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    weight = image / image.sum()
    x, y = x - (weight * x).sum(), y - (weight * y).sum()
    return float(np.rad2deg(0.5 * np.arctan2(-2 * (weight * x * y).sum(), (weight * (x * x - y * y)).sum())))


def test_the_paper_s_992() -> None:
    """Table I: 31 images become 31 x 32 = 992."""
    images = np.random.default_rng(0).integers(0, 256, (31, 16, 16), dtype=np.uint8)
    out = augment(images, "fixed", seed=0)
    assert COPIES == 32
    assert out.shape == (992, 16, 16)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[:31], images)
    np.testing.assert_array_equal(out[31:62], images[:, :, ::-1])


def test_every_variant_is_turned_by_the_sum_of_its_angles() -> None:
    """The order: flip, then -5, -2, 1, 4, each applied to everything so far."""
    start, table = 20.0, variant_table()
    assert direction(line(128, start)) == pytest.approx(start, abs=0.1)
    out = augment(line(128, start)[None], "fixed", seed=0)
    for row in table.itertuples():
        expected = (-start if row.flipped else start) + row.angle
        assert direction(out[row.variant]) == pytest.approx(expected, abs=0.25), row.name


def test_random_angles_turn_each_image_by_its_own() -> None:
    images = np.stack([line(128, 10), line(128, 30)])
    out = augment(images, "random", seed=5)
    totals = total_angles(2, "random", seed=5)
    for k in range(COPIES):
        for i, start in enumerate((10, 30)):
            expected = (-start if k & 1 else start) + totals[k, i]
            assert direction(out[2 * k + i]) == pytest.approx(expected, abs=0.3), (k, i)
    assert np.abs(totals[2:, 0] - totals[2:, 1]).min() > 0


def test_names_and_table_of_the_variants() -> None:
    table = variant_table()
    names = table["name"].tolist()
    assert len(set(names)) == COPIES
    assert names[:3] == ["original", "flip", "-5°"]
    assert names[-1] == "flip -5° -2° +1° +4°"
    assert table["flipped"].sum() == 16
    assert table["resampled"].value_counts().to_dict() == {0: 2, 1: 8, 2: 12, 3: 8, 4: 2}
    np.testing.assert_array_equal(table["angle"], total_angles(1, "fixed", 0)[:, 0])


def test_the_released_angles_stay_in_their_ranges() -> None:
    drawn = draw_angles(400, "random", seed=1)
    for j, angle in enumerate(ANGLES):
        assert np.abs(drawn[j]).max() <= abs(angle)
        assert np.abs(drawn[j]).max() > 0.98 * abs(angle)
        assert abs(drawn[j].mean()) < 0.1 * abs(angle)  # both directions alike
        assert drawn[j].std() == pytest.approx(abs(angle) / np.sqrt(3), rel=0.05)  # uniform


def test_rotations_compound_with_their_interpolation() -> None:
    """Variant -5 -2 is the rotation of the copy rotated by -5, not one rotation by -7."""
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    out = augment(image, "fixed", seed=0).astype(float)
    once = rotate(torch.tensor(image, dtype=torch.float32), torch.tensor([-5.0]))
    twice = rotate(once, torch.tensor([-2.0]))
    direct = rotate(torch.tensor(image, dtype=torch.float32), torch.tensor([-7.0]))
    np.testing.assert_array_equal(out[6], twice[0].round())
    assert np.abs(out[6] - direct[0].numpy()).mean() > 3


def test_rotation_by_a_right_angle_is_exact() -> None:
    image = torch.arange(30.0 * 30).view(1, 30, 30)
    turned = rotate(image, torch.tensor([90.0]))
    torch.testing.assert_close(turned, torch.rot90(image, 1, (1, 2)), atol=0.05, rtol=0)


def test_rotation_keeps_angles_in_an_image_that_is_not_square() -> None:
    image = torch.tensor(line(160, 0)[40:120], dtype=torch.float32)[None]  # 80 x 160
    assert direction(rotate(image, torch.tensor([12.0]))[0].numpy()) == pytest.approx(12, abs=0.3)


def test_edges_are_repeated_where_the_image_ends() -> None:
    out = augment(np.full((1, 24, 24), 77, dtype=np.uint8), "random", seed=2)
    assert (out == 77).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 9), st.sampled_from(["fixed", "random"]), st.integers(0, 2**31 - 1))
def test_same_seed_same_copies(count: int, rotation: str, seed: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 12, 10), dtype=np.uint8)
    one, two = (augment(images, rotation, seed) for _ in range(2))
    assert one.shape == (32 * count, 12, 10)
    np.testing.assert_array_equal(one, two)


def test_the_seed_matters_only_for_random_angles() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 20), dtype=np.uint8)
    np.testing.assert_array_equal(augment(images, "fixed", 0), augment(images, "fixed", 1))
    assert (augment(images, "random", 0) != augment(images, "random", 1)).mean() > 0.5


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16), dtype=np.uint8)
    whole = augment(images, "random", 3)
    monkeypatch.setattr("cxrlib.images.augmentation._CHUNK_PIXELS", 2 * 256)
    np.testing.assert_array_equal(augment(images, "random", 3), whole)


def test_wrong_input_is_named() -> None:
    with pytest.raises(DataError, match=r"float64 \[2, 8, 8\]"):
        augment(np.zeros((2, 8, 8)), "fixed", 0)
    with pytest.raises(DataError, match="uint8 images"):
        augment(np.zeros((8, 8), dtype=np.uint8), "fixed", 0)
    with pytest.raises(ParameterError, match="choose fixed or random"):
        augment(np.zeros((1, 8, 8), dtype=np.uint8), "both", 0)
    with pytest.raises(ParameterError, match="choose none or light"):
        batch_transforms("heavy")


def test_light_batch_transforms_are_small_and_seeded() -> None:
    assert batch_transforms("none") == []
    batch = torch.tensor(np.stack([line(64, 20)] * 32) / 255.0, dtype=torch.float32)[:, None]

    def apply(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        out = TensorImage(batch.clone())
        for transform in batch_transforms("light"):
            out = transform(out, split_idx=0)
        return out.as_subclass(torch.Tensor)

    out = apply(0)
    assert out.shape == batch.shape
    torch.testing.assert_close(out, apply(0))
    assert not torch.equal(out, apply(1))
    directions = np.array([direction(np.clip(image[0].numpy() - 0.3, 0, 1)) for image in out])
    turned = np.minimum(np.abs(directions - 20), np.abs(directions + 20))  # flipped or not
    assert turned.max() < 5.5
    assert (directions < 0).any()
    assert (directions > 0).any()
