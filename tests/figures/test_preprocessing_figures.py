"""Data of the preprocessing chapter's figures, on a tiny edition of six images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxrlib.figures import preprocessing, throughput
from cxrlib.images.store import ImageStore, open_store

LICENCES = ["CC BY 4.0", "CC BY-NC-ND 4.0", "not stated", "CC0", "CC BY-SA", "CC BY 3.0"]


@pytest.fixture
def edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two COVID and two non-COVID X-rays, a CT slice in a dark surround and a truncated file."""
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))
    rng, paths = np.random.default_rng(0), []
    for k in range(6):
        image = rng.integers(20, 200, (40, 30 + 4 * k), dtype=np.uint8)
        if k == 4:
            image[:6] = image[-6:] = image[:, :6] = image[:, -6:] = 20
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(image).save(paths[-1])
    Path(paths[5]).write_bytes(Path(paths[5]).read_bytes()[:200])
    images = pd.DataFrame(
        {
            "image_id": [f"toy/{k}" for k in range(6)],
            "path": paths,
            "sha256": None,
            "collection": "toy",
            "source": ["a", "a", "b", "b", "a", "a"],
            "label": ["covid", "covid", "non_covid", "non_covid", "covid", "covid"],
            "modality": ["X-ray"] * 4 + ["CT", "X-ray"],
            "licence": LICENCES,
        }
    )
    excluded = pd.DataFrame({"image_id": ["toy/l"], "collection": ["toy"], "reason": ["lateral view"]})
    return SimpleNamespace(images=images, excluded=excluded)


@pytest.fixture
def store(edition: Any) -> ImageStore:
    return open_store(edition.images, 32)


@pytest.fixture(autouse=True)
def _close_figures() -> Any:
    yield
    plt.close("all")


def test_examples_are_x_rays_whose_licence_allows_it(edition: Any, store: ImageStore) -> None:
    picked = preprocessing.pick_examples(edition, store, per_class=2, seed=0)
    assert picked["image_id"].tolist() == ["toy/0", "toy/3"]
    edition.images["licence"] = "not stated"  # where nothing may be shown for certain, the user's own copies serve
    assert len(preprocessing.pick_examples(edition, store, per_class=2, seed=0)) == 4


def test_step_table_follows_an_image(edition: Any, store: ImageStore) -> None:
    table = preprocessing.step_table(edition.images.head(2), 32)
    assert table["step"].tolist() == ["decoded", "min-max", "resized"] * 2
    scaled = table[table["step"] == "min-max"]
    assert (scaled["min"] == 0).all()
    assert (scaled["max"] == 1).all()
    assert table["pixels"].tolist()[:3] == ["30 x 40", "30 x 40", "32 x 32"]
    axes = preprocessing.plot_steps(edition.images.head(2), 32).axes
    assert len(axes) == 6
    assert axes[0].get_ylabel().startswith("COVID-19")


def test_histograms_integrate_to_one_and_cover_the_range_after_scaling(edition: Any) -> None:
    table = preprocessing.intensity_table(edition.images.head(4))
    mass = table.groupby(["image_id", "step"])["density"].sum() / 64
    np.testing.assert_allclose(mass, 1)
    ends = table[table["level"].isin([table["level"].min(), table["level"].max()])]
    assert (ends.loc[ends["step"] == "before", "density"] == 0).all()  # levels 20 to 199 of 255
    assert (ends.loc[ends["step"] == "after", "density"] > 0).all()
    means = preprocessing.mean_intensity(table)
    assert len(means) == 2 * 2 * 64
    assert len(preprocessing.plot_intensity(means).axes) == 2


def test_ranges_are_those_of_the_files(edition: Any) -> None:
    facts = preprocessing.range_facts(edition.images.head(4))
    np.testing.assert_allclose(facts["range used"], 179 / 255, atol=0.02)
    assert preprocessing.range_table(facts)["images"].tolist() == [2, 2]


def test_everything_left_out_is_counted(edition: Any, store: ImageStore) -> None:
    table = preprocessing.quarantine_table(edition, store)
    assert table.to_numpy().tolist() == [
        ["reader", "toy", "lateral view", 1],
        ["decoder", "toy", "truncated file", 1],
    ]
    edition.excluded, whole = edition.excluded.iloc[:0], open_store(edition.images.head(5), 32)
    assert preprocessing.quarantine_table(edition, whole).empty


def test_damaged_files_are_all_noticed() -> None:
    outcome = preprocessing.damage_table().set_index("file")["outcome"]
    assert outcome.iloc[0] == "accepted, 64 px"
    assert outcome.iloc[1:].str.startswith("quarantined: ").all()


def test_a_dark_surround_is_counted_by_modality(edition: Any, store: ImageStore) -> None:
    table = preprocessing.surround_table(edition, store)
    assert table["CT slices found"].tolist() == [1, 1, 1]
    assert table["X-rays flagged"].tolist() == [0, 0, 0]
    assert (table["CT slices"] == 1).all()
    assert "finds 1 of the 1 CT slices and flags 0 of 4" in preprocessing.surround_sentence(table)
    edition.images["modality"] = "X-ray"
    assert "no CT slice" in preprocessing.surround_sentence(preprocessing.surround_table(edition, store))


def test_variants_and_their_angles(store: ImageStore) -> None:
    assert len(preprocessing.plot_variants(store.pixels[0], "fixed", 0).axes) == 32
    table = preprocessing.angle_table(3, seed=0)
    assert len(table) == 2 * 32 * 3
    fixed = table[table["rotation"] == "fixed"]
    assert fixed.groupby("variant")["angle"].nunique().eq(1).all()
    assert (fixed["angle"].min(), fixed["angle"].max()) == (-7, 5)
    left, right = preprocessing.plot_angles(table).axes
    assert sum(bar.get_height() for bar in left.patches) == 32
    assert sum(bar.get_height() for bar in right.patches) == 30 * 3


def test_sharpness_falls_with_every_rotation(store: ImageStore) -> None:
    table = preprocessing.sharpness_table(np.asarray(store.pixels), "random", seed=0)
    assert len(table) == 32 * len(store)
    medians = table.groupby("resampled")["sharpness"].median()
    assert medians[0] == pytest.approx(1, abs=1e-6)
    assert medians.is_monotonic_decreasing
    assert len(preprocessing.plot_sharpness(table).axes) == 1


def test_storage_counts_bytes(store: ImageStore) -> None:
    table = preprocessing.storage_table(store)
    assert table["MiB an image"].tolist() == [1.5, 1 / 1024]
    assert table["GiB in all"].iloc[1] * 2**30 == store.pixels.nbytes


def test_throughput_is_measured_without_touching_the_cache(edition: Any, store: ImageStore, tmp_path: Path) -> None:
    before = sorted((tmp_path / "cache").rglob("*"))
    table = throughput.throughput_table(edition.images, store, 16, torch.device("cpu"), seed=0)
    assert table["images"].tolist() == [6, 32 * 31, 1024]
    np.testing.assert_allclose(table["images/s"] * table["seconds"], table["images"])
    assert sorted((tmp_path / "cache").rglob("*")) == before
    assert len(throughput.plot_throughput(table).axes[0].patches) == 3
