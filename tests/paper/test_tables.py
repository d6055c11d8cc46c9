"""The paper's tables: the printed text and the figures read from it."""

import pandas as pd
import pytest

from cxrlib.paper.tables import BASELINES, REFERENCE, TABLE_1, TABLE_2, PaperCohort, PaperRow, find_row, printed


def test_table_2_is_read_as_printed() -> None:
    assert (len(TABLE_2), len(BASELINES), len(printed("table_2"))) == (20, 2, 22)
    assert TABLE_2[0] == PaperRow("augmented", "resnet50", "none", None, 0.9, 0.9993, 0.9497, 0.998, -0.30)
    assert TABLE_2[13] == PaperRow("combined", "resnet50", "imagenet", 0.75, 1.0, 0.9973, 0.9987, 0.9974, 2.18)
    assert PaperRow("covidx_ray_5k", "squeezenet", "imagenet", None, 0.975, 0.9773, 0.9762, 0.9773, None) == REFERENCE
    assert set(printed("table_2")["Sensitivity"]) >= {"0.825", "1.000", "0.6667"}, "decimals as printed"
    rows = [(row.cohort, row.model, row.pretraining, row.beta) for row in TABLE_2 + BASELINES]
    assert len(set(rows)) == 22
    assert all(find_row(*row) == paper for row, paper in zip(rows, TABLE_2 + BASELINES, strict=True))
    assert find_row("combined", "acnn", "imagenet", None) is None


def test_dashes_are_none_and_rates_lie_in_0_to_1() -> None:
    frame = pd.DataFrame(TABLE_2 + BASELINES)
    assert frame["beta"].isna().sum() == 12 and frame["gain"].isna().sum() == 2
    assert frame[["sensitivity", "specificity", "bacc", "ppcr"]].apply(lambda rates: rates.between(0, 1)).all(axis=None)
    assert frame["gain"].min() == pytest.approx(-14.90)
    cohorts = {row.cohort: row for row in TABLE_1}
    assert cohorts["combined"] == PaperCohort("combined", "COVIDX-Ray-5K + COVID-ChestXray", 543, 2017, 40, 3000)
    assert cohorts["covid_chestxray"].test_covid is None and TABLE_1[4].title == "CheXpert"
