"""The paper's printed figures, as data: Tables I and II of Özdemir and Battini Sönmez (2020).

Everything here is copied from the paper, misprints included; `None` stands for a dash. Nothing is
corrected: the audit chapter derives what cannot be true.
"""

from dataclasses import asdict, dataclass

import pandas as pd

TEST_COVID, TEST_NON_COVID = 40, 3000
"""Images in the paper's test set (Table I)."""


@dataclass(frozen=True)
class PaperCohort:
    """One row of Table I: images per class; `None` where the paper prints a dash."""

    cohort: str
    title: str
    train_covid: int
    train_non_covid: int
    test_covid: int | None
    test_non_covid: int | None


TABLE_1 = (
    PaperCohort("covidx_ray_5k", "COVIDX-Ray-5K (w/out augmentation)", 31, 2000, 40, 3000),
    PaperCohort("augmented", "COVIDX-Ray-5K (with augmentation)", 992, 2000, 40, 3000),
    PaperCohort("covid_chestxray", "COVID-ChestXray", 512, 17, None, None),
    PaperCohort("combined", "COVIDX-Ray-5K + COVID-ChestXray", 543, 2017, 40, 3000),
    PaperCohort("pretraining", "CheXpert", 1500, 1500, None, None),
)
"""Table I. For `pretraining` the two classes are diseased (first) and healthy, not COVID and non-COVID."""


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


TABLE_2 = (
    PaperRow("augmented", "resnet50", "none", None, 0.9000, 0.9993, 0.9497, 0.9980, -0.30),
    PaperRow("augmented", "resnet50", "none", 0.75, 0.8000, 1.0000, 0.9000, 0.9973, -2.88),
    PaperRow("augmented", "resnet50", "imagenet", None, 0.7500, 1.0000, 0.8750, 0.9967, -4.19),
    PaperRow("augmented", "resnet50", "imagenet", 0.75, 0.7500, 1.0000, 0.8750, 0.9967, -4.19),
    PaperRow("augmented", "resnet50", "chestxray", None, 0.8250, 0.9993, 0.9121, 0.9970, -2.27),
    PaperRow("augmented", "resnet50", "chestxray", 0.75, 0.6667, 0.9987, 0.8327, 0.9908, -6.65),
    PaperRow("augmented", "acnn", "none", None, 0.7500, 0.9983, 0.8742, 0.9951, -4.31),
    PaperRow("augmented", "acnn", "none", 0.75, 0.7000, 0.9997, 0.8498, 0.9957, -5.53),
    PaperRow("augmented", "acnn", "chestxray", None, 0.9250, 0.9690, 0.9470, 0.9684, -1.95),
    PaperRow("augmented", "acnn", "chestxray", 0.75, 0.8000, 0.9993, 0.8997, 0.9967, -2.92),
    PaperRow("combined", "resnet50", "none", None, 0.9500, 0.9397, 0.9448, 0.9398, -3.53),
    PaperRow("combined", "resnet50", "none", 0.75, 0.9500, 0.9977, 0.9738, 0.9970, 0.89),
    PaperRow("combined", "resnet50", "imagenet", None, 1.0000, 0.9963, 0.9982, 0.9964, 2.10),
    PaperRow("combined", "resnet50", "imagenet", 0.75, 1.0000, 0.9973, 0.9987, 0.9974, 2.18),
    PaperRow("combined", "resnet50", "chestxray", None, 0.9750, 0.9680, 0.9715, 0.9681, -0.74),
    PaperRow("combined", "resnet50", "chestxray", 0.75, 0.9500, 0.9967, 0.9733, 0.9961, 0.81),
    PaperRow("combined", "acnn", "none", None, 1.0000, 0.8653, 0.9327, 0.8671, -7.87),
    PaperRow("combined", "acnn", "none", 0.75, 1.0000, 0.9776, 0.9645, 0.9299, -3.03),
    PaperRow("combined", "acnn", "chestxray", None, 1.0000, 0.7730, 0.8865, 0.7760, -14.90),
    PaperRow("combined", "acnn", "chestxray", 0.75, 0.9750, 0.9783, 0.9767, 0.9783, 0.08),
)
"""The paper's own 20 configurations, in the paper's order."""

BASELINES = (
    PaperRow("covidx_ray_5k", "resnet50", "imagenet", None, 0.9750, 0.9010, 0.9380, 0.9020, None),
    PaperRow("covidx_ray_5k", "squeezenet", "imagenet", None, 0.9750, 0.9773, 0.9762, 0.9773, None),
)
"""The two baselines of Minaee et al. [3] as Table II prints them; gain is measured from the second."""

REFERENCE = BASELINES[1]

HYPERPARAMETERS = {
    "image_size": 256,
    "batch_size": 64,
    "valid_fraction": 0.2,
    "learning_rate": 2e-4,
    "adam_beta1": 0.5,
}
"""Section VI.A-B."""


def table_1() -> pd.DataFrame:
    """Table I as a frame, one row a cohort; the test columns are nullable integers."""
    frame = pd.DataFrame([asdict(row) for row in TABLE_1])
    return frame.astype({"test_covid": "Int64", "test_non_covid": "Int64"})


def table_2(baselines: bool = True) -> pd.DataFrame:
    """Table II as a frame, one row a configuration; `beta` and `gain` are NaN where a dash is printed."""
    rows = TABLE_2 + (BASELINES if baselines else ())
    return pd.DataFrame([asdict(row) for row in rows]).astype({"beta": float, "gain": float})


def find_row(cohort: str, model: str, pretraining: str, beta: float | None) -> PaperRow | None:
    """The row of Table II for a configuration, or None where the paper has none."""
    for row in TABLE_2 + BASELINES:
        if (row.cohort, row.model, row.pretraining, row.beta) == (cohort, model, pretraining, beta):
            return row
    return None
