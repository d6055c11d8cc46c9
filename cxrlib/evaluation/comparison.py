"""Can two classifiers be told apart on the same test images? Paired tests, their correction and their power.

All of it takes the images to be independent; where patients have several, the tests are a little too sure.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import beta, binomtest, norm, permutation_test, rankdata

from cxrlib.errors import DataError
from cxrlib.evaluation.intervals import Floats

ALPHA, POWER = 0.05, 0.8
PAIRS_NEEDED = math.ceil(1 - math.log2(ALPHA))
"""The fewest discordant pairs, all in favour of one classifier, with which McNemar's exact p is at most `ALPHA`."""


class McNemar(NamedTuple):
    """McNemar's exact test (1947) on pairs: how often only one of two classifiers is right."""

    pairs: int  # images compared
    first_only: int  # only the first classifier is right
    second_only: int  # only the second is right
    pvalue: float  # two-sided


class DeLong(NamedTuple):
    """DeLong's test (1988) of two areas under the ROC curve measured on the same images."""

    first: float
    second: float
    low: float  # ends of the normal 95 % interval of first - second
    high: float
    pvalue: float  # two-sided


def mcnemar(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> McNemar:
    """Exact two-sided McNemar test from whether each classifier is right on each image (bool [N] each).

    Under equal error rates each discordant pair favours either with chance 1/2; without any, p is 1.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    one, two = int((first & ~second).sum()), int((~first & second).sum())
    return McNemar(len(first), one, two, float(binomtest(one, one + two).pvalue) if one + two else 1.0)


def delong(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> DeLong:
    """DeLong's test of two correlated AUROCs, exact in its components, in O(N log N) by midranks (Sun and Xu, 2014).

    labels: [N], 0 or 1; first, second: scores float [N], higher for positives. Without variance p is 1 for equal areas
    and NaN for unequal ones. Raises DataError for fewer than two images of either class, since a variance needs two.
    """
    truth, scores = np.asarray(labels) == 1, np.stack([first, second]).astype(np.float64)
    positives, negatives = scores[:, truth], scores[:, ~truth]
    p, q = positives.shape[1], negatives.shape[1]
    if min(p, q) < 2:
        raise DataError("DeLong's test needs at least two positive and two negative images.")
    # A positive's component is the share of negatives it outranks, a negative's that of positives that outrank it.
    ranks = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    of_positives = (ranks[:, :p] - rankdata(positives, axis=1)) / q
    of_negatives = 1 - (ranks[:, p:] - rankdata(negatives, axis=1)) / p
    one, two = map(float, of_positives.mean(axis=1))
    covariance = np.cov(of_positives) / p + np.cov(of_negatives) / q
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    error = 0.0 if error < 1e-12 else error
    equal = 1.0 if abs(one - two) < 1e-12 else float("nan")
    pvalue = float(2 * norm.sf(abs(one - two) / error)) if error else equal
    reach = float(norm.ppf(0.975)) * error
    return DeLong(one, two, one - two - reach, one - two + reach, pvalue)


def sign_flip(differences: npt.ArrayLike) -> float:
    """Two-sided p of a mean paired difference [N] by flipping signs: all 2^N up to 13 pairs, else 10,000 draws.

    The pairs must be replicates, such as training seeds on one draw of the images.
    """
    d = np.asarray(differences, np.float64)
    return float(permutation_test((d,), np.mean, permutation_type="samples", n_resamples=9999, rng=0).pvalue)


def holm(pvalues: Sequence[float]) -> Floats:
    """Holm's (1979) adjusted p-values, in the order given; NaN stays NaN and does not count as a test.

    statsmodels has it too, but collects garbage at each call, which takes a second where a study is in memory.
    """
    adjusted = np.array(pvalues, np.float64)
    known = np.isfinite(adjusted)
    order = np.flatnonzero(known)[np.argsort(adjusted[known])]
    adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(order), 0, -1) * adjusted[order]), 1)
    return adjusted


def detectable_difference(images: int) -> float:
    """The smallest difference in rate that McNemar's test finds with chance `POWER`, in its most favourable case.

    That case: the better classifier is right wherever the other is, so that the test rejects once the discordant pairs,
    binomial in the difference, reach `PAIRS_NEEDED`. NaN where there are fewer images than that.
    """
    return float(beta.ppf(POWER, PAIRS_NEEDED, images - PAIRS_NEEDED + 1))


def paired_tests(first: pd.DataFrame, second: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
    """The paired tests of two runs' predictions on one test set, at the threshold 1/2: metric, pvalue, holm, sentence.

    Both frames hold image_id, label (1 = COVID), logit and probability; name, other: how sentences call them. McNemar
    for the rates, DeLong on the logits for auroc. Raises DataError unless both are of the same images and labels.
    """
    one, two = (frame.set_index("image_id").sort_index() for frame in (first, second))
    if not (one.index.is_unique and one.index.equals(two.index) and (one["label"] == two["label"]).all()):
        raise DataError("the runs were not tested on the same images with the same labels: compare runs of one cohort.")
    truth = one["label"].to_numpy() == 1
    right_one, right_two = ((frame["probability"].to_numpy() > 0.5) == truth for frame in (one, two))
    tests: dict[tuple[str, str], McNemar | DeLong] = {
        ("sensitivity", "COVID images"): mcnemar(right_one[truth], right_two[truth]),
        ("specificity", "non-COVID images"): mcnemar(right_one[~truth], right_two[~truth]),
        ("accuracy", "test images"): mcnemar(right_one, right_two),
        ("auroc", "test images"): delong(truth, one["logit"].to_numpy(), two["logit"].to_numpy()),
    }
    adjusted = holm([test.pvalue for test in tests.values()])
    rows = [
        (metric, test.pvalue, p, verdict_sentence(test, p, images, name, other))
        for ((metric, images), test), p in zip(tests.items(), adjusted, strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "pvalue", "holm", "sentence"])


def verdict_sentence(test: McNemar | DeLong, adjusted: float, images: str, first: str, second: str) -> str:
    """What `test` says about classifiers called `first` and `second`; the p-value after Holm's correction decides."""
    verdict = (
        f"{'distinguishes' if adjusted <= ALPHA else 'does not distinguish'} them "
        f"({_p_text(test.pvalue)}; after Holm's correction {_p_text(adjusted)})"
    )
    if isinstance(test, DeLong):
        return (
            f"The AUROC is {test.first:.4f} with {first} and {test.second:.4f} with {second}, a difference of "
            f"{test.first - test.second:+.4f} (95% interval {test.low:+.4f} to {test.high:+.4f}): "
            f"DeLong's test {verdict}."
        )
    if not test.first_only + test.second_only:
        return f"On {test.pairs} {images}, {first} and {second} are right on the same ones: nothing distinguishes them."
    return (
        f"Of {test.pairs} {images}, {test.first_only} are right only with {first} and {test.second_only} only with "
        f"{second}: McNemar's exact test {verdict}."
    )


def _p_text(pvalue: float) -> str:
    """A p-value with two digits that count, "p < 0.001" below that, "p undefined" for NaN."""
    if not np.isfinite(pvalue):
        return "p undefined"
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}" if pvalue < 0.1 else f"p = {pvalue:.2f}"
