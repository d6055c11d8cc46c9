"""Pairs of recorded runs, the choices made on validation data, and the answer that follows the records."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from tests.records.test_record import make_record as make_full_record

from cxrlib.analysis.beta import nested, networks, scores, study, threshold
from cxrlib.analysis.beta.answer import answer
from cxrlib.config import RunConfig
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import tune_threshold
from cxrlib.evaluation.ranking import weighted_bacc
from cxrlib.records.record import Record


def make_record(beta: float | None, seed: int = 0, shift: float | None = None, noise: float = 0.0, **changes) -> Record:
    """A run whose log-odds are those of a plain run of the same seed plus `shift` (log beta unless given)."""
    config = RunConfig.create(
        **{"edition": "phantom", "pretraining": "none", "protocol": "clean", "beta": beta, "seed": seed, **changes}
    )
    rng = np.random.default_rng(seed)
    n = 600
    label = (np.arange(n) % 5 == 0).astype(np.int8)
    logit = rng.normal(2.5 * label - 1.8, 1.0)
    logit += np.log(beta or 1.0) if shift is None else shift
    logit += np.random.default_rng(seed + 100).normal(0, noise, n) if noise else 0
    frame = pd.DataFrame(
        {
            "split": np.where(np.arange(n) % 2, "test", "valid"),
            "image_id": [f"phantom/{k}" for k in range(n)],
            "component": np.arange(n) // 2,
            "overlap": False,
            "label": label,
            "logit": logit.astype(np.float32),
            "probability": expit(logit).astype(np.float32),
        }
    )
    provenance = {"training_code": "x", "machine": "a machine", "counts": {"train": {"covid": 200, "non_covid": 800}}}
    return Record(config, {"data": "d" * 64, "weights": None}, {}, frame, pd.DataFrame(), provenance)


SWEEP = (0.5, 1.0, 2.0)


@pytest.fixture(scope="module")
def check() -> pd.DataFrame:
    return threshold.check_known_eta((0.5, 2.0))


def test_a_pure_shift_is_recognised_as_a_threshold():
    table = study.pairs([make_record(beta, seed) for beta in SWEEP for seed in (0, 1)])
    moved = table[table["against"] == "threshold moved"]
    assert len(moved) == 4 and len(table) == 12
    np.testing.assert_allclose(moved["share_of_shift"], 1, atol=1e-5)
    assert (moved[["sensitivity", "specificity", "bacc"]].abs() < 0.01).all(axis=None)
    assert (moved["holm_sensitivity"] > 0.9).all()
    half = table[(table["against"] == "threshold 1/2") & (table["beta"] == 2.0)]
    assert (half["sensitivity"] > 0).all() and (half["specificity"] < 0).all()
    over = study.over_seeds(table)
    assert (over["seeds"] == 2).all() and len(over) == 6


def test_only_runs_that_differ_in_beta_alone_are_paired():
    plain = make_record(None)
    assert len(study.pairs([plain, make_record(0.5)])) == 3
    for stranger in (make_record(0.5, seed=1), make_record(0.5, model="acnn"), make_record(0.5, protocol="paper")):
        assert study.pairs([plain, stranger]).empty
    other = make_record(0.5)
    assert study.pairs(
        [plain, Record(other.config, {"data": "e" * 64, "weights": None}, *list(vars(other).values())[2:])]
    ).empty


def test_the_released_baseline_is_not_plain_cross_entropy():
    weighted = make_record(0.5, protocol="released")
    assert study.pairs([make_record(None, protocol="released"), weighted]).empty
    assert len(study.pairs([make_record(1.0, protocol="released"), weighted])) == 3
    assert len(study.pairs([make_record(None, protocol="released+loss_without_beta=cross_entropy"), weighted])) == 3


def test_the_answer_changes_when_the_records_do(check):
    same = study.pairs([make_record(beta, seed) for beta in SWEEP for seed in (0, 1)])
    ignored = study.pairs([make_record(b, s, shift=0.0) for b in (1.0, 20.0) for s in (0, 1)])
    texts = [answer(check, table) for table in (same, ignored, study.pairs([]))]
    assert len(set(texts)) == 3
    assert "In 4 recorded pairs" in texts[0] and "no pair can be told apart" in texts[0]
    assert "2 of the pairs can be told apart" in texts[1]
    assert "No pair of networks" in texts[2] and "nothing is said" in texts[2]
    assert all(text.count(". ") == 1 and text.endswith(".") for text in texts)


def test_the_answer_does_not_confirm_a_failed_check(check):
    wrong = check.assign(pointwise=0.1)
    assert "not confirmed" in answer(wrong, study.pairs([]))
    assert "decides as plain cross-entropy" in answer(check, study.pairs([]))


def test_the_answer_quotes_the_live_experiment_only_without_records(check):
    table = scores.scores_of([make_record(beta, noise=0.5 if beta != 1 else 0) for beta in SWEEP])
    live = study.equivalence(table)
    assert "live experiment" in answer(check, study.pairs([]), live)
    assert "live experiment" not in answer(check, study.pairs([make_record(b) for b in SWEEP]), live)
    shifted = live.assign(share_of_shift=live["share_of_shift"] + 1)
    assert answer(check, study.pairs([]), live) != answer(check, study.pairs([]), shifted)


def test_missing_runs_are_named():
    assert "No run with a weight" in study.missing_sentence([])
    assert "1 of them without a plain run" in study.missing_sentence([make_record(0.5)])
    assert "at 3 of its 7 weights" in study.missing_sentence([make_record(b) for b in SWEEP])


def test_equivalence_of_scores_agrees_with_pairs():
    runs = [make_record(beta, seed, noise=0.7 if beta != 1 else 0) for beta in SWEEP for seed in (0, 1)]
    moved = study.pairs(runs)
    moved = moved[moved["against"] == "threshold moved"].sort_values(["seed", "beta"])
    table = study.equivalence(scores.scores_of(runs))
    for name in ("share_of_shift", "decided_differently", "sensitivity", "specificity", "bacc"):
        np.testing.assert_allclose(table[name], moved[name], atol=1e-6)


def test_sweep_takes_the_richest_balanced_configuration():
    runs = [make_record(beta, seed) for beta in SWEEP for seed in (0, 1)] + [make_record(4.0, 0)]
    runs += [make_record(beta, 0, model="acnn") for beta in SWEEP]
    taken = scores.sweep(runs)
    assert {(r.config.beta, r.config.seed) for r in taken} == {(b, s) for b in SWEEP for s in (0, 1)}
    assert scores.sweep([make_record(0.5)]) == [] and scores.recorded_evidence([], "") is None


@pytest.fixture
def swept() -> pd.DataFrame:
    return scores.scores_of(
        [make_record(b, s, noise=0.3 if b != 1 else 0) for b in (0.25, *SWEEP, 4.0) for s in (0, 1)]
    )


def test_tuning_is_that_of_the_metrics_for_balanced_accuracy(swept):
    part = swept[(swept["method"] == scores.PLAIN) & (swept["fold"] == 0) & (swept["split"] == "valid")]
    cut = nested.tune_cut(part["label"], part["logit"])
    expected = tune_threshold(part["label"].to_numpy(), expit(part["logit"].to_numpy()))
    at = [nested.utility(part["label"], part["logit"] > c) for c in (cut, np.log(expected / (1 - expected)))]
    assert at[0] == pytest.approx(at[1])
    assert (
        nested.tune_cut(part["label"], part["logit"], 0.95) < cut < nested.tune_cut(part["label"], part["logit"], 0.05)
    )


def test_utility_at_one_half_is_balanced_accuracy():
    rng = np.random.default_rng(0)
    y, called, weights = rng.random(50) < 0.4, rng.random(50) < 0.5, rng.integers(0, 3, (7, 50)).astype(np.float32)
    np.testing.assert_allclose(nested.weighted_utility(y, called, weights, 0.5), weighted_bacc(y, called, weights))


def test_choices_never_see_the_test_images(swept):
    flipped = swept.copy()
    test = flipped["split"] == "test"
    flipped.loc[test, "label"] = 1 - flipped.loc[test, "label"]
    for rule in (nested.at_tuned, nested.with_chosen_beta, nested.at_adjusted):
        assert rule(swept)["setting"].tolist() == rule(flipped)["setting"].tolist()
    assert nested.at_oracle_cut(swept)["setting"].tolist() != nested.at_oracle_cut(flipped)["setting"].tolist()


def test_costs_drive_the_chosen_weight(swept):
    dear, cheap = (nested.with_chosen_beta(swept, pc)["setting"].mean() for pc in (0.9, 0.02))
    assert dear > 1 > cheap
    table = nested.regret_table(swept, 0.2, (1, 10))
    assert table.loc[table["rule"] == "oracle threshold", "regret"].eq(0).all()
    plain = table[table["rule"].str.startswith("plain CE")]
    assert (plain["regret"] >= -1e-12).all()
    known = table[table["rule"] == "plain CE, threshold from costs"].groupby("cost_ratio")["setting"].first()
    assert known[10] == pytest.approx(10 * known[1])


def test_rules_table_is_paired_and_ordered(swept):
    rules = nested.nested_rules(swept)
    table = nested.rules_table(rules, "plain CE, threshold tuned", draws=200).set_index("rule")
    reference = table.loc["plain CE, threshold tuned"]
    assert reference["difference"] == reference["difference_low"] == reference["difference_high"] == 0
    assert (table["utility_low"] <= table["utility"]).all() and (table["utility"] <= table["utility_high"]).all()
    assert table.loc["oracle threshold", "utility"] >= reference["utility"]
    assert table.loc["oracle β", "utility"] >= table.loc["β chosen, threshold 1/2", "utility"]
    with pytest.raises(DataError, match="same images"):
        nested.rules_table({**rules, "other": rules["oracle β"].iloc[1:]}, "plain CE, threshold tuned", draws=10)


def loss_record(loss: str, shift: float = 0.0) -> Record:
    """A record of the best row under `loss`; `shift` moves the positives' log-odds, so that it ranks better or worse."""
    record = make_full_record(
        cohort="combined", model="resnet50", pretraining="imagenet", beta=None, protocol="clean", loss=loss
    )
    frame = record.predictions.copy()
    frame["logit"] += np.where(frame["label"] == 1, shift, 0).astype(np.float32)
    return dataclasses.replace(record, predictions=frame)


def test_losses_of_full_networks_are_set_beside_plain_cross_entropy():
    table = networks.losses_table([loss_record("wce"), loss_record("focal", 4.0), loss_record("ldam", -4.0)])
    tuned = table[table["rule"] == "tuned"].set_index("loss")["difference"]
    assert tuned["plain CE"] == 0 and tuned["focal"] > 0 > tuned["LDAM"]
    assert table.columns[0] == "loss" and set(table["rule"]) == {"1/2", "tuned", "adjusted"}


def test_the_sentence_on_losses_names_the_missing_and_follows_the_records():
    better = networks.losses_sentence([loss_record("wce"), loss_record("focal", 6.0)])
    assert "focal at tuned" in better and "Not recorded yet: class-balanced, LDAM" in better
    worse = networks.losses_sentence([loss_record("wce"), loss_record("focal", -6.0)])
    assert "wholly below (focal at" in worse
    assert networks.losses_table([loss_record("wce")]).empty
    assert "No alternative has been recorded" in networks.losses_sentence([loss_record("wce")])


def test_alternative_losses_never_enter_the_pairs_of_weights():
    assert not scores.by_weight([loss_record("focal"), loss_record("resampled")])
