"""Can two classifiers be told apart on the same test images? Paired tests, their correction and their power.

All of it takes the images to be independent; where patients have several, the tests are a little too sure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import beta, binom, norm, permutation_test, rankdata

from cxrlib.errors import DataError
from cxrlib.evaluation.ranking import Bools, Floats


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test (1947) on pairs: how often only one of two classifiers is right."""

    pairs: int  # images compared
    first_only: int  # only the first classifier is right
    second_only: int  # only the second is right
    pvalue: float  # two-sided


@dataclass(frozen=True)
class DeLong:
    """DeLong's test (1988) of two areas under the ROC curve measured on the same images."""

    first: float
    second: float
    difference: float  # first - second
    error: float  # standard error of the difference
    low: float  # ends of the normal 95 % interval of the difference
    high: float
    pvalue: float  # two-sided


def mcnemar(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> McNemar:
    """Exact two-sided McNemar test from whether each classifier is right on each image (bool [N] each).

    Under equal error rates each discordant pair favours either with chance 1/2; without any, p is 1.
    Raises DataError if the lengths differ.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(f"both classifiers must be judged on the same images: got {first.shape} and {second.shape}.")
    one, two = int((first & ~second).sum()), int((~first & second).sum())
    return McNemar(len(first), one, two, min(1.0, 2 * float(binom.cdf(min(one, two), one + two, 0.5))))


def delong(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> DeLong:
    """DeLong's test of two correlated AUROCs, exact in its components, in O(N log N) by midranks (Sun and Xu, 2014).

    labels: [N], 0 or 1; first, second: scores float [N], higher for positives. Without variance p is 1 for equal areas and NaN
    for unequal ones. Raises DataError for fewer than two images of either class, since a variance needs two.
    """
    truth = np.asarray(labels) == 1
    scores = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    if scores.shape[1:] != truth.shape or not np.isfinite(scores).all():
        raise DataError("labels and both classifiers' scores must be finite numbers for the same images.")
    if min(truth.sum(), (~truth).sum()) < 2:
        raise DataError("DeLong's test needs at least two positive and two negative images.")
    of_positives, of_negatives = structural_components(truth, scores)
    one, two = map(float, of_positives.mean(axis=1))
    covariance = np.cov(of_positives) / of_positives.shape[1] + np.cov(of_negatives) / of_negatives.shape[1]
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    error = 0.0 if error < 1e-12 else error
    equal = 1.0 if abs(one - two) < 1e-12 else float("nan")
    pvalue = float(2 * norm.sf(abs(one - two) / error)) if error else equal
    reach = float(norm.ppf(0.975)) * error
    return DeLong(one, two, one - two, error, one - two - reach, one - two + reach, pvalue)


def structural_components(truth: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """DeLong's components for scores [K, N]: of each positive [K, P] and of each negative [K, Q].

    A positive's is the share of negatives it outranks, a negative's the share of positives that outrank it; ties count
    one half. Each classifier's components average to its AUROC.
    """
    positives, negatives = scores[:, truth], scores[:, ~truth]
    p, q = positives.shape[1], negatives.shape[1]
    ranks = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    of_positives = (ranks[:, :p] - rankdata(positives, axis=1)) / q
    return of_positives, 1 - (ranks[:, p:] - rankdata(negatives, axis=1)) / p


def sign_flip(differences: npt.ArrayLike) -> float:
    """Two-sided p of a mean paired difference [N] by flipping signs: exact over all 2^N up to 13 pairs, else 10,000 draws.

    The pairs must be replicates, such as training seeds on one draw of the images; NaN where there is none.
    """
    d = np.asarray(differences, np.float64)
    if not len(d):
        return float("nan")
    return float(permutation_test((d,), np.mean, permutation_type="samples", n_resamples=9999, rng=0).pvalue)


def holm(pvalues: Sequence[float]) -> Floats:
    """Holm's (1979) adjusted p-values, in the order given; NaN stays NaN and does not count as a test."""
    p = np.asarray(pvalues, np.float64)
    order, tests = np.argsort(p), int(np.isfinite(p).sum())  # NaN comes last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order[:tests]] = np.minimum(np.maximum.accumulate(np.arange(tests, 0, -1) * p[order[:tests]]), 1)
    return adjusted


def compare_predictions(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, McNemar | DeLong]:
    """The paired tests of two runs' predictions on one test set, at the threshold 1/2.

    Both frames hold image_id, label (1 = COVID), logit and probability, in any order: McNemar on the positives
    ("sensitivity"), the negatives ("specificity") and all images ("accuracy"), DeLong on the logits ("auroc"). Raises DataError.
    """
    one, two = (frame.set_index("image_id").sort_index() for frame in (first, second))
    if not (one.index.is_unique and one.index.equals(two.index) and (one["label"] == two["label"]).all()):
        raise DataError("the runs were not tested on the same images with the same labels: compare runs of one cohort.")
    truth = one["label"].to_numpy() == 1
    right_one, right_two = ((frame["probability"].to_numpy() > 0.5) == truth for frame in (one, two))
    return {
        "sensitivity": mcnemar(right_one[truth], right_two[truth]),
        "specificity": mcnemar(right_one[~truth], right_two[~truth]),
        "accuracy": mcnemar(right_one, right_two),
        "auroc": delong(truth, one["logit"].to_numpy(), two["logit"].to_numpy()),
    }


def discordant_pairs_needed(alpha: float = 0.05) -> int:
    """The fewest discordant pairs, all in favour of one classifier, with which McNemar's exact p is at most `alpha`."""
    return max(1, math.ceil(1 - math.log2(alpha)))


def detectable_difference(images: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference in rate that McNemar's test finds with chance `power`, in its most favourable case.

    That case: the better classifier is right wherever the other is, so that the test rejects once the discordant pairs,
    binomial in the difference, reach `discordant_pairs_needed`. NaN where there are fewer images than that.
    """
    needed = discordant_pairs_needed(alpha)
    return float(beta.ppf(power, needed, images - needed + 1))


def compare_sentence(
    first: str, second: str, test: McNemar | DeLong, images: str = "test images", adjusted: float | None = None
) -> str:
    """One plain sentence on what `test` says about two classifiers called `first` and `second`.

    images: what was compared, such as "COVID images"; adjusted: the p-value after Holm's correction, which then decides.
    """
    clear = (test.pvalue if adjusted is None else adjusted) <= 0.05
    corrected = "" if adjusted is None else f"; after Holm's correction {format_p(adjusted)}"
    verdict = f"{'distinguishes' if clear else 'does not distinguish'} them ({format_p(test.pvalue)}{corrected})"
    if isinstance(test, DeLong):
        return (
            f"The AUROC is {test.first:.4f} with {first} and {test.second:.4f} with {second}, a difference of "
            f"{test.difference:+.4f} (95% interval {test.low:+.4f} to {test.high:+.4f}): DeLong's test {verdict}."
        )
    if not test.first_only + test.second_only:
        return f"On {test.pairs} {images}, {first} and {second} are right on the same ones: nothing distinguishes them."
    return (
        f"Of {test.pairs} {images}, {test.first_only} are right only with {first} and {test.second_only} only with {second}: "
        f"McNemar's exact test {verdict}."
    )


def format_p(pvalue: float) -> str:
    """A p-value as text: two digits that count, "p < 0.001" below that, "p undefined" for NaN."""
    if not np.isfinite(pvalue):
        return "p undefined"
    return "p < 0.001" if pvalue < 0.001 else f"p = {pvalue:.3f}" if pvalue < 0.1 else f"p = {pvalue:.2f}"
