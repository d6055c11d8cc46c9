"""From a cohort to arrays: splits keep what their protocol promises."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.data.samples import Samples, augment_positives, subsample, train_valid_split
from tests.builders import make_config


def _samples(positives: int = 30, negatives: int = 170, per_patient: int = 2) -> Samples:
    n = positives + negatives
    pixels = np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8)
    labels = np.r_[np.ones(positives, np.int64), np.zeros(negatives, np.int64)]
    table = pd.DataFrame(
        {"image_id": [f"i{k}" for k in range(n)], "component": np.arange(n) // per_patient, "variant": 0}
    )
    return Samples(pixels, labels, table)


def test_clean_split_keeps_components_whole_and_the_class_share():
    train, valid = train_valid_split(_samples(), make_config(protocol="clean", draw_seed=3), augmented=False)
    assert not set(train.table["component"]) & set(valid.table["component"])
    assert len(train) + len(valid) == 200
    assert abs(valid.labels.mean() - 0.15) < 0.06


def test_clean_split_augments_training_only():
    train, valid = train_valid_split(_samples(), make_config(protocol="clean", draw_seed=0), augmented=True)
    assert valid.table["variant"].eq(0).all()
    assert train.table["variant"].max() == 31
    assert not set(train.table["image_id"]) & set(valid.table["image_id"])


def test_released_split_lets_copies_of_one_image_fall_on_both_sides():
    train, valid = train_valid_split(_samples(), make_config(protocol="released", draw_seed=0), augmented=True)
    assert len(train) + len(valid) == 30 * 32 + 170
    shared = set(train.table.loc[train.labels == 1, "image_id"]) & set(valid.table.loc[valid.labels == 1, "image_id"])
    assert len(shared) > 25


def test_documented_seed_ignores_the_runs_seed_and_run_seed_does_not():
    released = [
        train_valid_split(_samples(), make_config(protocol="released", draw_seed=seed), augmented=False)[1]
        .table["image_id"]
        .tolist()
        for seed in (0, 1)
    ]
    assert released[0] == released[1]
    paper = [
        train_valid_split(_samples(), make_config(protocol="paper", draw_seed=seed), augmented=False)[1]
        .table["image_id"]
        .tolist()
        for seed in (0, 1)
    ]
    assert paper[0] != paper[1]


@pytest.mark.parametrize("order", ["after", "before"])
def test_every_original_image_is_in_exactly_one_part_when_split_by_patient(order):
    train, valid = train_valid_split(_samples(), make_config(protocol=f"clean+split_order={order}"), augmented=True)
    assert set(train.table["image_id"]) | set(valid.table["image_id"]) == set(_samples().table["image_id"])
    assert not set(train.table["image_id"]) & set(valid.table["image_id"])


def test_augmented_positives_are_thirty_two_times_as_many_and_stay_positive():
    out = augment_positives(_samples(positives=31, negatives=9), "fixed", seed=0)
    assert out.counts() == {"covid": 992, "non_covid": 9}
    assert out.table["image_id"].nunique() == 40


def test_a_subsample_is_stratified_and_deterministic():
    small = subsample(_samples(), 100, seed=1)
    assert small.counts() == {"covid": 15, "non_covid": 85}
    assert small.table.equals(subsample(_samples(), 100, seed=1).table)
    assert subsample(_samples(), None, seed=1).table.equals(_samples().table)
