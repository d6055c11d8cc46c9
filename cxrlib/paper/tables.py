"""Tables I and II of Özdemir and Battini Sönmez (2020) from CSV files of their printed text, misprints included.

`printed` gives the text, the rest gives it as numbers under this project's names; None stands for a dash.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class PaperCohort:
    """One row of Table I: images per class; `None` where the paper prints a dash."""

    cohort: str
    title: str
    train_covid: int
    train_non_covid: int
    test_covid: int | None
    test_non_covid: int | None


@dataclass(frozen=True)
class PaperRow:
    """One row of Table II: a configuration and its printed figures (rates in [0, 1], gain in percent)."""

    cohort: str
    model: str
    pretraining: str
    beta: float | None
    sensitivity: float
    specificity: float
    bacc: float
    ppcr: float
    gain: float | None


_COHORTS = {
    "COVIDX-Ray-5K (w/out augmentation)": "covidx_ray_5k",
    "COVIDX-Ray-5K (with augmentation)": "augmented",
    "COVID-ChestXray": "covid_chestxray",
    "COVIDX-Ray-5K + COVID-ChestXray": "combined",
    "CheXpert*": "pretraining",
    # as Table II names them
    "COVIDX-Ray-5K (w/out augmentation) + COVID-ChestXray": "combined",
    "COVIDX-Ray-5K": "covidx_ray_5k",
}
_MODELS = {"ResNet50": "resnet50", "ACNN": "acnn", "ResNet50 [3]": "resnet50", "Squeezenet [3]": "squeezenet"}
_PRETRAINING = {"-": "none", "ImageNet": "imagenet", "ChestXpert": "chestxray", "": "imagenet"}
"""A blank stands on the rows of Minaee et al. [3] only, whose networks start from ImageNet."""


def printed(name: str) -> pd.DataFrame:
    """The text of a table as printed ("table_1" or "table_2"): a string in every cell, the printed headers."""
    return pd.read_csv(Path(__file__).parent / f"{name}.csv", dtype=str, keep_default_na=False, comment="#")


def _number(text: str) -> float | None:
    return None if text in ("-", "") else float(text.rstrip(" %"))


TABLE_1 = tuple(
    PaperCohort(_COHORTS[title], title.rstrip("*"), *(None if n == "-" else int(n) for n in images))  # type: ignore
    for title, *images in printed("table_1").to_numpy()
)
"""Table I. For `pretraining` the two classes are diseased (first) and healthy, not COVID and non-COVID."""

_ROWS = tuple(
    PaperRow(_COHORTS[cohort], _MODELS[model], _PRETRAINING[weights], *map(_number, figures))  # type: ignore[arg-type]
    for cohort, model, weights, *figures in printed("table_2").to_numpy()
)
TABLE_2, BASELINES = _ROWS[:-2], _ROWS[-2:]
"""The paper's own 20 configurations in its order, and the two baselines of Minaee et al. [3] as it prints them."""

REFERENCE = BASELINES[1]
"""The baseline from which section VI.C measures the gain."""

TEST_COVID, TEST_NON_COVID = 40, 3000
"""Images in the paper's test set (section VI.A and Table I)."""

IMAGE_SIZE = 256
"""Pixels a side (section VI.A)."""

STATED_GAIN = 2.18
"""The improvement, in percent, that section VI.D attributes to merging the training sets ("up to")."""


def find_row(cohort: str, model: str, pretraining: str, beta: float | None) -> PaperRow | None:
    """The row of Table II for a configuration, or None where the paper has none."""
    wanted = (cohort, model, pretraining, beta)
    rows = (row for row in TABLE_2 + BASELINES if (row.cohort, row.model, row.pretraining, row.beta) == wanted)
    return next(rows, None)
