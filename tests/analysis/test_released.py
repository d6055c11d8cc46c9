"""The released code: its loss's learning time, and factors measured on matched pairs only."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.records.test_record import make_record

from cxrlib.analysis import released
from cxrlib.config import RunConfig
from cxrlib.figures.released import plot_by_weight
from cxrlib.losses.weighted import cross_entropy, linear_probability_loss
from cxrlib.protocols import Protocol


@pytest.mark.parametrize(("name", "loss"), [("cross_entropy", cross_entropy), ("linear", linear_probability_loss)])
@pytest.mark.parametrize("start", [1.0, 3.0])
def test_learning_time_agrees_with_gradient_flow(name, loss, start):
    z = torch.tensor([-start], dtype=torch.float64, requires_grad=True)
    step, time = 1e-3, 0.0
    while z.item() < 0:
        (slope,) = torch.autograd.grad(loss(z, torch.ones(1, dtype=torch.int64)), z)
        with torch.no_grad():
            z -= step * slope
        time += step
    assert time == pytest.approx(released.learning_time(start, name), rel=5e-3)


def test_the_linear_loss_stops_learning_where_cross_entropy_learns_most():
    table = released.loss_table()
    slope = table.set_index(["loss", "logit"])["slope"].abs()
    far = table["logit"].min()
    assert slope[("linear, as released", far)] < 1e-3
    assert slope[("cross-entropy, Eq. (3)", far)] == pytest.approx(1, abs=1e-3)
    assert slope[("weighted, Eq. (4), β = 0.75", far)] == pytest.approx(0.75, abs=1e-3)


def test_every_factor_is_one_override_but_the_last():
    for factor in released.FACTORS[:-1]:
        assert factor.treated.count("+") == 1
        assert Protocol.parse(factor.treated).name == factor.treated
    settings = released.factor_settings()
    assert len({RunConfig.create(**s, edition="phantom", profile="quick") for s in settings}) == len(settings) == 7


def _with(record, bacc: float):
    metrics = {"test": {**record.metrics["test"], "bacc": bacc}}
    return type(record)(record.config, record.inputs, metrics, record.predictions, record.history, record.provenance)


def test_pairs_differ_in_the_protocol_alone_and_the_answer_follows_the_records():
    control = _with(make_record(protocol="paper", beta=None), 0.9)
    linear = _with(make_record(protocol="paper+loss_without_beta=linear", beta=None), 0.8)
    other_seed = _with(make_record(protocol="paper+checkpoint=last", beta=None, seed=1), 0.5)
    pairs = released.factor_pairs([control, linear, other_seed])
    assert set(pairs["factor"]) == {released.FACTORS[0].name}
    assert pairs.set_index("metric")["difference"]["bacc"] == pytest.approx(-0.1)
    assert "-0.1000" in released.answer(pairs)
    better = released.factor_pairs([control, _with(linear, 0.95)])
    assert "+0.0500" in released.answer(better)
    assert "4 of 5 factors" in released.missing_sentence(pairs)


def test_a_protocol_may_draw_other_images_but_not_use_other_data():
    control, treated = make_record(protocol="paper", beta=None), make_record(protocol="released", beta=None)
    drawn = replace(treated, inputs={**treated.inputs, "samples": "t" * 64})
    assert set(released.factor_pairs([control, drawn])["factor"]) == {released.FACTORS[-1].name}
    elsewhere = replace(treated, inputs={**treated.inputs, "data": "e" * 64})
    assert released.factor_pairs([control, elsewhere]).empty


def test_the_effect_of_the_loss_is_a_difference_of_differences():
    bacc = {("paper", None): 0.9, ("released", None): 0.7, ("paper", 0.75): 0.9, ("released", 0.75): 0.85}
    runs = [_with(make_record(protocol=p, beta=b), value) for (p, b), value in bacc.items()]
    pairs = released.by_weight(
        [*runs, make_record(protocol="paper", beta=2.0), make_record(protocol="released", beta=2.0)]
    )
    assert set(pairs["weight"]) == set(released.WEIGHTS.values()) and len(pairs) == 2 * len(released.METRICS)
    effect = released.loss_effect(pairs)
    row = effect.set_index("metric").loc["bacc"]
    assert (row["without"], row["with"], row["effect"]) == pytest.approx((-0.2, -0.05, -0.15))
    sentence = released.loss_effect_sentence(effect)
    assert (
        "In 1 rows run all four ways" in sentence and "-0.150 on average" in sentence and "below zero in 1" in sentence
    )
    assert len(plot_by_weight(pairs).axes[0].lines) == 3
    part = released.by_weight(runs[:2])
    assert released.loss_effect(part).empty
    assert released.loss_effect_sentence(released.loss_effect(part)).startswith("No row")


def test_without_records_nothing_is_claimed():
    pairs = released.factor_pairs([])
    assert "No pair of runs" in released.answer(pairs)
    table = released.effects(pairs)
    assert (table["pairs"] == 0).all() and table["mean"].isna().all()
    assert isinstance(pairs, pd.DataFrame) and not len(pairs)
    assert released.loss_effect(released.by_weight([])).empty
    assert plot_by_weight(released.by_weight([])).axes
    assert np.isfinite(released.learning_table()["time"]).all()
