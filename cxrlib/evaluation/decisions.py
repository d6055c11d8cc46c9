"""What probabilities mean and what decisions on them cost: calibration, cost curves, net benefit.

A weighted network is miscalibrated by design: its log-odds are log beta too high. Taking log beta off again undoes that
without any data; temperature scaling (Guo et al., 2017) divides the log-odds by one number and cannot undo a shift.

An operating point is a pair of sensitivity and specificity, taken to be the same at any prevalence (label shift). A
miss costs `cost_fn`, a false alarm `cost_fp`, a right decision nothing. `pc` is the probability-cost function of
Drummond and Holte (2006), prevalence cost_fn / (prevalence cost_fn + (1 - prevalence) cost_fp); pc = 1/2 is balanced
accuracy. Everywhere, labels are [N], 1 = COVID, probabilities float [N] in [0, 1] and logits float [N] log-odds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_expit
from sklearn.metrics import roc_curve

from cxrlib.evaluation.intervals import Floats

BINS = 10
PER = 1000  # patients that expected counts are stated for


def reliability(labels: npt.ArrayLike, probabilities: npt.ArrayLike, mass: bool = False) -> pd.DataFrame:
    """The reliability diagram, a row a bin with images: images, confidence (mean probability), frequency of COVID.

    mass: `BINS` bins of equal size (ties stay together) in place of equal width.
    """
    p, inner = np.asarray(probabilities, np.float64), np.linspace(0, 1, BINS + 1)[1:-1]
    rows = pd.DataFrame({"confidence": p, "frequency": np.asarray(labels) == 1})
    grouped = rows.groupby(np.digitize(p, np.quantile(p, inner) if mass else inner))
    return grouped.mean().assign(images=grouped.size())[["images", "confidence", "frequency"]].reset_index(drop=True)


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """ECE (Naeini et al., 2015; Guo et al., 2017): the bins' gaps between confidence and frequency, by their images."""
    table = reliability(labels, probabilities)
    return float(np.average((table["confidence"] - table["frequency"]).abs(), weights=table["images"]))


def log_loss(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Mean cross-entropy, Eq. (3), from log-odds, which never forms log(0)."""
    y, z = np.asarray(labels) == 1, np.asarray(logits, np.float64)
    return float(-np.where(y, log_expit(z), log_expit(-z)).mean())


def fit_temperature(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The temperature T > 0 for which logits / T have the lowest cross-entropy; searched in [1e-3, 1e3].

    The cross-entropy is convex in 1 / T; where logits separate the classes, the search ends at its bound.
    """
    z, end = np.asarray(logits, np.float64), float(np.log(1e3))
    found = minimize_scalar(
        lambda t: log_loss(labels, z * np.exp(-t)), bounds=(-end, end), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))


@dataclass(frozen=True, eq=False)
class Roc:
    """Operating points, float64 [K] each: positive are images of log-odds of at least `cut`, from infinity down."""

    cut: Floats
    sensitivity: Floats
    specificity: Floats

    @classmethod
    def of(cls, labels: npt.ArrayLike, logits: npt.ArrayLike) -> "Roc":
        """The empirical ROC, a point a distinct log-odds."""
        false_alarms, caught, cuts = roc_curve(labels, np.asarray(logits, np.float64), drop_intermediate=False)
        return cls(cuts, caught, 1 - false_alarms)

    def at(self, log_odds: float) -> tuple[float, float]:
        """Sensitivity and specificity where images strictly above `log_odds` (finite) are predicted positive."""
        k = int(np.searchsorted(-self.cut, -log_odds, side="left")) - 1  # the lowest cut above it; cut[0] is infinite
        return float(self.sensitivity[k]), float(self.specificity[k])


def normalised_cost(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, pc: npt.ArrayLike) -> Floats:
    """(1 - sensitivity) pc + (1 - specificity) (1 - pc), at most 1; at pc = 1/2 it is 1 - balanced accuracy."""
    miss, share = 1 - np.asarray(sensitivity, np.float64), np.asarray(pc, np.float64)
    return miss * share + (1 - np.asarray(specificity, np.float64)) * (1 - share)


def cost_curve(roc: Roc) -> pd.DataFrame:
    """Normalised expected cost over pc, on which an operating point is a straight line: pc, best, trivial.

    `best` is the lower envelope of the ROC, `trivial` the better of predicting everybody or nobody positive.
    """
    pc = np.linspace(0, 1, 201)
    lines = normalised_cost(roc.sensitivity[:, None], roc.specificity[:, None], pc)
    return pd.DataFrame({"pc": pc, "best": lines.min(axis=0), "trivial": np.minimum(pc, 1 - pc)})


def decision_curve(labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike) -> pd.DataFrame:
    """Net benefit (Vickers and Elkin, 2006) over thresholds in [0, 1): threshold, model, all (treated), none.

    A patient's is TP / n - (FP / n) t / (1 - t), positive from the threshold on, as decision-curve software has it.
    """
    y, p, t = np.asarray(labels) == 1, np.asarray(probabilities, np.float64), np.asarray(thresholds, np.float64)
    model, everybody = (
        (found & y).mean(axis=-1) - (found & ~y).mean(axis=-1) * t / (1 - t)
        for found in (p[None, :] >= t[:, None], np.ones_like(y))
    )
    return pd.DataFrame({"threshold": t, "model": model, "all": everybody, "none": np.zeros_like(t)})


def outlook(
    roc: Roc, trained_prevalence: float, beta: float, prevalence: float, cost_fn: float, cost_fp: float
) -> dict[str, float]:
    """What a weight means in use: the arithmetic of the interactive figure, which `_static/beta.js` repeats.

    roc: of an unweighted network's log-odds, which beta cuts at -log beta, threshold 1 / (1 + beta); prevalence: of the
    patients in use; trained_prevalence: of the training set, on which the network is taken to be calibrated. Counts and
    costs are per 1,000 patients; `best_cost` is that of the cheapest point of the ROC, `asked_beta` the weight that
    these ask for, at which the minimiser of Eq. (4) says one half where both decisions cost the same (Elkan, 2001).
    """
    sensitivity, specificity = roc.at(-float(np.log(beta)))
    ill, well = PER * prevalence, PER * (1 - prevalence)
    costs = ill * (1 - roc.sensitivity) * cost_fn + well * (1 - roc.specificity) * cost_fp
    return {
        "threshold": 1 / (1 + beta),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "tp": ill * sensitivity,
        "fn": ill * (1 - sensitivity),
        "fp": well * (1 - specificity),
        "tn": well * specificity,
        "cost": ill * (1 - sensitivity) * cost_fn + well * (1 - specificity) * cost_fp,
        "best_cost": float(costs.min()),
        "asked_beta": cost_fn / cost_fp * (ill / well) / (trained_prevalence / (1 - trained_prevalence)),
    }
