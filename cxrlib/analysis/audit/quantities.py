"""What a column of a results table may hold: each quantity as a fraction that is linear in TP and TN.

With P positives and N negatives fixed, a confusion matrix is a point (TP, TN) of a lattice, and every quantity here is
(a TP + b TN + c) / (d TP + e TN + f). A printed figure therefore confines the matrix to a strip between two straight
lines, which is what makes the audit exact. Quantities that are not of this kind (AUROC, MCC, kappa) are not checked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Linear = Callable[[Any, Any], tuple[Any, Any, Any]]
"""(positives, negatives) -> factors of TP, of TN and of 1: whole numbers, or integer arrays shaped as the sizes are."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of a confusion matrix: how it is computed, and under which other headers it is found."""

    title: str
    formula: str
    numerator: Linear
    denominator: Linear
    aliases: tuple[str, ...] = ()
    kind: str = "rate"  # "proportion" (of a count the test set fixes), "rate" or "count"

    def value(self, tp: npt.ArrayLike, tn: npt.ArrayLike, positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Any:
        """The quantity at broadcastable TP and TN (of rates: not whole), float64; NaN where its denominator is 0."""
        t, u, p, n = (np.asarray(count, np.float64) for count in (tp, tn, positives, negatives))
        (a, b, c), (d, e, f) = self.numerator(p, n), self.denominator(p, n)
        above, below = np.broadcast_arrays(a * t + b * u + c, d * t + e * u + f)
        return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)[()]


def _share(title: str, formula: str, numerator: Linear, of: Linear, *aliases: str) -> Quantity:
    return Quantity(title, formula, numerator, of, aliases, "proportion")


def _count(title: str, formula: str, numerator: Linear) -> Quantity:
    return Quantity(title, formula, numerator, lambda p, n: (0, 0, 1), (title.lower(),), "count")


_P, _N, _ALL = (lambda p, n: (0, 0, p)), (lambda p, n: (0, 0, n)), (lambda p, n: (0, 0, p + n))

QUANTITIES: dict[str, Quantity] = {
    "sensitivity": _share("sensitivity", "TP / P", lambda p, n: (1, 0, 0), _P, "recall", "tpr", "true positive rate"),
    "specificity": _share("specificity", "TN / N", lambda p, n: (0, 1, 0), _N, "tnr", "true negative rate"),
    "bacc": Quantity("balanced accuracy", "(TP / P + TN / N) / 2", lambda p, n: (n, p, 0), lambda p, n: (0, 0, 2 * p * n), ("balanced accuracy",)),
    "accuracy": _share("accuracy", "(TP + TN) / (P + N)", lambda p, n: (1, 1, 0), _ALL, "acc"),
    "ppcr": _share("predicted positive condition rate", "(TP + FP) / (P + N)", lambda p, n: (1, -1, n), _ALL, "predicted positive condition rate"),
    "precision": Quantity("precision", "TP / (TP + FP)", lambda p, n: (1, 0, 0), lambda p, n: (1, -1, n), ("ppv", "positive predictive value")),
    "npv": Quantity("negative predictive value", "TN / (TN + FN)", lambda p, n: (0, 1, 0), lambda p, n: (-1, 1, p), ("negative predictive value",)),
    "f1": Quantity("F1 score", "2 TP / (2 TP + FP + FN)", lambda p, n: (2, 0, 0), lambda p, n: (1, -1, p + n), ("f1 score", "f score")),
    "fpr": _share("false positive rate", "FP / N", lambda p, n: (0, -1, n), _N, "false positive rate"),
    "fnr": _share("false negative rate", "FN / P", lambda p, n: (-1, 0, p), _P, "false negative rate"),
    "error": _share("error rate", "(FP + FN) / (P + N)", lambda p, n: (-1, -1, p + n), _ALL, "error rate"),
    "youden": Quantity("Youden's J", "TP / P + TN / N - 1", lambda p, n: (n, p, -p * n), lambda p, n: (0, 0, p * n), ("youdens j", "youden index")),
    "tp": _count("true positives", "TP", lambda p, n: (1, 0, 0)),
    "fn": _count("false negatives", "P - TP", lambda p, n: (-1, 0, p)),
    "tn": _count("true negatives", "TN", lambda p, n: (0, 1, 0)),
    "fp": _count("false positives", "N - TN", lambda p, n: (0, -1, n)),
}  # fmt: skip
"""Every quantity the audit can check, by name."""

GAIN, POSITIVES, NEGATIVES, UNCHECKED, LABEL = "gain", "positives", "negatives", "unchecked", "label"
"""Columns that are no quantity of one matrix: a gain over another row, the row's test sizes, and all else."""

_ALIASES = {alias: name for name, quantity in QUANTITIES.items() for alias in (name, *quantity.aliases)}
_ALIASES |= {name: name for name in (GAIN, POSITIVES, NEGATIVES)} | {"improvement": GAIN}


def recognise(header: str) -> str | None:
    """The quantity or role that a column header names (case, signs and what stands in brackets aside), or None."""
    bare = re.sub(r"\([^)]*\)|\[[^\]]*\]|['’]", lambda found: "" if len(found[0]) == 1 else " ", header)
    return _ALIASES.get(" ".join(re.findall(r"[^\W_]+", bare.lower())))
