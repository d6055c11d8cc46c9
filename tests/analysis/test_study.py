"""What the study's chapters compute from records: pairs, Table II, effects, claims, the released code, the pilot."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis import effects, experiments, related, released
from cxrlib.analysis.pairs import METRICS, match, matched_pairs, repeated, value
from cxrlib.analysis.sentences import count, estimate, interval, listed, percent, signed
from cxrlib.paper.tables import BASELINES, TABLE_2
from cxrlib.protocols import PROTOCOLS
from tests.builders import make_record

SQUEEZENET = {"model": "squeezenet", "head": "native", "pretraining": "imagenet"}


@pytest.fixture(scope="module")
def records():
    """SqueezeNet with and without the weight, three protocols, two seeds, a little better with overlap; one dead run."""
    found = [
        make_record(strength={"clean": 1.5, "paper": 2.5, "released": 2.0}[p] + (0.3 if b else 0), noise_seed=7 + s, beta=b, protocol=p, seed=s, **SQUEEZENET)
        for p in PROTOCOLS for b in (None, 0.75) for s in (0, 1)
    ]  # fmt: skip
    return [*found, make_record(strength=0.0, beta=4.0, protocol="clean", **SQUEEZENET)]


def test_pairs_are_equal_in_everything_but_one_field(records):
    pairs = matched_pairs(records, "beta", 0.75, None)
    assert len(pairs) == 6 and pairs.degenerate == 0 and pairs.identical == 0
    for one, other in pairs.pairs:
        assert one.config.replace(beta=None) == other.config
    assert (pairs.differences("auroc") == [value(a, "auroc") - value(b, "auroc") for a, b in pairs.pairs]).all()


def test_a_network_that_learned_nothing_is_left_out_and_counted(records):
    assert (len(matched_pairs(records, "beta", 4.0, None)), matched_pairs(records, "beta", 4.0, None).degenerate) == (
        0,
        1,
    )


def test_a_pair_of_one_run_twice_is_called_identical_and_other_data_do_not_pair():
    one = make_record(protocol="paper", noise_seed=1)
    same = make_record(protocol="paper+checkpoint=last", noise_seed=1)
    assert matched_pairs([one, same], "protocol", "paper+checkpoint=last", "paper").identical == 1
    same.inputs["data"] = "e" * 64
    assert len(matched_pairs([one, same], "protocol", "paper+checkpoint=last", "paper")) == 0


def test_precision_keeps_runs_apart_and_a_head_may_follow_its_network():
    bf16 = make_record(beta=None, precision="bfloat16")
    assert len(matched_pairs([make_record(), bf16], "beta", 0.75, None)) == 0
    acnn, resnet = make_record(model="acnn"), make_record(model="resnet50", head="native")
    assert len(matched_pairs([acnn, resnet], "model", "acnn", "resnet50")) == 1


def test_repeated_runs_differ_in_their_seed_alone(records):
    pairs = repeated(records)
    assert len(pairs) == 6 and all(a.config.replace(seed=b.config.seed) == b.config for a, b in pairs)


def test_the_papers_rows_are_matched_by_the_same_engine():
    fields = ("cohort", "model", "pretraining", "beta")
    assert len(match(TABLE_2, fields, "beta", 0.75, None)) == 10


def test_table_2_has_every_row_under_every_protocol_and_means_over_sound_seeds(records):
    table = experiments.table_2(records)
    assert len(table) == 3 * (len(TABLE_2) + len(BASELINES) + len(experiments.BEYOND))
    cell = table[
        (table["model"] == "squeezenet")
        & (table["recipe"] == "paper")
        & (table["protocol"] == "clean")
        & (table["beta"] == 0.75)
    ].iloc[0]
    same = [r for r in records if r.config.protocol == "clean" and r.config.beta == 0.75]
    assert (
        cell["runs"] == 2
        and cell["degenerate"] == 0
        and cell["bacc"] == pytest.approx(np.mean([value(r, "bacc") for r in same]))
    )
    assert cell["bacc_low"] <= cell["bacc"] <= cell["bacc_high"] and cell["bacc_sd"] > 0
    assert table.loc[table["in_paper"], "runs"].sum() == 0 and "0 of the table's 66 cells" in experiments.coverage(
        table
    )
    assert "Here SqueezeNet with its own classifier (β = 0.75) reaches" in experiments.headline(table)


def test_only_a_profiles_own_runs_stand_in_the_table():
    assert experiments.standard(make_record(**SQUEEZENET).config)
    for change in ({"image_size": 32}, {"learning_rate": 1e-3}, {"batch_norm": "keras"}, {"head": "released"}):
        assert not experiments.standard(make_record(**{**SQUEEZENET, **change}).config)


def test_effects_are_described_beside_the_noise_of_training_again(records):
    pairs = effects.pairs_by_contrast(records)
    differences = effects.paired_differences(pairs)
    table = effects.effects_table(pairs, differences)
    assert set(table["contrast"]) == {
        "β = 0.75 against no β",
        "β = 4 against no β",
        "protocol paper against clean",
        "protocol released against clean",
    }
    dead = table[table["contrast"] == "β = 4 against no β"].iloc[0]
    assert (dead["pairs"], dead["degenerate"]) == (0, 1) and pd.isna(dead["mean"])
    paper = table[(table["contrast"] == "protocol paper against clean") & (table["metric"] == "AUROC")].iloc[0]
    assert paper["pairs"] == 4 and paper["mean"] > 0
    noise = effects.retraining_noise(records)
    assert (noise["band"] >= 0).all() and "differ" in effects.noise_sentence(noise)
    assert "4 pairs" in effects.overlap_sentence(pairs)
    assert effects.overlap_sentence(effects.pairs_by_contrast([])) == "No run has been made under both protocols."


def test_claims_are_read_in_the_same_way_from_the_paper_and_from_records(records):
    found = effects.claim_differences(records)
    table = effects.claims_table(records, found).set_index("claim")
    assert table.loc[effects.CLAIMS[0].statement, "paper's Table II"].startswith("5 of 5 matched pairs agree")
    assert "of 6 matched pairs" in table.loc[effects.CLAIMS[0].statement, "our records"]
    assert table.loc[effects.CLAIMS[4].statement, "our records"] == "No matched pair has been run."
    assert "hold in no more than half" in effects.claims_answer(found)
    assert effects.verdict(np.array([0.1, -0.1, 0.0]), 1).startswith("1 of 3 matched pairs agree, 1 tied")


def test_what_the_released_loss_does_is_a_table_of_who_learned_and_a_difference_of_differences(records):
    dead = make_record(strength=0.0, beta=None, protocol="released", seed=5, **SQUEEZENET)
    learned = released.learned_table([*records, dead])
    assert learned["runs"].sum() == 13 and learned["learned"].sum() == 12
    assert (
        "Of 3 runs with that loss 1 learned nothing, of 10 runs of the same networks with (weighted) cross-entropy 0."
        in released.learned_sentence(learned)
    )
    effect = released.loss_effect(records)
    row = effect[(effect["metric"] == "auroc") & (effect["seed"] == 0)].iloc[0]
    assert row["effect"] == pytest.approx(row["without"] - row["with"])
    pairs = released.pairs_by_factor(records)
    factors = effects.paired_differences(pairs, "factor")
    assert set(factors["factor"]) == {"everything the released code does"}
    assert "difference of differences" in released.answer(factors, effect, learned)
    assert len(released.factor_table(pairs, factors, records)) == len(METRICS)


def test_the_linear_loss_learns_exponentially_slowly_and_its_slopes_are_exact():
    assert released.learning_time(5.0, "linear") / released.learning_time(5.0, "cross_entropy") > 20
    table = released.loss_table().set_index(["loss", "log_odds"]).sort_index()
    linear = table.loc["linear, as released"]
    p = 1 / (1 + np.exp(-linear.index.to_numpy()))
    assert np.allclose(linear["gradient"], -p * (1 - p)) and np.allclose(linear["value"], np.log1p(np.exp(-1)) + 1 - p)


def test_one_run_is_set_beside_the_papers_row_where_it_has_one():
    record = make_record(model="resnet50", pretraining="imagenet")
    assert "the paper prints 0.9987" in str(experiments.run_headline(record)["paper_sentence"])
    table = experiments.comparison_table(record).set_index("metric")
    assert table.loc["bACC", "paper"] == 0.9987 and np.isnan(table.loc["AUROC", "paper"])
    assert table.loc["AUROC within source", "this run"] == record.metrics["within_source"]["value"]
    assert experiments.paper_row(make_record(beta=None, loss="focal").config) is None
    assert len(experiments.protocol_table()) == 9 and len(experiments.provenance_table(record)) == 12


def test_the_pilot_shows_who_learned_beside_the_priors_entropy():
    dead = make_record(strength=0.0, model="resnet50", head="released", beta=None)
    alive = make_record(model="resnet50", head="native", beta=None)
    table = effects.pilot_table([dead, alive]).set_index("head")
    assert table.loc["released", "learned"] == "0 of 1" and table.loc["own classifier", "learned"] == "1 of 1"
    assert table.loc["released", "positions"] == "2 x 2" and table.loc["released", "prior's entropy"] == pytest.approx(
        0.6365, abs=1e-3
    )
    assert "nothing at all is learned by ResNet-50 from random weights at 64 px" in effects.head_sentence([dead, alive])
    larger = make_record(model="resnet50", head="released", beta=None, image_size=128)
    assert "At 128 px ResNet-50 from random weights learns under it" in effects.head_sentence([dead, alive, larger])
    assert "learns" not in effects.head_sentence([alive, larger])


def test_related_systems_stand_in_one_table_and_say_what_was_not_run(records):
    svm = pd.DataFrame([{f"{m}{end}": 0.5 for m in related.METRICS for end in ("", "_low", "_high")}]).assign(
        train=1, test=1
    )
    table = related.related_table(svm, records).set_index("system")
    assert table.loc["the network itself, for comparison", "runs"] == 2
    assert "(not run)" in table.loc["Apostolopoulos et al. [11]", "here"]


def test_helpers_of_sentences():
    assert (count(1, "run"), count(2, "run"), count(0, "pair")) == ("1 run", "2 runs", "0 pairs")
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c" and listed([]) == ""
    assert signed(0.01234) == "+0.012" and percent(0.5) == "50.0\N{NO-BREAK SPACE}%"
    assert interval(0.1, 0.2) == "[0.100, 0.200]" and interval(None, 0.2) == "no interval"
    assert estimate(None, None, None) == "not defined" and estimate(0.5, 0.1, 0.9, 1) == "0.5 [0.1, 0.9]"
