"""The rows of Table I as one declarative table, the seeded draws behind them, and what each protocol puts into them.

COVIDX-Ray-5K took 71 COVID-19 radiographs out of 218 candidates and its negatives out of CheXpert; which is not
published. So both are drawn, component-disjoint between training, test and pretraining, and the draw is repeated over
seeds. The original edition draws its pretraining set only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxrlib.data.editions import Edition
from cxrlib.data.readers.base import LABELS, first_reason
from cxrlib.errors import DataError, ParameterError
from cxrlib.paper.tables import TABLE_1
from cxrlib.protocols import Protocol


@dataclass(frozen=True)
class Cohort:
    """One row of Table I: what its training set consists of."""

    title: str
    parts: tuple[str, ...]  # of "covidx_ray_5k", "covid_chestxray", "pretraining"
    copies: int = 1  # variants of each COVID-19 training image, section VI.A


COHORTS = {
    "covidx_ray_5k": Cohort("COVIDX-Ray-5K", ("covidx_ray_5k",)),
    "augmented": Cohort("COVIDX-Ray-5K, augmented", ("covidx_ray_5k",), copies=32),
    "covid_chestxray": Cohort("COVID-ChestXray", ("covid_chestxray",)),
    "combined": Cohort("COVIDX-Ray-5K + COVID-ChestXray", ("covidx_ray_5k", "covid_chestxray")),
    "pretraining": Cohort("chest X-ray pretraining", ("pretraining",)),
}

SIZE = {row.cohort: row for row in TABLE_1}
MOST_ABNORMAL = 0.5  # upper bound of the share of negatives with a finding
MOST_RESERVED = 0.6  # of the adults with a finding, for pretraining: half, or up to this if children cannot fill it
SMALLEST = 8  # COVID-19 images of either part in a scaled-down phantom edition
EXTERNAL_SOURCES = ("hannover", "actualmed")  # for external tests: never drawn
FRONTAL_VIEWS = ("PA", "AP", "AP Supine")
LATERAL_VIEWS = ("L",)


@dataclass(frozen=True)
class CohortSplit:
    """Training and test rows of a cohort (an edition's columns), and what the protocol took out of the training rows.

    `train` has also `part` (the row of Table I it comes from), `test` also `overlap` (bool: its component occurs in
    `train`), `removed` image_id, part and reason. An image that two parts share may be in `train` twice.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    removed: pd.DataFrame


def build_cohort(edition: Edition, cohort: str, protocol: Protocol, seed: int) -> CohortSplit:
    """The images of a cohort (Table I) under a protocol, for one seed.

    A seed's test set is the same for every cohort and protocol, so that runs can be compared in pairs.
    Raises ParameterError for an unknown cohort, DataError if a class has no image.
    """
    if cohort not in COHORTS:
        raise ParameterError(f"unknown cohort '{cohort}': choose one of {', '.join(COHORTS)}.")
    drawn = draw(edition, seed)
    rows, test = {"covidx_ray_5k": drawn["training"], "pretraining": drawn["pretraining"]}, drawn["test"]
    if "covid_chestxray" in COHORTS[cohort].parts:
        rows["covid_chestxray"] = _chestxray_rows(edition)
    train = pd.concat([rows[part].assign(part=part) for part in COHORTS[cohort].parts], ignore_index=True)
    reasons = _reasons(train, test, protocol)
    removed = train.loc[reasons.notna(), ["image_id", "part"]].assign(reason=reasons[reasons.notna()])
    train = train[reasons.isna()].reset_index(drop=True)
    overlap = test["component"].isin(train["component"])
    return CohortSplit(train, test.assign(overlap=overlap), removed.reset_index(drop=True))


def _chestxray_rows(edition: Edition) -> pd.DataFrame:
    """The rows of covid-chestxray-dataset that the released code's filter takes, of any modality and view.

    Of 7 July 2020, COVID-19 or No Finding: 512 and 17 images of which the open edition has 510 and 17.
    """
    images, original = edition.images, edition.name == "original"
    taken = images["collection"] == "covid-chestxray-dataset" if original else yes(images, "in_july2020_metadata")
    healthy = (images["label"] == "non_covid") & yes(images, "healthy")
    return images[taken & ((images["label"] == "covid") | healthy)].reset_index(drop=True)


def _reasons(train: pd.DataFrame, test: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Why the protocol takes a training row out; null: it stays. The first reason that holds counts."""
    chestxray = train["part"] == "covid_chestxray"
    rules: list[tuple[pd.Series, str]] = []
    if protocol.chestxray_filter != "released":
        rules.append((chestxray & (train["modality"] == "CT"), "CT slice"))
    if protocol.chestxray_filter == "frontal":
        rules.append((chestxray & (train["modality"] != "X-ray"), "not known to be an X-ray"))
        rules.append((chestxray & ~train["view"].isin(FRONTAL_VIEWS), "not a frontal view"))
    if protocol.test_overlap == "removed":
        rules.append((train["component"].isin(test["component"]), "shares a component with the test set"))
    reason = first_reason(train.index, rules)
    if protocol.test_overlap == "removed":
        left = train[reason.isna()]
        again = left.index[left.duplicated("image_id") | left.duplicated("repeat")]
        reason[again] = "repeats an image of the training set"
    return reason


@lru_cache(maxsize=16)
def draw(edition: Edition, seed: int) -> dict[str, pd.DataFrame]:
    """What a seed draws, whatever the cohort and protocol: rows of COVIDX-Ray-5K's `training` and `test` part, and of
    `pretraining`, whose label says diseased ('covid') or healthy. DataError if a class is empty.
    """
    rng, original = np.random.default_rng(seed), edition.name == "original"
    drawn = _published(edition.images, rng) if original else _stand_in(edition, rng)
    for part, rows in drawn.items():
        if empty := set(LABELS) - set(rows["label"]):
            what = f"the {part} set drawn from the {edition.name} edition has no image of class"
            raise DataError(f"{what} {' or '.join(sorted(empty))}: accept more licences or add data.")
    return drawn


def draw_disjoint(
    pool: pd.DataFrame, sizes: Mapping[str, int], owner: dict[int, str], rng: np.random.Generator, whole: bool = True
) -> dict[str, pd.DataFrame]:
    """For each part in turn, that many rows of `pool` whose components no other part owns; fewer where it is exhausted.

    `owner` (component -> part) is updated, so that later draws stay disjoint. `whole` draws by component, else image by
    image. Within a part the rows of each `source` keep the pool's share, as far as there are enough.
    """
    order = pool.sort_values("image_id").sample(frac=1, random_state=rng)
    if whole:
        order = order.iloc[np.argsort(order.groupby("component", sort=False).ngroup(), kind="stable")]
    chosen: dict[str, pd.DataFrame] = {}
    for part, size in sizes.items():
        free = order[np.array([owner.get(component, part) == part for component in order["component"]], dtype=bool)]
        quota = apportion(size, order["source"].value_counts())
        within = (free.groupby("source").cumcount() < quota.reindex(free["source"]).to_numpy()).astype(bool)
        chosen[part] = pd.concat([free[within], free[~within].head(max(size - int(within.sum()), 0))])
        owner.update(dict.fromkeys(chosen[part]["component"], part))
    return chosen


def apportion(total: int, weights: pd.Series) -> pd.Series:
    """`total` as whole numbers in proportion to `weights` (largest remainders; ties to the first label)."""
    exact = weights * (total / max(weights.sum(), 1))
    whole = np.floor(exact).astype(int)
    extra = (exact - whole).sort_index().sort_values(ascending=False, kind="stable").index[: total - int(whole.sum())]
    whole[extra] += 1
    return whole


def _fit(sizes: Mapping[str, int], available: int) -> dict[str, int]:
    """`sizes`, shrunk in proportion where fewer are available than they ask for together."""
    wanted = pd.Series(sizes)
    return {str(k): int(v) for k, v in apportion(min(int(wanted.sum()), available), wanted).items()}


def _stand_in(edition: Edition, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """The draw for an edition without COVIDX-Ray-5K; of phantoms the COVID-19 sizes shrink as the negatives'."""
    table = edition.images
    paper, diseased, well = SIZE["covidx_ray_5k"], SIZE["pretraining"].train_covid, SIZE["pretraining"].train_non_covid
    pool, children = negatives(table), paediatric_findings(table)
    healthy, abnormal = pool[pool["healthy"].astype(bool)], pool[~pool["healthy"].astype(bool)]
    owner: dict[int, str] = {}
    positives = {"test": paper.test_covid or 0, "train": paper.train_covid}
    sizes = {"test": paper.test_non_covid or 0, "train": paper.train_non_covid}
    if edition.name == "phantom":
        share = min(1.0, len(pool) / (sum(sizes.values()) + diseased + well))
        positives = {part: min(size, max(round(size * share), SMALLEST)) for part, size in positives.items()}
    covid = _draw_covid(table, positives, owner, rng)
    reserved = min(max(len(abnormal) / 2, diseased - len(children)), MOST_RESERVED * len(abnormal))
    ill = _fit(sizes, min(int(len(abnormal) - reserved), round(MOST_ABNORMAL * sum(sizes.values()))))
    normal = _fit({part: size - ill[part] for part, size in sizes.items()} | {"pretraining": well}, len(healthy))
    drawn_ill = draw_disjoint(abnormal, ill, owner, rng)
    drawn_well = draw_disjoint(healthy, normal, owner, rng)
    adults = draw_disjoint(abnormal, {"pretraining": diseased}, owner, rng)["pretraining"]
    fill = draw_disjoint(children, {"pretraining": diseased - len(adults)}, owner, rng)["pretraining"]
    return {
        "training": pd.concat([part["train"] for part in (covid, drawn_ill, drawn_well)], ignore_index=True),
        "test": pd.concat([part["test"] for part in (covid, drawn_ill, drawn_well)], ignore_index=True),
        "pretraining": _as_diseased(pd.concat([adults, fill]), drawn_well["pretraining"]),
    }


def _draw_covid(
    table: pd.DataFrame, sizes: Mapping[str, int], owner: dict[int, str], rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """The COVID-19 images of both parts, drawn image by image.

    Four of the 71 can be named (COVIDX-Ray-5K's sample figure shows them), so they are always drawn, in which part is
    drawn as well. Where the accepted licences leave too few candidates, other frontal COVID-19 X-rays fill the gap.
    """
    pool, others = candidates(table), other_frontal(table)
    known = yes(pool, "covidx_known")
    shares = np.array(list(sizes.values())) / sum(sizes.values())
    for component in sorted(pool.loc[known, "component"].unique()):
        owner[int(component)] = str(rng.choice(list(sizes), p=shares))
    drawn = {part: pool[known & (pool["component"].map(owner) == part)] for part in sizes}
    sizes = _fit(sizes, len(pool) + len(others))
    for rows in (pool[~known], others):
        short = {part: max(size - len(drawn[part]), 0) for part, size in sizes.items()}
        scarce = len(rows) < 2 * sum(short.values())  # image by image would strand patients on the first side
        more = draw_disjoint(rows, _fit(short, len(rows)), owner, rng, whole=scarce)
        drawn = {part: pd.concat([drawn[part], more[part]]) for part in sizes}
    return drawn


def _published(table: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """COVIDX-Ray-5K as published; pretraining drawn from CheXpert, disjoint from both parts."""
    covidx = table[(table["collection"] == "covidx_ray_5k") & table["label"].notna()]
    parts = {part: covidx[covidx["split"] == part].reset_index(drop=True) for part in ("train", "test")}
    owner = {int(component): part for part, rows in parts.items() for component in rows["component"]}
    pool = table[(table["collection"] == "CheXpert") & table["healthy"].notna()]
    healthy, size = pool["healthy"].astype(bool), SIZE["pretraining"]
    diseased = draw_disjoint(pool[~healthy], {"pretraining": size.train_covid}, owner, rng)["pretraining"]
    well = draw_disjoint(pool[healthy], {"pretraining": size.train_non_covid}, owner, rng)["pretraining"]
    return {"training": parts["train"], "test": parts["test"], "pretraining": _as_diseased(diseased, well)}


def _as_diseased(diseased: pd.DataFrame, healthy: pd.DataFrame) -> pd.DataFrame:
    """One frame whose label says diseased ('covid') or healthy ('non_covid')."""
    return pd.concat([diseased.assign(label="covid"), healthy.assign(label="non_covid")], ignore_index=True)


def candidates(table: pd.DataFrame) -> pd.DataFrame:
    """The frontal COVID-19 radiographs that COVIDX-Ray-5K was chosen from, those present, one a repeat.

    The list states the diagnosis, also of images that the later table leaves without a label. One is lateral: left out.
    """
    rows = table[yes(table, "covidx_candidate") & (table["modality"] != "CT") & ~table["view"].isin(LATERAL_VIEWS)]
    return _one_a_repeat(rows.assign(label="covid"))


def other_frontal(table: pd.DataFrame) -> pd.DataFrame:
    """Frontal COVID-19 X-rays that are no candidates and no external test, one a repeat."""
    listed = table["repeat"].isin(table.loc[yes(table, "covidx_candidate"), "repeat"])
    external = table["source"].isin(EXTERNAL_SOURCES)
    frontal = (table["modality"] == "X-ray") & table["view"].isin(FRONTAL_VIEWS)
    return _one_a_repeat(table[(table["label"] == "covid") & frontal & ~external & ~listed])


def negatives(table: pd.DataFrame) -> pd.DataFrame:
    """Radiographs of adults without COVID-19 whose health status is known, one a repeat.

    Left out are the 'No Finding' images of COVID-ChestXray (that cohort needs them) and the external tests.
    """
    needed = yes(table, "in_july2020_metadata") & yes(table, "healthy")
    return _one_a_repeat(table[_usable(table) & (table["population"] == "adult") & ~needed])


def paediatric_findings(table: pd.DataFrame) -> pd.DataFrame:
    """Radiographs of children with a finding other than COVID-19, one a repeat."""
    return _one_a_repeat(table[_usable(table) & (table["population"] == "paediatric") & ~yes(table, "healthy")])


def _usable(table: pd.DataFrame) -> pd.Series:
    stated = (table["label"] == "non_covid") & table["healthy"].notna()
    lateral = (table["modality"] != "X-ray") | table["view"].isin(LATERAL_VIEWS)
    return stated & ~lateral & ~table["source"].isin(EXTERNAL_SOURCES) & ~disputed(table)


def disputed(table: pd.DataFrame) -> pd.Series:
    """Whether a row's repeats disagree with each other, bool: about the label, the health or child and adult."""
    stated = table.assign(population=table["population"].where(table["population"] != "unknown"))
    values = stated.groupby("repeat")[["label", "healthy", "population"]].transform("nunique")
    return (values > 1).any(axis=1)


def _one_a_repeat(rows: pd.DataFrame) -> pd.DataFrame:
    """The first image of each group of near-duplicates; one known to be in COVIDX-Ray-5K comes first."""
    first = rows.assign(later=~yes(rows, "covidx_known")).sort_values(["later", "image_id"])
    return first.drop_duplicates("repeat").drop(columns="later")


def yes(table: pd.DataFrame, name: str) -> pd.Series:
    """A column of yes or no as bool; no where it is not known or the edition has no such column."""
    return table.get(name, pd.Series(False, index=table.index)).fillna(False).astype(bool)
