"""What a test set of the stated size can tell apart: McNemar's exact test over every pairing the counts allow."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.audit.report import Report
from cxrlib.evaluation.comparison import detectable_difference, discordant_pairs_needed, mcnemar, mcnemar_power


def p_range(one: int, other: int, images: int) -> tuple[float, float]:
    """Smallest and largest p of McNemar's exact test for two classifiers right on `one` and `other` of `images`.

    Which images each is right on is not printed. p is smallest where the better one is right wherever the other is,
    and largest where they agree as little as the counts allow.
    """
    at = np.arange(images)
    nested = mcnemar(at < one, at < other).pvalue
    apart = mcnemar(at < one, at >= images - other).pvalue
    return nested, apart


def pair_table(report: Report, quantity: str, alpha: float = 0.05) -> pd.DataFrame:
    """Every pair of rows on test sets of one size that differ in a proportion, with the range of McNemar's p.

    Columns: row, other, k, other_k, n, difference (images), p_low, p_high, verdict: "told apart" whatever the pairing,
    "cannot be told apart" whatever the pairing, or "open". Rows whose count the table does not settle are left out.
    """
    rates = report.rates_table()
    rates = rates[(rates["quantity"] == quantity) & rates["k"].notna()]
    found = []
    lines = list(rates[["row", "k", "n"]].astype(int).itertuples(index=False))
    for i, one in enumerate(lines):
        for other in lines[i + 1 :]:
            if one.n == other.n and one.k != other.k:
                low, high = p_range(one.k, other.k, one.n)
                verdict = "cannot be told apart" if low > alpha else "told apart" if high <= alpha else "open"
                found.append((one.row, other.row, one.k, other.k, one.n, one.k - other.k, low, high, verdict))
    columns = ["row", "other", "k", "other_k", "n", "difference", "p_low", "p_high", "verdict"]
    return pd.DataFrame(found, columns=columns)


def power_table(
    images: Sequence[int], against: Sequence[float] = (0.0, 0.025, 0.05), alpha: float = 0.05
) -> pd.DataFrame:
    """Power of McNemar's exact test over the difference in rate: images, against, difference, power.

    against: share of the images on which only the worse classifier is right; 0 is the most favourable case.
    """
    rows = []
    for n in images:
        for share in against:
            for difference in np.linspace(0, min(0.5, 1 - 2 * share), 51):
                rows.append((n, share, difference, mcnemar_power(n, share + difference, share, alpha)))
    return pd.DataFrame(rows, columns=["images", "against", "difference", "power"])


def size_table(images: Sequence[int], power: float = 0.8, alpha: float = 0.05) -> pd.DataFrame:
    """What test sets of several sizes resolve: images, one image (its share), pairs needed, their share, detectable.

    detectable: the smallest difference found with chance `power` in the most favourable case; NaN if there is none.
    """
    needed = discordant_pairs_needed(alpha)
    rows = [(n, 1 / n, needed, needed / n, detectable_difference(n, power, alpha)) for n in images]
    return pd.DataFrame(rows, columns=["images", "one image", "pairs needed", "their share", "detectable"])
