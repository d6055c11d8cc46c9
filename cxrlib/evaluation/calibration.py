"""Do the probabilities mean what they say? Reliability, ECE, Brier score and temperature scaling.

A weighted network is miscalibrated by design: its log-odds are log beta too high. Taking log beta off again undoes that
without any data; temperature scaling (Guo et al., 2017) divides the log-odds by one number fitted to validation data and
cannot undo a shift.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_expit
from sklearn.metrics import brier_score_loss

from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import checked

BINS = 10


def reliability(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = BINS, mass: bool = False
) -> pd.DataFrame:
    """The reliability diagram: one row a bin that holds images.

    labels: [N], 1 = COVID; probabilities: [N] in [0, 1]; mass: bins of equal size (ties stay together) in place of equal
    width. Columns: images, confidence (mean probability), frequency (share of COVID). Raises DataError.
    """
    y, p = checked(labels, probabilities)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    rows = pd.DataFrame({"confidence": p, "frequency": y.astype(np.int64)})
    grouped = rows.groupby(np.digitize(p, np.quantile(p, inner) if mass else inner))
    return grouped.mean().assign(images=grouped.size())[["images", "confidence", "frequency"]].reset_index(drop=True)


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = BINS) -> float:
    """ECE (Naeini et al., 2015; Guo et al., 2017): the bins' gaps between confidence and frequency, by their images."""
    table = reliability(labels, probabilities, bins)
    return float(np.average((table["confidence"] - table["frequency"]).abs(), weights=table["images"]))


def brier(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared difference between probability and outcome."""
    return float(brier_score_loss(*checked(labels, probabilities), pos_label=1))


def log_loss(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Mean cross-entropy, Eq. (3), from log-odds, which never forms log(0)."""
    y, z = np.asarray(labels) == 1, np.asarray(logits, np.float64)
    return float(-np.where(y, log_expit(z), log_expit(-z)).mean())


def fit_temperature(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The temperature T > 0 for which logits / T have the lowest cross-entropy; searched in [1e-3, 1e3].

    labels: [N] with both classes; logits: float [N]. The cross-entropy is convex in 1 / T. Where the sign of the logits
    separates the classes the best T is 0, and the search ends at its bound.
    """
    y, z = np.asarray(labels) == 1, np.asarray(logits, np.float64)
    if y.all() or not y.any():
        raise DataError("a temperature can only be fitted where both classes occur.")
    ends = (-float(np.log(1e3)), float(np.log(1e3)))
    found = minimize_scalar(
        lambda t: log_loss(y, z * np.exp(-t)), bounds=ends, method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))
