"""The rows of Table I as one declarative table, and the images each protocol puts into them."""

from dataclasses import dataclass

import pandas as pd

from cxrlib.data.draws import FRONTAL_VIEWS, draw, yes
from cxrlib.data.editions import Edition
from cxrlib.errors import ParameterError
from cxrlib.protocols import Protocol


@dataclass(frozen=True)
class Cohort:
    """One row of Table I: what its training set consists of."""

    title: str
    parts: tuple[str, ...]  # of "covidx_ray_5k", "covid_chestxray", "pretraining"
    copies: int = 1  # variants of each COVID-19 training image, section VI.A
    classes: tuple[str, str] = ("COVID-19", "non-COVID")  # what the labels 'covid' and 'non_covid' mean


COHORTS = {
    "covidx_ray_5k": Cohort("COVIDX-Ray-5K", ("covidx_ray_5k",)),
    "augmented": Cohort("COVIDX-Ray-5K, augmented", ("covidx_ray_5k",), copies=32),
    "covid_chestxray": Cohort("COVID-ChestXray", ("covid_chestxray",)),
    "combined": Cohort("COVIDX-Ray-5K + COVID-ChestXray", ("covidx_ray_5k", "covid_chestxray")),
    "pretraining": Cohort("chest X-ray pretraining", ("pretraining",), classes=("diseased", "healthy")),
}


@dataclass(frozen=True)
class CohortSplit:
    """Training and test rows of a cohort, and what the protocol took out of the training rows.

    `train` and `test` have the edition's columns and `component` and `repeat`; `train` also `part` (the row
    of Table I it comes from), `test` also `overlap` (bool: its component occurs in `train`). An image that
    two parts of a cohort share is in `train` twice where the protocol keeps it. `removed`: image_id, part,
    reason.
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
    sources = {
        "covidx_ray_5k": lambda: drawn.train,
        "covid_chestxray": lambda: chestxray_rows(edition),
        "pretraining": lambda: drawn.pretraining,
    }
    train = pd.concat([sources[part]().assign(part=part) for part in COHORTS[cohort].parts], ignore_index=True)
    reasons = _reasons(train, drawn.test, protocol)
    removed = train.loc[reasons.notna(), ["image_id", "part"]].assign(reason=reasons[reasons.notna()])
    train = train[reasons.isna()].reset_index(drop=True)
    test = drawn.test.assign(overlap=drawn.test["component"].isin(train["component"]))
    return CohortSplit(train, test, removed.reset_index(drop=True))


def chestxray_rows(edition: Edition) -> pd.DataFrame:
    """The rows of covid-chestxray-dataset that the released code's filter takes, with `component`, `repeat`.

    The table of 7 July 2020, folder `images`, finding COVID-19 or No Finding: 512 and 17 images of which the
    open edition has 510 and 17. Neither modality nor view is asked for.
    """
    images = edition.images
    taken = yes(images, "in_july2020_metadata")
    if edition.name == "original":
        taken = images["collection"] == "covid-chestxray-dataset"
    healthy = (images["label"] == "non_covid") & images["healthy"].fillna(False).astype(bool)
    return images[taken & ((images["label"] == "covid") | healthy)].reset_index(drop=True)


def _reasons(train: pd.DataFrame, test: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Why the protocol takes a training row out; null: it stays. The first reason that holds counts."""
    chestxray = train["part"] == "covid_chestxray"
    reason = pd.Series(pd.NA, index=train.index, dtype="string")
    rules: list[tuple[pd.Series, str]] = []
    if protocol.chestxray_filter != "released":
        rules.append((chestxray & (train["modality"] == "CT"), "CT slice"))
    if protocol.chestxray_filter == "frontal":
        rules.append((chestxray & (train["modality"] != "X-ray"), "not known to be an X-ray"))
        rules.append((chestxray & ~train["view"].isin(FRONTAL_VIEWS), "not a frontal view"))
    if protocol.test_overlap == "removed":
        rules.append((train["component"].isin(test["component"]), "shares a component with the test set"))
    for applies, text in rules:
        reason = reason.mask(applies & reason.isna(), text)
    if protocol.test_overlap == "removed":
        kept = train[reason.isna()]
        again = kept.index[kept.duplicated("image_id") | kept.duplicated("repeat")]
        reason[again] = "repeats an image of the training set"
    return reason
