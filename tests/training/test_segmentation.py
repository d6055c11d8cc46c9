"""Lung segmentation: the U-Net finds phantoms' lungs, sees no test patient, and a run prepared with it differs."""

import numpy as np
import pytest
import torch

from cxrlib.data.editions import load_edition
from cxrlib.data.selection import run_samples
from cxrlib.errors import DataError, ParameterError
from cxrlib.training import runs, segmentation
from cxrlib.training.configure import run_config

TINY = {"edition": "phantom", "model": "squeezenet", "pretraining": "none", "image_size": 32, "beta": None}


@pytest.fixture
def edition(phantom_env):
    return load_edition("phantom")


def test_dice_by_hand():
    one, two = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    one[0, :2], two[0, 1:3] = True, True  # 8 and 8 pixels, 4 shared
    assert segmentation.dice(one, two).tolist() == [0.5, 1.0]


def test_equalisation_by_hand_and_on_a_flat_image():
    image = np.array([[[10, 10, 20], [20, 30, 200]]], np.uint8)  # shares below, the darkest taken off: 0, 2/4, 3/4, 1
    assert segmentation.equalised(image).tolist() == [[[0, 0, 128], [128, 191, 255]]]
    assert (segmentation.equalised(np.full((2, 3, 3), 7, np.uint8)) == 0).all()


def test_the_network_keeps_the_shape():
    assert segmentation.UNet()(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)


@pytest.mark.slow
def test_it_finds_the_lungs_of_phantoms_it_has_not_seen(edition):
    found, again = (segmentation.train_segmenter(edition, 32, epochs=12) for _ in range(2))
    assert found.held_out["dice"].mean() > 0.85 and again.held_out.equals(found.held_out)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    shown, lungs = found.prepare(pixels), found.lungs(pixels)
    assert (shown[~lungs] == 0).all() and (shown[lungs] == segmentation.equalised(pixels)[lungs]).all()


@pytest.mark.slow
def test_components_of_the_test_set_are_left_out_and_each_preparation_changes_the_pixels(edition, monkeypatch):
    real, asked = segmentation.train_segmenter, {}

    def spy(edition, size, without, seed):
        found = real(edition, size, without, seed, epochs=1)
        asked.update(without=set(without), held=set(found.held_out["component"]))
        return found

    monkeypatch.setattr(segmentation, "train_segmenter", spy)
    configs = [run_config(**TINY, preparation=name) for name in ("minmax", "equalised", "lungs")]
    plain = run_samples(configs[0], edition)
    pixels = [runs.prepared(config, edition, plain).train.pixels for config in configs]
    assert pixels[0] is plain.train.pixels and 0.45 < (pixels[1] > 127).sum() / (pixels[1] > 0).sum() < 0.55
    assert not np.array_equal(pixels[1], pixels[2])
    test = set(plain.test.table["component"])
    assert test <= asked["without"] and not test & asked["held"]


def test_too_few_masks_and_an_unknown_preparation_are_refused(edition):
    with pytest.raises(DataError, match="at least 40"):
        segmentation.train_segmenter(edition, 32, without=range(10**6))
    with pytest.raises(ParameterError, match="preparation"):
        run_config(**TINY, preparation="clahe")
