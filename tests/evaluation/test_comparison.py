"""Paired comparison: McNemar, DeLong, Holm, power and the sentences."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from cxrlib.errors import DataError
from cxrlib.evaluation.comparison import (
    PAIRS_NEEDED,
    DeLong,
    McNemar,
    delong,
    detectable_difference,
    holm,
    mcnemar,
    paired_tests,
    verdict_sentence,
)


def pairs(both, one, two, neither):
    """Correctness of two classifiers with these counts."""
    counts = [both, one, two, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4))
def test_mcnemar_is_statsmodels_exact(counts):
    both, one, two, neither = counts
    ours = mcnemar(*pairs(*counts))
    assert (ours.pairs, ours.first_only, ours.second_only) == (sum(counts), one, two)
    if one + two:
        theirs = statsmodels_mcnemar([[both, one], [two, neither]], exact=True).pvalue
        assert ours.pvalue == pytest.approx(min(theirs, 1.0), rel=1e-10)
    else:
        assert ours.pvalue == 1.0


def test_the_papers_lead_of_three_false_positives():
    assert mcnemar(*pairs(2989, 3, 0, 8)).pvalue == 0.25


def test_six_pairs_at_five_percent():
    assert PAIRS_NEEDED == 6
    assert mcnemar(*pairs(0, 6, 0, 0)).pvalue <= 0.05 < mcnemar(*pairs(0, 5, 0, 0)).pvalue


@pytest.mark.parametrize("images", [15, 40, 400])
def test_the_detectable_difference_has_its_power_over_every_outcome(images):
    found = detectable_difference(images)
    rejected = [mcnemar(*pairs(0, n, 0, images - n)).pvalue <= 0.05 for n in range(images + 1)]
    assert binom.pmf(np.arange(images + 1), images, found) @ rejected == pytest.approx(0.8)


def test_detectable_difference():
    found = detectable_difference(40)
    assert 0.18 < found < 0.20  # with 40 positives: about 19 points of sensitivity
    assert detectable_difference(400) < found
    assert math.isnan(detectable_difference(5))


def brute_force(labels, scores):
    """AUROC and its components by comparing every pair."""
    x, y = scores[labels == 1], scores[labels == 0]
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return wins.mean(), wins.mean(axis=1), wins.mean(axis=0)


def error(test):
    """Standard error of the difference, from its 95 % interval."""
    return (test.high - test.low) / 2 / norm.ppf(0.975)


def random_case(seed, positives=17, negatives=60, digits=1):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([1, 0], [positives, negatives]))
    shared = generator.normal(size=len(labels))
    draw = lambda: np.round(labels + shared + generator.normal(size=len(labels)), digits)  # noqa: E731
    return labels, draw(), draw()


@pytest.mark.parametrize("seed", range(8))
def test_delong_is_the_brute_force_one(seed):
    labels, first, second = random_case(seed)
    slow = [brute_force(labels, scores) for scores in (first, second)]
    variance = np.cov([s[1] for s in slow]) / 17 + np.cov([s[2] for s in slow]) / 60
    difference = slow[0][0] - slow[1][0]
    ours = delong(labels, first, second)
    assert ours.first == pytest.approx(roc_auc_score(labels, first), abs=1e-12)
    assert ours.second == pytest.approx(roc_auc_score(labels, second), abs=1e-12)
    contrast = np.array([1, -1])
    assert error(ours) == pytest.approx(math.sqrt(contrast @ variance @ contrast), rel=1e-9)
    assert (ours.low + ours.high) / 2 == pytest.approx(difference, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_delong_is_a_librarys(seed):
    labels, first, second = random_case(seed, 40, 400, digits=6)
    ours = delong(labels, first, second)
    z, pvalue = Delong_test(labels, first, second, return_ci=False, return_auc=False)[:2]
    assert abs(ours.first - ours.second) / error(ours) == pytest.approx(abs(z), rel=1e-6)
    assert ours.pvalue == pytest.approx(pvalue, rel=1e-6)


def test_delong_covers_under_the_null():
    rejected = [delong(*random_case(seed, 40, 200)).pvalue < 0.05 for seed in range(400)]
    assert 0.02 < np.mean(rejected) < 0.09


def test_delong_without_variance():
    labels, perfect = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    same = delong(labels, perfect, perfect**2)
    assert (same.low, same.high, same.pvalue) == (0.0, 0.0, 1.0)
    assert math.isnan(delong(labels, perfect, -perfect).pvalue)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    adjusted = holm([0.01, float("nan"), 0.04])
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.04])
    assert holm([]).shape == (0,)


def frame(labels, logits):
    names = [f"image {i:03d}" for i in range(len(labels))]
    p = 1 / (1 + np.exp(-np.asarray(logits, float)))
    return pd.DataFrame({"image_id": names, "label": labels, "logit": logits, "probability": p})


def test_predictions_are_paired_by_image():
    labels, first, second = random_case(0)
    one, two = frame(labels, first), frame(labels, second).sample(frac=1, random_state=0)
    tests = paired_tests(one, two, "A", "B").set_index("metric")
    right_one, right_two = (first > 0) == (labels == 1), (second > 0) == (labels == 1)
    ours = tests["pvalue"]
    assert ours["accuracy"] == mcnemar(right_one, right_two).pvalue
    assert ours["sensitivity"] == mcnemar(right_one[labels == 1], right_two[labels == 1]).pvalue
    assert ours["auroc"] == delong(labels, first, second).pvalue
    assert tests["holm"].tolist() == holm(ours.tolist()).tolist()
    assert tests["sentence"].str.contains("Of 60 non-COVID images").sum() == 1
    with pytest.raises(DataError, match="same images"):
        paired_tests(one, two.iloc[1:], "A", "B")
    with pytest.raises(DataError, match="same images"):
        paired_tests(one, two.assign(label=1 - two["label"]), "A", "B")


def test_sentences_carry_the_numbers_and_the_verdict():
    close, clear = McNemar(40, 3, 1, 0.625), McNemar(3000, 20, 2, 0.00012)
    text = verdict_sentence(close, 1.0, "COVID images", "β = 0.75", "no β")
    assert "Of 40 COVID images, 3 are right only with β = 0.75 and 1 only with no β" in text
    assert "does not distinguish them (p = 0.62; after Holm's correction p = 1.00)" in text
    assert "distinguishes them (p < 0.001; after" in verdict_sentence(clear, 0.0005, "test images", "A", "B")
    assert "does not distinguish them" in verdict_sentence(clear, 0.06, "test images", "A", "B")
    assert "same ones" in verdict_sentence(McNemar(40, 0, 0, 1.0), 1.0, "test images", "A", "B")
    text = verdict_sentence(DeLong(0.99, 0.97, 0.004, 0.036, 0.012), float("nan"), "test images", "A", "B")
    assert "0.9900 with A and 0.9700 with B" in text
    assert "95% interval +0.0040 to +0.0360" in text
    assert "does not distinguish them (p = 0.012; after Holm's correction p undefined)" in text


def test_a_variance_needs_two_images_of_either_class():
    with pytest.raises(DataError, match="at least two"):
        delong([1, 0, 0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
