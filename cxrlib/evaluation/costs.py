"""What decisions cost: expected cost, cost curves, net benefit, and counts per 1,000 patients.

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

Floats = npt.NDArray[np.float64]
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
        truth, scores = np.asarray(labels), np.asarray(logits, np.float64)
        if not ((truth == 1).any() and (truth == 0).any()):
            raise DataError("a ROC curve needs images of both classes.")
        false_alarms, caught, cuts = roc_curve(truth, scores, drop_intermediate=False)
        return cls(cuts, caught, 1 - false_alarms)

    def at(self, log_odds: float) -> tuple[float, float]:
        """Sensitivity and specificity where images strictly above `log_odds`, a finite number, are predicted positive."""
        k = int(np.searchsorted(-self.cut, -log_odds, side="left")) - 1  # the lowest cut above it; cut[0] is infinite
        return float(self.sensitivity[k]), float(self.specificity[k])


def expected_cost(
    sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, prevalence: npt.ArrayLike, cost_fn: float, cost_fp: float
) -> Floats:
    """Mean cost a patient: prevalence (1 - sensitivity) cost_fn + (1 - prevalence) (1 - specificity) cost_fp."""
    share = _share("prevalence", prevalence)
    _costs(cost_fn, cost_fp)
    misses = share * (1 - np.asarray(sensitivity, np.float64)) * cost_fn
    return misses + (1 - share) * (1 - np.asarray(specificity, np.float64)) * cost_fp


def probability_cost(prevalence: float, cost_ratio: float) -> float:
    """pc for a miss that costs `cost_ratio` times a false alarm at this prevalence."""
    share = float(_share("prevalence", prevalence))
    _costs(cost_ratio, 1.0)
    return share * cost_ratio / (share * cost_ratio + 1 - share)


def normalised_cost(sensitivity: npt.ArrayLike, specificity: npt.ArrayLike, pc: npt.ArrayLike) -> Floats:
    """(1 - sensitivity) pc + (1 - specificity) (1 - pc), at most 1; at pc = 1/2 it is 1 - balanced accuracy."""
    share = _share("pc", pc)
    return (1 - np.asarray(sensitivity, np.float64)) * share + (1 - np.asarray(specificity, np.float64)) * (1 - share)


def cost_curve(roc: Roc, steps: int = 201) -> pd.DataFrame:
    """Normalised expected cost over pc, on which an operating point is a straight line.

    Columns: pc, `best` (lower envelope over all points of the ROC, known only with the test labels) and `trivial` (the
    better of predicting everybody or nobody positive).
    """
    pc = np.linspace(0, 1, steps)
    lines = normalised_cost(roc.sensitivity[:, None], roc.specificity[:, None], pc)
    return pd.DataFrame({"pc": pc, "best": lines.min(axis=0), "trivial": np.minimum(pc, 1 - pc)})


def weight_for(cost_fn: float, cost_fp: float, prevalence: float, trained_prevalence: float) -> float:
    """The beta that serves these costs at this prevalence, for a network trained at another prevalence.

    (cost_fn / cost_fp) times the odds of the prevalence over the odds of the training prevalence: the minimiser of Eq. (4)
    then says one half where, at the new prevalence, both decisions cost the same (Elkan, 2001, for the costs).
    """
    _costs(cost_fn, cost_fp)
    new, old = (_share("prevalence", p) for p in (prevalence, trained_prevalence))
    return float(cost_fn / cost_fp * (new / (1 - new)) / (old / (1 - old)))


def decision_curve(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Net benefit (Vickers and Elkin, 2006) over threshold probabilities: of the model, of treating all, of treating none.

    Net benefit a patient is TP / n - (FP / n) t / (1 - t). labels: [N], 1 = COVID; probabilities: [N], positive from the
    threshold on, as decision-curve software has it; thresholds in [0, 1). Columns: threshold, model, all, none.
    """
    y, p = np.asarray(labels) == 1, np.asarray(probabilities, np.float64)
    t = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, np.float64)
    if not ((t >= 0) & (t < 1)).all():
        raise ParameterError("a threshold probability must be at least 0 and below 1.")
    positive = p[None, :] >= t[:, None]
    model, everybody = (
        (found & y).mean(axis=-1) - (found & ~y).mean(axis=-1) * t / (1 - t) for found in (positive, np.ones_like(y))
    )
    return pd.DataFrame({"threshold": t, "model": model, "all": everybody, "none": np.zeros_like(t)})


def outlook(
    roc: Roc, trained_prevalence: float, beta: float, prevalence: float, cost_fn: float, cost_fp: float
) -> dict[str, float]:
    """What a weight means in use: the arithmetic of the interactive figure, which `_static/beta.js` repeats.

    roc: of an unweighted network's log-odds; beta: cuts them at -log beta, which is threshold 1 / (1 + beta) on its
    probability; prevalence: of the patients in use; trained_prevalence: of the training set, on which the network's
    probability is taken to be calibrated. Counts and costs are per 1,000 patients; `best_cost` is that of the cheapest
    point of the ROC, `asked_beta` the weight that these costs and this prevalence ask for.
    """
    if not (np.isfinite(beta) and beta > 0):
        raise ParameterError(f"beta = {beta} is not allowed: it must be positive and finite.")
    sensitivity, specificity = roc.at(-float(np.log(beta)))
    ill, well = PER * prevalence, PER * (1 - prevalence)
    return {
        "threshold": 1 / (1 + beta),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "tp": ill * sensitivity,
        "fn": ill * (1 - sensitivity),
        "fp": well * (1 - specificity),
        "tn": well * specificity,
        "cost": PER * float(expected_cost(sensitivity, specificity, prevalence, cost_fn, cost_fp)),
        "best_cost": PER * float(expected_cost(roc.sensitivity, roc.specificity, prevalence, cost_fn, cost_fp).min()),
        "asked_beta": weight_for(cost_fn, cost_fp, prevalence, trained_prevalence),
    }


def _share(name: str, value: npt.ArrayLike) -> Floats:
    array = np.asarray(value, np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ParameterError(f"{name} must lie between 0 and 1.")
    return array


def _costs(cost_fn: float, cost_fp: float) -> None:
    if not (np.isfinite([cost_fn, cost_fp]).all() and cost_fn > 0 and cost_fp > 0):
        raise ParameterError("both costs must be positive and finite.")
