"""Lung segmentation: the U-Net finds phantoms' lungs, sees no test patient, and a run prepared with it differs."""

import numpy as np
import pytest
import torch

from cxrlib.config import RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.data.samples import prepare
from cxrlib.errors import DataError, ParameterError
from cxrlib.networks import segmentation
from cxrlib.training import runs

TINY = {"edition": "phantom", "model": "squeezenet", "pretraining": "none", "image_size": 32, "epochs": 1}


@pytest.fixture
def edition(phantom_env, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))
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


def test_it_finds_the_lungs_of_phantoms_it_has_not_seen(edition):
    found = segmentation.train_segmenter(edition, 32, epochs=12)
    assert found.held_out["dice"].mean() > 0.85
    again = segmentation.train_segmenter(edition, 32, epochs=12)
    assert again.held_out.equals(found.held_out)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    shown, lungs = found.prepare(pixels), found.lungs(pixels)
    assert (shown[~lungs] == 0).all() and (shown[lungs] == segmentation.equalised(pixels)[lungs]).all()


def test_components_of_the_test_set_are_left_out(edition, monkeypatch):
    asked = {}
    real = segmentation.train_segmenter

    def spy(edition, size, without, seed):
        asked["without"] = set(without)
        found = real(edition, size, without, seed, epochs=1)
        asked["held"] = set(found.held_out["component"])
        return found

    monkeypatch.setattr(segmentation, "train_segmenter", spy)
    samples = prepare(RunConfig.create(**TINY, beta=None, preparation="lungs"), edition)
    test = set(samples.test.table["component"])
    assert test <= asked["without"] and not test & asked["held"]


def test_too_few_masks_are_refused(edition):
    with pytest.raises(DataError, match="at least 40"):
        segmentation.train_segmenter(edition, 32, without=range(10**6))


def test_each_preparation_changes_the_pixels_and_the_key(edition):
    configs = [RunConfig.create(**TINY, beta=None, preparation=name) for name in ("minmax", "equalised")]
    plain, flat = (prepare(config, edition).train.pixels for config in configs)
    assert not np.array_equal(plain, flat)
    assert 0.45 < (flat > 127).sum() / (flat > 0).sum() < 0.55  # half of what is not darkest lies above the middle
    keys = [runs.run_key(config, runs.run_inputs(config, edition)) for config in configs]
    assert "equalised" in keys[1] and "minmax" not in keys[0] and keys[0] != keys[1]


def test_an_unknown_preparation_is_refused():
    with pytest.raises(ParameterError, match="preparation"):
        RunConfig.create(**TINY, preparation="clahe")
