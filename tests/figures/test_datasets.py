"""The preprocessing chapter's tables and figures, on a tiny edition of six images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.analysis import preprocessing
from cxrlib.figures import datasets as figures
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
            "image_id": [f"tiny/{k}" for k in range(6)],
            "path": paths,
            "sha256": None,
            "collection": "tiny",
            "source": ["a", "a", "b", "b", "a", "a"],
            "label": ["covid", "covid", "non_covid", "non_covid", "covid", "covid"],
            "modality": ["X-ray"] * 4 + ["CT", "X-ray"],
            "licence": LICENCES,
        }
    )
    excluded = pd.DataFrame({"image_id": ["tiny/l"], "collection": ["tiny"], "reason": ["lateral view"]})
    return SimpleNamespace(name="tiny", digest="0" * 64, images=images, excluded=excluded, has_images=True)


@pytest.fixture
def whole(edition: Any) -> Any:
    """The same edition without the truncated file."""
    edition.images = edition.images.head(5)
    return edition


@pytest.fixture
def store(edition: Any) -> ImageStore:
    return open_store(edition.images, 32)


@pytest.fixture(autouse=True)
def _close_figures() -> Any:
    yield
    plt.close("all")


def test_examples_are_x_rays_whose_licence_allows_it(whole: Any) -> None:
    assert preprocessing.examples(whole)["image_id"].tolist() == ["tiny/0", "tiny/3"]
    whole.images = whole.images.assign(licence="not stated")  # nothing may be shown for certain: what is at hand serves
    assert len(preprocessing.examples(whole)) == 4


def test_step_table_follows_an_image(whole: Any) -> None:
    table = preprocessing.step_table(whole.images.head(2), 32)
    assert table["step"].tolist() == ["decoded", "min-max", "resized"] * 2
    scaled = table[table["step"] == "min-max"]
    assert (scaled["min"] == 0).all() and (scaled["max"] == 1).all()
    assert table["pixels"].tolist()[:3] == ["30 x 40", "30 x 40", "32 x 32"]
    axes = figures.plot_steps(whole.images.head(2), 32).axes
    assert len(axes) == 6 and axes[0].get_ylabel().startswith("COVID-19")


def test_histograms_integrate_to_one_and_cover_the_range_after_scaling(whole: Any) -> None:
    table = preprocessing.grey_before_after(whole)
    np.testing.assert_allclose(table.groupby(["label", "step"])["density"].sum() / 64, 1)
    ends = table[table["level"].isin([table["level"].min(), table["level"].max()])].groupby("step")["density"]
    assert ends.max()["before"] == 0 and ends.min()["after"] > 0  # levels 20 to 199 of 255
    assert len(figures.plot_intensity(table).axes) == 2
    assert table.attrs["source"].startswith("tiny edition")


def test_ranges_are_those_of_the_files(whole: Any) -> None:
    facts = preprocessing.grey_ranges(whole)
    np.testing.assert_allclose(facts["range used"], 179 / 255, atol=0.02)
    assert facts.groupby("label").size().tolist() == [2, 2]


def test_everything_left_out_is_counted(edition: Any) -> None:
    table = preprocessing.left_out(edition, preprocessing.undecodable(edition))
    assert table.to_numpy().tolist() == [
        ["reader", "tiny", "lateral view", 1],
        ["decoder", "tiny", "truncated file", 1],
    ]


def test_a_dark_surround_is_counted_by_modality(edition: Any) -> None:
    table = preprocessing.dark_surround(edition)
    assert table["CT slices found"].tolist() == [1, 1, 1] and table["X-rays flagged"].tolist() == [0, 0, 0]
    assert "finds 1 of the 1 CT slices and flags 0 of 4" in preprocessing.surround_sentence(table)
    edition.images["modality"] = "X-ray"
    assert "no CT slice" in preprocessing.surround_sentence(preprocessing.dark_surround(edition))


def test_variants_and_their_angles(store: ImageStore) -> None:
    assert len(figures.plot_variants(store.pixels[0], "fixed", 0).axes) == 32
    table = preprocessing.angle_table(3, seed=0)
    assert len(table) == 2 * 32 * 3
    fixed = table[table["rotation"] == "fixed"]
    assert fixed.groupby("variant")["angle"].nunique().eq(1).all()
    assert (fixed["angle"].min(), fixed["angle"].max()) == (-7, 5)
    left, right = figures.plot_angles(table).axes
    assert sum(bar.get_height() for bar in left.patches) == 32
    assert sum(bar.get_height() for bar in right.patches) == 30 * 3


def test_sharpness_falls_with_every_rotation_and_the_answer_says_so(whole: Any) -> None:
    table = preprocessing.sharpness(whole)
    medians = table.groupby("resampled")["sharpness"].median()
    assert len(table) == 32 * 4 and medians[0] == pytest.approx(1, abs=1e-6) and medians.is_monotonic_decreasing
    assert len(figures.plot_sharpness(table).axes) == 1
    said = preprocessing.answer(table, preprocessing.grey_ranges(whole), 256)
    assert "24 times fewer bytes" in said and f"keeps {medians[4]:.0%}".replace("%", "") in said


def test_storage_counts_bytes() -> None:
    table = preprocessing.storage_table(32, 5)
    assert table["MiB an image"].tolist() == [1.5, 1 / 1024]
    assert table["GiB in all"].iloc[1] * 2**30 == 5 * 32 * 32
