"""The chapter on data: its tables add up and its figures show what their data say."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.analysis import datasets
from cxrlib.analysis.datasets import overlap_by_seed, table_1_beside_ours
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.readers.base import validate_images
from cxrlib.figures import datasets as figures
from cxrlib.images.store import open_store


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """Sixty small pictures of three sources, one of them with both classes, and one broken file."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        path = root / f"{k:02}.png"
        Image.fromarray(rng.integers(0, 256, (20 + k % 3, 30), dtype=np.uint8)).save(path)
        site, covid = "abc"[k % 3], k % 3 == 0 or (k % 3 == 1 and k % 2 == 0)
        rows.append(
            {"image_id": path.name, "path": str(path), "source": site, "label": "covid" if covid else "non_covid"}
        )
    (root / "broken.png").write_bytes(b"no image")
    rows.append({"image_id": "broken.png", "path": str(root / "broken.png"), "source": "c", "label": "non_covid"})
    images = pd.DataFrame(rows).assign(
        collection="t", sha256=None, finding=None, patient_id=None, view="PA", modality="X-ray", population="adult",
        licence="free", width=None, height=None, duplicate_group=None, split=None,
        covidx_candidate=lambda frame: frame["label"] == "covid", in_july2020_metadata=lambda frame: frame["label"] == "covid",
    )  # fmt: skip
    images["healthy"] = (images["label"] == "non_covid") & (images.index % 4 > 0)
    excluded = pd.DataFrame({"image_id": ["x", "y"], "collection": "t", "reason": "CT volume"})
    return Edition.of("open", validate_images(images), excluded)


def test_exclusions_count_what_the_readers_left_out(edition):
    assert datasets.exclusions(edition).set_index("reason")["images"].to_dict() == {"CT volume": 2}


def test_label_from_source_is_the_balanced_accuracy_of_the_majority_rule(edition):
    # source a: 20 covid; b: 10 covid of 20, more than the edition's 30 of 61; c: 21 non-COVID
    assert datasets.label_from_source(edition) == pytest.approx((1 + 21 / 31) / 2)
    single = edition.images.assign(source="one")
    assert datasets.label_from_source(Edition.of("open", single, edition.excluded)) == 0.5


def test_sources_and_licences_count_every_image(edition):
    assert datasets.sources(edition)[["covid", "non_covid", "unlabelled"]].to_numpy().sum() == 61
    assert datasets.licences(edition)["images"].sum() == 61


def test_disputed_images_lists_both_sides_of_a_contradiction(edition):
    images = edition.images.copy()
    images.loc[[0, 2], "duplicate_group"] = "d"
    table = datasets.disputed_images(Edition.of("open", images, edition.excluded))
    assert table.set_index("source")["images"].to_dict() == {"a": 1, "c": 1}
    assert datasets.disputed_images(edition).empty


def test_compact_joins_protocols_only_where_nothing_differs():
    table = pd.DataFrame(
        {"title": ["x"] * 3 + ["y"] * 3, "protocol": ["released", "paper", "clean"] * 2, "n": [1, 1, 1, 2, 3, 3]}
    )
    assert datasets.compact(table).to_numpy().tolist() == [
        ["x", "all", 1],
        ["y", "released", 2],
        ["y", "paper, clean", 3],
    ]


def test_figures_show_their_data(edition):
    rows = datasets.sample_rows(edition, per_source=3)
    assert rows.groupby(["label", "source"]).size().max() == 3
    images = open_store(edition.images, 16)
    rows = rows[rows["image_id"] != "broken.png"]
    assert len(figures.plot_samples(rows, images).axes) == 4 * 3
    levels = datasets.grey_levels(edition, size=16)
    assert levels.groupby(["label", "source"])["share"].sum().to_numpy() == pytest.approx(1)
    assert len(figures.plot_grey_levels(levels).axes) == 2
    sizes = rows.assign(width=30, height=20)
    assert figures.plot_image_sizes(sizes).axes[0].get_xscale() == "log"
    links = datasets.covid_test_images(edition, 0)
    bars, _ = figures.plot_answer(links, datasets.sources(edition)).axes
    assert sum(bar.get_width() for bar in bars.patches) == links["images"].sum()


def test_class_balance_shows_the_first_protocol_beside_the_paper(edition):
    table = table_1_beside_ours(edition, 0)
    released = table[table["protocol"] == "released"]
    ours = [n for n in [*released["train_covid"], *released["train_non_covid"]] if n]
    bars = [bar.get_height() for bar in figures.plot_class_balance(table).axes[0].patches]
    assert len(ours) == 9 and set(ours) <= set(bars)


def test_every_covid_test_image_has_one_link_and_the_clean_protocol_none():
    links = datasets.covid_test_images(load_edition("open"), 0)
    assert links.groupby(["cohort", "protocol"])["images"].sum().eq(40).all()
    assert set(links.loc[links["protocol"] == "clean", "link"]) == {"none"}
    released = links[(links["cohort"] == "combined") & (links["protocol"] == "released")]
    assert released["link"].tolist() == ["same picture"]
    assert "40 of the 40" in datasets.answer(load_edition("open"), 0)


def test_overlap_spread_is_over_the_seeds(edition):
    by_seed = overlap_by_seed(edition, range(3))
    spread = datasets.overlap_spread(by_seed).set_index("protocol")
    assert spread.loc["clean", "covid_overlap max"] == 0
    assert (
        spread.loc["released", "covid_overlap min"]
        == by_seed.query("protocol == 'released'")["covid_overlap"].min()
        > 0
    )
