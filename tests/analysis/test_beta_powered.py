"""The powered study on made-up records: what a pure threshold, a real change and mere noise look like in it."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from cxrlib.analysis.beta import powered, rules
from cxrlib.config import RunConfig, checked
from cxrlib.evaluation.intervals import Bootstrap, interval_of, weighted_rates
from cxrlib.evaluation.metrics import summary
from cxrlib.evaluation.sources import within_source
from cxrlib.records.evaluate import degenerate
from cxrlib.records.record import Record

BETAS = (None, 0.5, 4.0)


def make_run(
    beta: float | None, draw: int, seed: int, shift: float | None = None, gain: float = 0.0, **changes
) -> Record:
    """A run whose log-odds are the images', plus noise of its seed, plus `shift` (log beta unless given).

    gain: how much further apart its classes lie, within a source too.
    """
    settings = {
        "edition": "open",
        "cohort": "combined",
        "model": "squeezenet",
        "head": "native",
        "pretraining": "imagenet",
    }
    settings |= {
        "image_size": 64,
        "epochs": 10,
        "patience": 3,
        "batch_size": 16,
        "precision": "float32",
        "profile": "cpu",
    }
    config = checked(
        RunConfig, {**settings, "protocol": "clean", "beta": beta, "draw_seed": draw, "seed": seed, **changes}
    )
    images, noise = np.random.default_rng(draw), np.random.default_rng((draw, seed))
    n = 240
    label = (np.arange(n) % 4 == 0).astype(np.int8)
    logit = images.normal(1.8 * label - 1.0, 1.0) + noise.normal(0, 0.4, n) + gain * (label - 0.5)
    logit += np.log(beta or 1.0) if shift is None else shift
    frame = pd.DataFrame(
        {
            "split": np.where(np.arange(n) % 2 == np.arange(n) // 4 % 2, "test", "valid"),
            "image_id": [f"d{draw}/{k}" for k in range(n)],
            "source": np.where(np.arange(n) % 8 < 4, "mixed", np.where(label == 1, "ill", "well")),
            "component": 1000 * draw + np.arange(n) // 2,
            "overlap": False,
            "label": label,
            "logit": logit.astype(np.float32),
            "probability": expit(logit).astype(np.float32),
        }
    )
    inputs = {"data": "d" * 64, "samples": "s" * 64, "weights": None}
    test = frame[frame["split"] == "test"]
    y, p, z = (test[name].to_numpy() for name in ("label", "probability", "logit"))
    metrics = {"test": summary(y, p, scores=z, groups=test["component"], draws=5)}
    metrics["within_source"] = within_source(test, draws=5)
    metrics["degenerate"] = degenerate(test, metrics["test"])
    return Record(config, inputs, metrics, frame, pd.DataFrame(), {"machine": "a machine"})


def study(draws: int = 40, **weighted) -> powered.Powered:
    runs = [make_run(None, d, s) for d in (0, 1) for s in range(4)]
    runs += [make_run(beta, d, s, **weighted) for beta in BETAS[1:] for d in (0, 1) for s in range(4)]
    return powered.powered(runs, draws=draws)


@pytest.fixture(scope="module")
def shifted() -> powered.Powered:
    return study()


@pytest.fixture(scope="module")
def better() -> powered.Powered:
    return study(shift=0.0, gain=2.0)


def rows(study: powered.Powered, metric: str) -> pd.DataFrame:
    return study.effects[study.effects["metric"] == metric]


def test_a_pure_shift_is_a_threshold(shifted):
    assert rows(shifted, "moved")["pairs"].tolist() == [8, 8] and set(shifted.effects["protocol"]) == {"clean"}
    np.testing.assert_allclose(rows(shifted, "shift")["difference"], 1, atol=1e-5)
    assert (rows(shifted, "moved")["difference"].abs() < 0.01).all() and (
        rows(shifted, "changed")["difference"] < 0.01
    ).all()
    assert (rows(shifted, "changed")["noise"] > 0.02).all() and (rows(shifted, "excess")["difference_high"] < 0).all()
    assert "not distinguishable from moving the threshold" in powered.threshold_sentence(shifted)
    for metric in ("auroc", "within_source"):
        assert (rows(shifted, metric)["difference"].abs() < 1e-3).all()
    assert "0 of 2 are distinguishable" in powered.ranking_sentence(shifted)


def test_a_better_ranking_is_recognised(better):
    ranked = rows(better, "auroc")
    assert (ranked["difference_low"] > ranked["noise"]).all()
    assert ranked["p"].tolist() == pytest.approx([2 / 2**8] * 2) and ranked["p_holm"].tolist() == pytest.approx(
        [4 / 2**8] * 2
    )
    assert "2 of 2 are distinguishable" in powered.ranking_sentence(better)
    assert "training with β was better at β = 0.5 and better at β = 4" in powered.threshold_sentence(better)
    direct = np.mean([record.metrics["test"]["auroc"] for record in better_runs()])  # by scikit-learn
    mean = better.runs[(better.runs["beta"] == "4") & (better.runs["metric"] == "auroc")]["value"].mean()
    assert mean == pytest.approx(direct)
    plain = better.runs[(better.runs["beta"] == "none") & (better.runs["metric"] == "auroc")]["value"].mean()
    assert ranked.set_index("beta").loc["4", "difference"] == pytest.approx(mean - plain, abs=1e-6)


def better_runs() -> list[Record]:
    return [make_run(4.0, d, s, shift=0.0, gain=2.0) for d in (0, 1) for s in range(4)]


def test_the_noise_is_that_of_seeds_within_a_draw(shifted):
    plain = shifted.runs[(shifted.runs["beta"] == "none") & (shifted.runs["metric"] == "bacc")]
    values = [part["value"].to_numpy() for _, part in plain.groupby("draw_seed")]
    gaps = np.concatenate([np.abs(v[:, None] - v)[np.triu_indices(len(v), 1)] for v in values])
    assert len(gaps) == 12 and plain["noise"].unique() == pytest.approx(np.quantile(gaps, 0.95))


def test_what_learned_nothing_or_differs_otherwise_is_left_out_and_counted():
    runs = [make_run(beta, 0, s) for beta in (None, 0.5) for s in range(3)]
    runs += [
        make_run(0.5, 0, 9, precision="bfloat16"),
        make_run(None, 0, 9, precision="bfloat16"),
        make_run(0.5, 0, 3, gain=-9),
    ]
    found = powered.powered(runs, draws=20)
    assert (found.degenerate, found.aside) == (1, 2) and rows(found, "moved")["pairs"].tolist() == [3]
    sentence = powered.recorded_sentence(found)
    assert (
        "6 runs in 2 of 21" in sentence and "1 run left out" in sentence and "2 runs of another precision" in sentence
    )


def test_a_threshold_is_not_moved_where_the_loss_without_a_weight_is_another():
    found = powered.powered([make_run(b, 0, s, protocol="released") for b in (None, 0.5) for s in (0, 1)], draws=5)
    assert set(found.effects["metric"]) == set(powered.METRICS)
    assert "nothing is said" in powered.threshold_sentence(found, "released")


def test_too_few_pairs_are_said_to_be_too_few():
    found = powered.powered([make_run(b, 0, s, 0.0, gain=2.0 * (b or 0)) for b in (None, 0.5) for s in (0, 1)], draws=5)
    assert "2 pairs a weight are too few" in powered.threshold_sentence(found)


def test_an_identical_pair_is_said():
    runs = [make_run(beta, 0, s, shift=0.0) for beta in (None, 0.5) for s in range(2)]
    assert "2 weighted runs identical" in powered.recorded_sentence(powered.powered(runs, draws=20))


def test_without_records_every_sentence_says_so():
    empty = powered.powered([])
    assert "nothing is said on networks" in powered.threshold_sentence(empty)
    assert "No run of the powered study" in powered.recorded_sentence(empty)
    assert "No two runs" in powered.ranking_sentence(empty)


def test_runs_that_share_images_are_not_counted_as_independent():
    rng = np.random.default_rng(0)
    right = rng.random(100) < 0.7
    truth = np.ones(100, bool)
    widths = []
    for seeds in (1, 10):
        boot = Bootstrap(np.arange(100), truth, [(0, s) for s in range(seeds)], draws=400)
        drawn, _ = weighted_rates(truth, right, boot.images(np.arange(100)))
        value, low, high = interval_of(boot.mean({(0, s): drawn for s in range(seeds)}))
        assert value == pytest.approx(right.mean()) and low < value < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.15)  # ten equal networks know no more than one


def test_scores_of_records_name_the_loss():
    table = rules.scores_of([make_run(None, 0, 0), make_run(4.0, 0, 0), make_run(None, 0, 0, loss="focal")])
    assert list(table.columns) == list(rules.COLUMNS)
    assert table.groupby("method")["weight"].first().to_dict() == pytest.approx(
        {"plain CE": 1.0, "β = 4": 4.0, "focal": np.nan}, nan_ok=True
    )
    assert rules.scores_of([]).empty
