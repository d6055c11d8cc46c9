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

from cxrlib.errors import ParameterError

Coefficients = tuple[Any, Any, Any]
"""Factors of TP, of TN and of 1: whole numbers, or integer arrays shaped as the sizes are."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of a confusion matrix, how it is computed and under which headers it is found."""

    name: str
    title: str
    formula: str
    aliases: tuple[str, ...]
    numerator: Callable[[Any, Any], Coefficients]  # of (positives, negatives)
    denominator: Callable[[Any, Any], Coefficients]
    kind: str = "rate"  # "proportion" (of a count the test set fixes), "rate" or "count"

    def value(self, tp: npt.ArrayLike, tn: npt.ArrayLike, positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Any:
        """The quantity of matrices given by broadcastable counts, float64; NaN where its denominator is 0."""
        t, u, p, n = (np.asarray(count, np.int64) for count in (tp, tn, positives, negatives))
        a, b, c = self.numerator(p, n)
        d, e, f = self.denominator(p, n)
        above, below = np.broadcast_arrays(a * t + b * u + c, d * t + e * u + f)
        return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)[()]


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("sensitivity", "Sensitivity", "TP / P", ("recall", "sens", "tpr", "true positive rate", "hit rate", "sensitivity recall"), lambda p, n: (1, 0, 0), lambda p, n: (0, 0, p), "proportion"),
        Quantity("specificity", "Specificity", "TN / N", ("spec", "tnr", "true negative rate", "selectivity"), lambda p, n: (0, 1, 0), lambda p, n: (0, 0, n), "proportion"),
        Quantity("bacc", "Balanced accuracy", "(TP / P + TN / N) / 2", ("balanced accuracy", "balanced acc", "bal acc", "uar"), lambda p, n: (n, p, 0), lambda p, n: (0, 0, 2 * p * n)),
        Quantity("accuracy", "Accuracy", "(TP + TN) / (P + N)", ("acc", "overall accuracy"), lambda p, n: (1, 1, 0), lambda p, n: (0, 0, p + n), "proportion"),
        Quantity("ppcr", "Predicted positive condition rate", "(TP + FP) / (P + N)", ("predicted positive condition rate", "predicted positive rate"), lambda p, n: (1, -1, n), lambda p, n: (0, 0, p + n), "proportion"),
        Quantity("precision", "Precision", "TP / (TP + FP)", ("ppv", "positive predictive value"), lambda p, n: (1, 0, 0), lambda p, n: (1, -1, n)),
        Quantity("npv", "Negative predictive value", "TN / (TN + FN)", ("negative predictive value",), lambda p, n: (0, 1, 0), lambda p, n: (-1, 1, p)),
        Quantity("f1", "F1 score", "2 TP / (2 TP + FP + FN)", ("f1 score", "f score", "f measure", "dice"), lambda p, n: (2, 0, 0), lambda p, n: (1, -1, p + n)),
        Quantity("fpr", "False positive rate", "FP / N", ("false positive rate", "fall out"), lambda p, n: (0, -1, n), lambda p, n: (0, 0, n), "proportion"),
        Quantity("fnr", "False negative rate", "FN / P", ("false negative rate", "miss rate"), lambda p, n: (-1, 0, p), lambda p, n: (0, 0, p), "proportion"),
        Quantity("error", "Error rate", "(FP + FN) / (P + N)", ("error rate", "misclassification rate"), lambda p, n: (-1, -1, p + n), lambda p, n: (0, 0, p + n), "proportion"),
        Quantity("youden", "Youden's J", "TP / P + TN / N - 1", ("youden j", "youdens j", "youden index", "informedness"), lambda p, n: (n, p, -p * n), lambda p, n: (0, 0, p * n)),
        Quantity("tp", "True positives", "TP", ("true positives", "true positive"), lambda p, n: (1, 0, 0), lambda p, n: (0, 0, 1), "count"),
        Quantity("fn", "False negatives", "P - TP", ("false negatives", "false negative"), lambda p, n: (-1, 0, p), lambda p, n: (0, 0, 1), "count"),
        Quantity("tn", "True negatives", "TN", ("true negatives", "true negative"), lambda p, n: (0, 1, 0), lambda p, n: (0, 0, 1), "count"),
        Quantity("fp", "False positives", "N - TN", ("false positives", "false positive"), lambda p, n: (0, -1, n), lambda p, n: (0, 0, 1), "count"),
    )
}  # fmt: skip
"""Every quantity the audit can check, by name."""

ROLES: dict[str, tuple[str, ...]] = {
    "gain": ("gain", "improvement", "relative gain", "relative improvement"),
    "positives": ("positives", "n positive", "n positives", "test positives", "test covid"),
    "negatives": ("negatives", "n negative", "n negatives", "test negatives", "test non covid"),
}
"""Columns that are no quantity of one matrix: a gain over another row, and the row's test sizes."""

UNCHECKED, LABEL = "unchecked", "label"
_ALIASES = {
    alias: name
    for name, others in [(q.name, q.aliases) for q in QUANTITIES.values()] + list(ROLES.items())
    for alias in (name, *others)
}


def normalise(header: str) -> str:
    """A column header for look-up: lower case, without units in brackets, words parted by single blanks."""
    bare = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", header)
    bare = re.sub(r"['’]", "", bare)
    return " ".join(re.findall(r"[^\W_]+", bare.lower()))


def recognise(header: str) -> str | None:
    """The quantity or role a header names, or None."""
    return _ALIASES.get(normalise(header))


def check_quantity(name: str) -> str:
    """`name` if a column may be declared to hold it; raises ParameterError naming what is allowed."""
    allowed = (*QUANTITIES, *ROLES, UNCHECKED, LABEL)
    if name not in allowed:
        raise ParameterError(f"'{name}' is no quantity of the audit: choose one of {', '.join(allowed)}.")
    return name
