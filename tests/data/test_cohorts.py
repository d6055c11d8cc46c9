"""Cohorts: Table I's sizes, disjoint draws, one test set a seed, and nothing taken out without a reason."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrlib.analysis.datasets import chestxray_history, composition, counts, shared, table_1_beside_ours
from cxrlib.config import Cohort
from cxrlib.data import cohorts
from cxrlib.data.cohorts import COHORTS, build_cohort
from cxrlib.data.editions import Edition, load_edition
from cxrlib.data.readers.base import validate_images
from cxrlib.errors import DataError, ParameterError
from cxrlib.paper import tables as paper
from cxrlib.protocols import PROTOCOLS, Protocol

RELEASED, PAPER, CLEAN = (PROTOCOLS[name] for name in ("released", "paper", "clean"))


def block(source: str, n: int, start: int = 0, patients: int | None = None, **columns: object) -> pd.DataFrame:
    """`n` rows of one source, adult non-COVID X-rays unless `columns` says otherwise; generated, so never hashed."""
    number = np.arange(start, start + n)
    frame = pd.DataFrame(
        {
            "image_id": [f"t/{source}/{k:05}" for k in number],
            "path": [f"phantom:{source}{k}" for k in number],
            "sha256": [f"{source}{k}" for k in number],
            "collection": "t",
            "source": source,
            "label": "non_covid",
            "finding": None,
            "healthy": False,
            "patient_id": [f"{source}:{k % patients}" for k in number] if patients else None,
            "view": "PA",
            "modality": "X-ray",
            "population": "adult",
            "licence": "free",
            "width": 1,
            "height": 1,
            "duplicate_group": None,
            "split": None,
            "covidx_candidate": False,
            "in_july2020_metadata": False,
        }
    )
    return frame.assign(**columns)


def make_edition(images: pd.DataFrame, name: str = "open") -> Edition:
    nothing = pd.DataFrame({"image_id": [], "collection": [], "reason": []})
    return Edition.of(name, validate_images(images), nothing)


def open_table(scale: float = 1.0) -> pd.DataFrame:
    """A table with the open edition's roles: enough for Table I at scale 1."""
    july = {"label": "covid", "in_july2020_metadata": True}
    size = lambda n: max(round(n * scale), 1)  # noqa: E731
    parts = [
        block("ieee", size(200), patients=size(120), covidx_candidate=True, **july),
        block("ieee", size(100), 1000, patients=size(120), **july),
        block("ieee", size(24), 2000, view="L", **july),
        block("ieee", size(59), 3000, view="Axial", modality="CT", **july),
        block("ieee", size(12), 4000, healthy=True, in_july2020_metadata=True),
        block("ieee", size(100), 5000, in_july2020_metadata=True),
        block("hannover", size(50), label="covid"),
        block("nih", size(900), patients=size(500)),
        block("nih_normal", size(500), patients=size(300), healthy=True),
        block("normal", size(5800), healthy=True),
        block("tb", size(300)),
        block("kermany", size(1000), patients=size(800), population="paediatric"),
        block("kermany_normal", size(300), population="paediatric", healthy=True),
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def edition() -> Edition:
    return make_edition(open_table())


def test_there_is_a_cohort_for_each_row_of_table_1():
    assert list(COHORTS) == [row.cohort for row in paper.TABLE_1]
    assert set(get_args(Cohort)) - {"own"} <= set(COHORTS)


@pytest.mark.parametrize("seed", [0, 7])
def test_sizes_are_the_papers_where_the_data_suffice(edition, seed):
    for cohort in ("covidx_ray_5k", "augmented", "pretraining"):
        row = next(row for row in paper.TABLE_1 if row.cohort == cohort)
        ours = counts(build_cohort(edition, cohort, CLEAN, seed), cohort)
        assert ours["train_covid"] == row.train_covid and ours["train_non_covid"] == row.train_non_covid
        assert (ours["test_covid"], ours["test_non_covid"]) == (paper.TEST_COVID, paper.TEST_NON_COVID)


def test_the_parts_of_a_draw_share_no_component_and_no_image(edition):
    drawn = cohorts.draw(edition, 3)
    parts = [set(part["component"]) for part in drawn.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    for part in drawn.values():
        assert part["image_id"].is_unique and part["repeat"].is_unique
        assert not part["source"].isin(["hannover", "actualmed"]).any()


def test_every_cohort_and_protocol_of_a_seed_has_the_same_test_set(edition):
    tests = [
        build_cohort(edition, cohort, rules, 5).test["image_id"].tolist()
        for cohort in COHORTS
        for rules in PROTOCOLS.values()
    ]
    assert all(ids == tests[0] for ids in tests)
    assert build_cohort(edition, "combined", CLEAN, 6).test["image_id"].tolist() != tests[0]


def test_a_draw_does_not_depend_on_the_order_of_the_table(edition):
    shuffled = make_edition(edition.images.sample(frac=1, random_state=1))
    for part in ("training", "test", "pretraining"):
        ours, theirs = (cohorts.draw(which, 2)[part] for which in (edition, shuffled))
        assert ours["image_id"].tolist() == theirs["image_id"].tolist()


def test_normal_and_abnormal_negatives_have_one_share_in_training_and_test(edition):
    drawn = cohorts.draw(edition, 0)
    shares = [part.loc[part["label"] == "non_covid", "healthy"].mean() for part in (drawn["training"], drawn["test"])]
    assert 0.5 < shares[0] < 1 and shares[0] == pytest.approx(shares[1], abs=1e-3)
    by_source = [
        part[part["label"] == "non_covid"]["source"].value_counts(normalize=True)
        for part in (drawn["training"], drawn["test"])
    ]
    assert (by_source[0] - by_source[1]).abs().max() < 0.01
    assert set(drawn["training"]["population"]) == {"adult"}


def test_pretraining_takes_adults_first_and_children_only_to_fill(edition):
    drawn = cohorts.draw(edition, 0)
    diseased = drawn["pretraining"][drawn["pretraining"]["label"] == "covid"]
    adults = diseased["population"].eq("adult").sum()
    free = cohorts.negatives(edition.images)
    used = {*drawn["training"]["component"], *drawn["test"]["component"]}
    left = free[(free["healthy"] == False) & ~free["component"].isin(used)]  # noqa: E712
    assert adults == len(left) and 0 < 1500 - adults == diseased["population"].eq("paediatric").sum()
    assert not diseased["healthy"].any()


def test_combined_released_trains_on_its_whole_test_class(edition):
    split = build_cohort(edition, "combined", RELEASED, 0)
    assert split.removed.empty
    assert counts(split, "combined")["train_covid"] == 31 + 200 + 100 + 24 + 59
    assert split.train["image_id"].duplicated().sum() == 31  # COVIDX-Ray-5K's images are in COVID-ChestXray too
    common = shared(split)
    assert common["covid_overlap"] == common["exact_repeats"] == common["near_repeats"] == paper.TEST_COVID
    assert split.test.loc[split.test["label"] == "non_covid", "overlap"].sum() == 0


def test_clean_shares_nothing_with_the_test_set_and_says_what_it_removed(edition):
    released, clean = (build_cohort(edition, "combined", rules, 0) for rules in (RELEASED, CLEAN))
    assert set(shared(clean).values()) == {0} and not clean.test["overlap"].any()
    assert clean.train["image_id"].is_unique and clean.train["repeat"].is_unique
    assert set(clean.train["modality"]) == {"X-ray"} and "L" not in set(clean.train["view"])
    assert len(clean.train) + len(clean.removed) == len(released.train)
    reasons = clean.removed["reason"].value_counts()
    assert (
        reasons["CT slice"] == 59
        and reasons["not a frontal view"] == 24
        and reasons["repeats an image of the training set"] == 31
    )
    assert reasons["shares a component with the test set"] >= 40
    assert clean.removed["reason"].notna().all()


def test_each_chestxray_filter_takes_out_what_it_names(edition):
    sizes = {
        name: len(
            build_cohort(edition, "covid_chestxray", Protocol.parse(f"released+chestxray_filter={name}"), 0).train
        )
        for name in ("released", "no_ct", "frontal")
    }
    assert sizes == {"released": 395, "no_ct": 336, "frontal": 312}


def test_overlap_marks_exactly_the_test_rows_whose_component_is_trained_on(edition):
    split = build_cohort(edition, "covid_chestxray", PAPER, 1)
    trained = set(split.train["component"])
    assert split.test["overlap"].tolist() == [component in trained for component in split.test["component"]]
    assert split.test["overlap"].any() and not split.test["overlap"].all()


def test_the_four_known_images_are_always_among_the_seventy_one():
    images = open_table(0.3)
    images["covidx_known"] = images["covidx_candidate"] & (images.index < 4)
    edition = make_edition(images)
    sides = set()
    for seed in range(12):
        drawn = cohorts.draw(edition, seed)
        held = [part["covidx_known"].sum() for part in (drawn["training"], drawn["test"])]
        assert sum(held) == 4
        sides.add(held[0])
    assert len(sides) > 1  # which split they were in is drawn as well


def test_too_few_images_shrink_every_part_in_proportion():
    ours = counts(build_cohort(make_edition(open_table(0.1)), "covidx_ray_5k", CLEAN, 0), "covidx_ray_5k")
    assert 0 < ours["train_covid"] < 31 and 0 < ours["train_non_covid"] < 400
    assert ours["train_non_covid"] / ours["test_non_covid"] == pytest.approx(2 / 3, rel=0.05)
    assert ours["train_covid"] / ours["test_covid"] == pytest.approx(31 / 40, rel=0.15)


@pytest.mark.parametrize("scale", ["0.01", "0.05", "1"])
def test_phantoms_play_every_role_at_any_scale(monkeypatch, scale):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", scale)
    table = table_1_beside_ours(load_edition("phantom"), 0).set_index(["cohort", "protocol"])
    sizes = table.loc[("covidx_ray_5k", "clean")]
    if scale == "1":
        assert (sizes["train_covid"], sizes["train_non_covid"], sizes["test_covid"], sizes["test_non_covid"]) == (
            31,
            2000,
            40,
            3000,
        )
        assert tuple(table.loc[("pretraining", "clean"), ["train_covid", "train_non_covid"]]) == (1500, 1500)
    else:
        assert sizes["train_covid"] == sizes["test_covid"] == cohorts.SMALLEST
        assert table.loc[("pretraining", "clean"), ["train_covid", "train_non_covid"]].gt(10).all()
    assert table.loc[("combined", "clean"), "train_covid"] > 0
    assert table.loc[("combined", "released"), "covid_overlap"] == sizes["test_covid"]
    assert table.loc[("combined", "clean"), "covid_overlap"] == 0


def test_without_candidates_other_frontal_covid_images_stand_in():
    images = open_table().assign(covidx_candidate=False)
    images.loc[images["source"] == "ieee", "patient_id"] = None
    drawn = cohorts.draw(make_edition(images), 0)
    covid = pd.concat([drawn["training"], drawn["test"]]).query("label == 'covid'")
    assert len(covid) == 71 and set(covid["view"]) == {"PA"} and set(covid["source"]) == {"ieee"}


@pytest.mark.parametrize("gone", ["covid", "non_covid"])
def test_a_class_of_zero_is_an_error(gone):
    images = open_table(0.05)
    with pytest.raises(DataError, match=f"no image of class {gone}"):
        build_cohort(make_edition(images[images["label"] != gone]), "covidx_ray_5k", CLEAN, 0)


def test_unknown_cohort_is_an_error_that_lists_them(edition):
    with pytest.raises(ParameterError, match="covid_chestxray"):
        build_cohort(edition, "covidx", CLEAN, 0)


def test_pictures_whose_publishers_contradict_each_other_are_never_drawn():
    images = open_table(0.2)
    healthy, ill = images.index[images["source"] == "normal"], images.index[images["source"] == "tb"]
    images.loc[[*healthy[:30], *ill[:30]], "duplicate_group"] = [f"d{k}" for k in range(30)] * 2
    edition = make_edition(images)
    table = edition.images
    assert cohorts.disputed(table).sum() == 60
    for seed in range(3):
        drawn = cohorts.draw(edition, seed)
        assert not pd.concat(drawn.values())["duplicate_group"].notna().any()


def test_the_original_edition_keeps_the_published_split():
    images = pd.concat(
        [
            block("covidx", 84, label="covid", collection="covidx_ray_5k", split="train"),
            block("covidx", 100, 100, label="covid", collection="covidx_ray_5k", split="test"),
            block("covidx", 300, 1000, patients=200, collection="covidx_ray_5k", split="train"),
            block("covidx", 400, 2000, patients=200, collection="covidx_ray_5k", split="test"),
            block("chestxray", 120, label="covid", collection="covid-chestxray-dataset"),
            block("chestxray", 20, 500, healthy=True, collection="covid-chestxray-dataset"),
            block("chestxray", 30, 600, collection="covid-chestxray-dataset"),
            block("chexpert", 2000, collection="CheXpert"),
            block("chexpert", 1800, 5000, healthy=True, collection="CheXpert"),
        ]
    )
    edition = make_edition(images, "original")
    split = build_cohort(edition, "combined", RELEASED, 0)
    assert counts(split, "combined") == {
        "train_covid": 204,
        "train_non_covid": 320,
        "test_covid": 100,
        "test_non_covid": 400,
    }
    assert shared(split)["shared_patients"] == 200
    assert build_cohort(edition, "combined", RELEASED, 1).test["image_id"].tolist() == split.test["image_id"].tolist()
    pretraining = [build_cohort(edition, "pretraining", CLEAN, seed).train for seed in (0, 1)]
    assert [len(frame) for frame in pretraining] == [3000, 3000]
    assert set(pretraining[0]["image_id"]) != set(pretraining[1]["image_id"])


def test_table_1_has_the_papers_counts_beside_ours(edition):
    table = table_1_beside_ours(edition, 0)
    assert len(table) == len(paper.TABLE_1) * len(PROTOCOLS)
    augmented = table[(table["cohort"] == "augmented") & (table["protocol"] == "clean")].iloc[0]
    assert augmented["train_covid"] == augmented["paper_train_covid"] == 31 * 32
    assert table.loc[table["cohort"] == "covid_chestxray", "paper_test_covid"].isna().all()


def test_composition_adds_up(edition):
    split = build_cohort(edition, "combined", CLEAN, 0)
    table = composition(split)
    assert table.groupby("part")["images"].sum().to_dict() == {"train": len(split.train), "test": len(split.test)}
    assert table.groupby(["part", "label"])["share"].sum().to_numpy() == pytest.approx(1)


@given(st.integers(0, 500), st.lists(st.integers(0, 50), min_size=1, max_size=6))
@settings(max_examples=80, deadline=None)
def test_apportioning_is_exact_and_within_one_of_the_share(total, weights):
    series = pd.Series(weights, index=[f"s{k}" for k in range(len(weights))])
    if not series.sum():
        series.iloc[0] = 1
    parts = cohorts.apportion(total, series)
    assert parts.sum() == total
    assert ((parts - series * total / series.sum()).abs() < 1).all()


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ab")), min_size=1, max_size=60),
    st.integers(0, 9),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_draws_are_disjoint_and_exhaust_the_pool_before_they_fall_short(rows, seed, whole):
    pool = pd.DataFrame(
        {
            "image_id": [f"{k:03}" for k in range(len(rows))],
            "component": [c for c, _ in rows],
            "source": [s for _, s in rows],
        }
    )
    owner: dict[int, str] = {}
    drawn = cohorts.draw_disjoint(pool, {"test": 8, "train": 12}, owner, np.random.default_rng(seed), whole)
    assert not set(drawn["test"]["component"]) & set(drawn["train"]["component"])
    assert len(drawn["test"]) == min(8, len(pool))
    left = pool[~pool["component"].isin(drawn["test"]["component"])]
    assert len(drawn["train"]) == min(12, len(left))


@pytest.mark.real_data
@pytest.mark.parametrize("seed", [0, 1])
def test_the_open_edition_reaches_table_1(real_data, seed):
    table = table_1_beside_ours(load_edition("open"), seed).set_index(["cohort", "protocol"])
    assert tuple(
        table.loc[("covidx_ray_5k", "clean"), ["train_covid", "train_non_covid", "test_covid", "test_non_covid"]]
    ) == (31, 2000, 40, 3000)
    assert tuple(table.loc[("covid_chestxray", "released"), ["train_covid", "train_non_covid"]]) == (510, 17)
    assert tuple(table.loc[("combined", "released"), ["train_covid", "train_non_covid"]]) == (541, 2017)
    assert tuple(table.loc[("pretraining", "clean"), ["train_covid", "train_non_covid"]]) == (1500, 1500)
    assert table.loc[("combined", "released"), "covid_overlap"] == 40
    assert table.loc[("combined", "clean"), ["shared_components", "near_repeats", "covid_overlap"]].eq(0).all()
    assert table.loc[("combined", "clean"), "train_covid"] > 300
    drawn = cohorts.draw(load_edition("open"), seed)
    assert pd.concat([drawn["training"], drawn["test"]])["covidx_known"].sum() == 4


@pytest.mark.real_data
def test_past_states_of_the_table_give_the_papers_figures(real_data):
    history = chestxray_history().set_index("date")
    july = history.loc["2020-07-07"]
    assert (july["covid"], july["no_finding"]) == (512, 17)
    assert (july["covid_ct"], july["covid_lateral"], july["no_finding_ct"]) == (59, 24, 4)
    june = history.loc["2020-06-06"]
    assert (june["frontal"], june["covid_frontal_patients"]) == (542, 262)
