"""What decisions cost: cost curves, net benefit, and counts per 1,000 patients.

An operating point is a pair of sensitivity and specificity. `prevalence` is that of the people tested, which need not be
the test set's: sensitivity and specificity are taken to be the same there (label shift). A miss costs `cost_fn`, a false
alarm `cost_fp`, a right decision nothing. `pc` is the probability-cost function of Drummond and Holte (2006),
prevalence cost_fn / (prevalence cost_fn + (1 - prevalence) cost_fp); pc = 1/2 is balanced accuracy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_curve

from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.ranking import Floats

PER = 1000  # patients that expected counts are stated for


@dataclass(frozen=True, eq=False)
class Roc:
    """The operating points of a classifier: at `cut[k]`, images with log-odds of at least `cut[k]` are predicted positive.

    cut falls from infinity; sensitivity rises from 0 to 1, specificity falls from 1 to 0. float64 [K] each.
    """

    cut: Floats
    sensitivity: Floats
    specificity: Floats

    @classmethod
    def of(cls, labels: npt.ArrayLike, logits: npt.ArrayLike) -> "Roc":
        """The empirical ROC of labels [N] (1 = COVID) and log-odds [N], a point a distinct log-odds; raises DataError."""
        truth = np.asarray(labels)
        if not ((truth == 1).any() and (truth == 0).any()):
            raise DataError("a ROC curve needs images of both classes.")
        false_alarms, caught, cuts = roc_curve(truth, np.asarray(logits, np.float64), drop_intermediate=False)
        return cls(cuts, caught, 1 - false_alarms)

    def at(self, log_odds: float) -> tuple[float, float]:
        """Sensitivity and specificity where images strictly above `log_odds`, a finite number, are predicted positive."""
        k = int(np.searchsorted(-self.cut, -log_odds, side="left")) - 1  # the lowest cut above it; cut[0] is infinite
        return float(self.sensitivity[k]), float(self.specificity[k])


def normalised_cost(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, pc: npt.ArrayLike) -> Floats:
    """(1 - sensitivity) pc + (1 - specificity) (1 - pc), at most 1; at pc = 1/2 it is 1 - balanced accuracy."""
    miss, share = 1 - np.asarray(sensitivity, np.float64), np.asarray(pc, np.float64)
    return miss * share + (1 - np.asarray(specificity, np.float64)) * (1 - share)


def cost_curve(roc: Roc, steps: int = 201) -> pd.DataFrame:
    """Normalised expected cost over pc, on which an operating point is a straight line.

    Columns: pc, `best` (lower envelope over all points of the ROC, known only with the test labels) and `trivial` (the
    better of predicting everybody or nobody positive).
    """
    pc = np.linspace(0, 1, steps)
    lines = normalised_cost(roc.sensitivity[:, None], roc.specificity[:, None], pc)
    return pd.DataFrame({"pc": pc, "best": lines.min(axis=0), "trivial": np.minimum(pc, 1 - pc)})


def decision_curve(labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike) -> pd.DataFrame:
    """Net benefit (Vickers and Elkin, 2006) over threshold probabilities: of the model, of treating all, of treating none.

    Net benefit a patient is TP / n - (FP / n) t / (1 - t). labels: [N], 1 = COVID; probabilities: [N], positive from the
    threshold on, as decision-curve software has it; thresholds in [0, 1). Columns: threshold, model, all, none.
    """
    y, p, t = np.asarray(labels) == 1, np.asarray(probabilities, np.float64), np.asarray(thresholds, np.float64)
    if not ((t >= 0) & (t < 1)).all():
        raise ParameterError("a threshold probability must be at least 0 and below 1.")
    model, everybody = (
        (found & y).mean(axis=-1) - (found & ~y).mean(axis=-1) * t / (1 - t)
        for found in (p[None, :] >= t[:, None], np.ones_like(y))
    )
    return pd.DataFrame({"threshold": t, "model": model, "all": everybody, "none": np.zeros_like(t)})


def outlook(
    roc: Roc, trained_prevalence: float, beta: float, prevalence: float, cost_fn: float, cost_fp: float
) -> dict[str, float]:
    """What a weight means in use: the arithmetic of the interactive figure, which `_static/beta.js` repeats.

    roc: of an unweighted network's log-odds, which beta cuts at -log beta, threshold 1 / (1 + beta); prevalence: of the patients
    in use, in (0, 1); trained_prevalence: of the training set, on which the network is taken to be calibrated. Counts and
    costs are per 1,000 patients; `best_cost` is that of the cheapest point of the ROC, `asked_beta` the weight that costs and
    prevalence ask for, at which the minimiser of Eq. (4) says one half where both decisions cost the same (Elkan, 2001).
    Raises ParameterError for a weight or cost that is not positive and finite.
    """
    if not all(np.isfinite(value) and value > 0 for value in (beta, cost_fn, cost_fp)):
        raise ParameterError("beta and both costs must be positive and finite.")
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
