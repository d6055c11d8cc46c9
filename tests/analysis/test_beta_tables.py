"""Data behind the figures of the chapter on losses: each equals what the equations say by hand."""

import math

import numpy as np
import pytest

from cxrlib.analysis.beta import tables
from cxrlib.paper import tables as paper


def test_equation_4_and_its_gradient_by_hand():
    curves = tables.beta_curves()
    p, beta, positive = curves["probability"], curves["beta"], curves["label"] == 1
    np.testing.assert_allclose(curves["gradient"], np.where(positive, beta * (p - 1), p), rtol=1e-9)
    np.testing.assert_allclose(curves["value"], np.where(positive, -beta * np.log(p), -np.log1p(-p)), rtol=1e-9)


def test_the_unweighted_losses_by_hand():
    curves = tables.equation_curves()
    p = curves["probability"]
    expected = {
        "MSE, Eq. (1)": ((1 - p) ** 2 / 2, -((1 - p) ** 2) * p),
        "MAE, Eq. (2)": (1 - p, -p * (1 - p)),
        "CE, Eq. (3)": (-np.log(p), p - 1),
        "released baseline": (1 - p + math.log(1 + 1 / math.e), -p * (1 - p)),
    }
    assert set(curves["loss"]) == set(expected)
    for name, (value, gradient) in expected.items():
        rows = curves["loss"] == name
        np.testing.assert_allclose(curves.loc[rows, "value"], value[rows], rtol=1e-9)
        np.testing.assert_allclose(curves.loc[rows, "gradient"], gradient[rows], rtol=1e-9, atol=1e-15)


def test_the_stability_table_tells_the_three_ways_apart():
    table = tables.stability_table().set_index("log-odds")
    far, near = table.loc[100.0], table.loc[4.0]
    assert (far["from logits: loss"], far["from logits: gradient"]) == (100.0, 1.0)
    assert far["as printed: loss"] == math.inf and math.isnan(far["as printed: gradient"])
    assert far["clipped: gradient"] == 0.0 and far["clipped: loss"] < 17
    for way in ("from logits", "as printed", "clipped"):
        assert near[f"{way}: loss"] == pytest.approx(near["exact"], rel=1e-5)


def test_the_papers_weight_adds_to_the_imbalance():
    table = tables.balance_table().set_index("cohort")
    assert table.index.tolist() == ["covidx_ray_5k", "augmented", "combined"]
    assert table.loc["combined", "balancing β"] == pytest.approx(2017 / 543)
    assert (table["share at β = 0.75"] < table["share at β = 1"]).all()


def test_the_printed_effect_pairs_rows_that_differ_in_beta_alone():
    table = tables.printed_effect()
    assert len(table) == len(paper.TABLE_2) / 2
    best = table[(table["cohort"] == "combined") & (table["pretraining"] == "imagenet")].iloc[0]
    assert best["change in bacc"] == pytest.approx(0.0005)
