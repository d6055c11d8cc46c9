"""Paired effects: pairs differ in one field alone; the tests follow from the predictions."""

import dataclasses

import numpy as np
import pytest
from tests.records.test_record import make_record

from cxrlib.analysis import effects
from cxrlib.evaluation.comparison import delong, mcnemar
from cxrlib.training.runs import evaluate

BASE = {"cohort": "combined", "model": "resnet50", "protocol": "clean"}


def shifted(record, shift):
    """The record with every log-odds raised by `shift`."""
    frame = record.predictions.copy()
    frame["logit"] += np.float32(shift)
    frame["probability"] = 1 / (1 + np.exp(-frame["logit"]))
    return dataclasses.replace(record, predictions=frame, metrics=evaluate(frame))


def test_pairs_differ_in_one_field_alone():
    plain, weighted = make_record(**BASE, beta=None), make_record(**BASE, beta=0.75)
    records = [
        plain,
        weighted,
        make_record(**BASE, beta=0.75, seed=1),
        make_record(**{**BASE, "cohort": "augmented"}, beta=None),
    ]
    assert effects.twins(records, effects.BETA) == [(weighted, plain)]
    found = effects.paired_differences(records)
    assert set(found["contrast"]) == {"β = 0.75 against no β", "combined against augmented cohort"}


def test_pairs_across_machines_are_counted():
    plain, weighted = make_record(**BASE, beta=None), make_record(**BASE, beta=0.75)
    assert effects.machines_sentence(effects.paired_differences([plain, weighted])) == ""
    moved = dataclasses.replace(weighted, provenance={**weighted.provenance, "machine": "another"})
    found = effects.paired_differences([plain, moved])
    assert "In 1 of the 1 pairs" in effects.machines_sentence(found)
    assert effects.effects_table(found)["across_machines"].sum() == len(effects.METRICS)


def test_runs_on_other_data_are_never_paired():
    plain, weighted = make_record(**BASE, beta=None), make_record(**BASE, beta=0.75)
    moved = dataclasses.replace(weighted, inputs={**weighted.inputs, "data": "e" * 64})
    assert effects.twins([plain, moved], effects.BETA) == []


@pytest.mark.parametrize(("shift", "sign"), [(3.0, 1), (-3.0, -1)])
def test_the_sign_of_an_effect_follows_the_runs(shift, sign):
    plain = make_record(**BASE, beta=None)
    weighted = shifted(make_record(**BASE, beta=0.75), shift)
    table = effects.effects_table(effects.paired_differences([plain, weighted]))
    row = table[(table["contrast"] == effects.BETA.name) & (table["metric"] == "sensitivity")].squeeze()
    assert row["pairs"] == 1 and np.sign(row["mean"]) == sign
    assert (row["higher"], row["lower"]) == ((1, 0) if sign > 0 else (0, 1))
    none = table[table["contrast"] == effects.CONTRASTS[-1].name]
    assert (none["pairs"] == 0).all() and none["mean"].isna().all()


def test_the_tests_are_those_of_the_predictions_and_corrected_together():
    plain = make_record(**BASE, beta=None)
    weighted = shifted(make_record(**BASE, beta=0.75), -4.0)
    table = effects.beta_tests([plain, weighted]).set_index("measure")
    one, two = weighted.test(), plain.test()
    truth = one["label"].to_numpy() == 1
    right = [(frame["probability"].to_numpy() > 0.5) == truth for frame in (one, two)]
    expected = mcnemar(right[0][truth], right[1][truth])
    assert table.loc["sensitivity", "p"] == expected.pvalue
    assert table.loc["sensitivity", "second_only"] == expected.second_only > 0
    assert table.loc["auroc", "p"] == pytest.approx(delong(truth, one["logit"], two["logit"]).pvalue)
    assert (table["p_holm"] >= table["p"]).all()
    assert "Holm" in table.loc["sensitivity", "sentence"] and "clean, seed 0" in table.loc["sensitivity", "sentence"]


@pytest.mark.parametrize(("shift", "against"), [(-4.0, 1), (0.0, 0)])
def test_the_sentence_counts_what_can_be_told_apart(shift, against):
    plain = make_record(**BASE, beta=None)
    weighted = shifted(make_record(**BASE, beta=0.75), shift)
    sentence = effects.told_apart(effects.beta_tests([plain, weighted]))
    assert f"sensitivity in {against} of 1 pairs" in sentence
    assert ("1 against it" in sentence) == bool(against)


def test_without_pairs_nothing_is_claimed():
    assert effects.beta_tests([]).empty
    assert effects.told_apart(effects.beta_tests([])).startswith("No pair")
    assert effects.paired_differences([]).empty
