"""What the figures of chapters 4, 8 and 10 show: losses and their gradients, the weight in the paper's tables, and curves."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit, logit
from torch import Tensor

from cxrlib.analysis.beta.rules import PLAIN, method_name
from cxrlib.analysis.beta.theory import fit_logistic, moved, pointwise_minimiser
from cxrlib.evaluation.decisions import Roc, cost_curve, decision_curve, normalised_cost, reliability
from cxrlib.losses.weighted import cross_entropy, linear_probability_loss, mae, mse, weighted_cross_entropy
from cxrlib.paper.tables import TABLE_1, TABLE_2

CURVE_BETAS = (0.25, 0.5, 0.75, 1.0, 2.0, 4.0)
SHOWN = (0.25, 1.0, 4.0)  # weights shown where all would crowd the figure
KERAS_EPSILON = 1e-7  # to which the released code clips probabilities
Loss = Callable[[Tensor, Tensor], Tensor]  # of log-odds and labels, for every image by itself
EQUATIONS: dict[str, Loss] = {
    "MSE, Eq. (1)": lambda z, y: _each(mse, z, y),
    "MAE, Eq. (2)": lambda z, y: _each(mae, z, y),
    "CE, Eq. (3)": partial(cross_entropy, reduction="none"),
    "released baseline": partial(linear_probability_loss, reduction="none"),
}


def loss_curves(
    losses: Mapping[str, Loss], z: npt.ArrayLike, label: int = 1, dtype: torch.dtype = torch.float64
) -> pd.DataFrame:
    """Losses of one image of class `label` over its log-odds z: loss, log_odds, probability, value, gradient (by the log-odds)."""
    parts = []
    for loss in losses.values():
        odds = torch.tensor(np.asarray(z), dtype=dtype, requires_grad=True)
        value = loss(odds, torch.full(odds.shape, label))
        (gradient,) = torch.autograd.grad(value.sum(), odds)
        columns = {"log_odds": odds, "probability": odds.sigmoid(), "value": value, "gradient": gradient}
        parts.append(pd.DataFrame({key: column.detach().double().numpy() for key, column in columns.items()}))
    return pd.concat(parts, keys=losses, names=["loss"]).reset_index("loss").reset_index(drop=True)


def equation_curves() -> pd.DataFrame:
    """`loss_curves` of the paper's and the released code's unweighted losses for a positive image."""
    return loss_curves(EQUATIONS, np.linspace(-8, 8, 241))


def beta_curves() -> pd.DataFrame:
    """`loss_curves` of Eq. (4), for a positive and a negative image and each beta (columns beta, label)."""
    z, parts = logit(np.linspace(0.005, 0.995, 199)), []
    for beta in CURVE_BETAS:
        loss = {"Eq. (4)": partial(weighted_cross_entropy, beta=beta, reduction="none")}
        parts += [loss_curves(loss, z, label).assign(beta=beta, label=label) for label in (1, 0)]
    return pd.concat(parts, ignore_index=True)


def stability_table() -> pd.DataFrame:
    """Eq. (4) with beta = 1 for a non-COVID image that the network gets wrong by these log-odds: loss and gradient in float32.

    Ways: "from logits" (this library), "as printed" (sigmoid, then log), "clipped" (the released code: the probability first
    clipped to 1e-7 from 0 and 1). `exact`: the true loss, whose gradient is 1 to within exp(-odds).
    """
    ways: dict[str, Loss] = {
        "from logits": partial(weighted_cross_entropy, beta=1.0, reduction="none"),
        "as printed": lambda z, _: -(1 - z.sigmoid()).log(),
        "clipped": lambda z, _: -(1 - z.sigmoid().clip(KERAS_EPSILON, 1 - KERAS_EPSILON)).log(),
    }
    odds = np.array([4.0, 20.0, 100.0])
    table = pd.DataFrame({"log-odds": odds, "exact": np.logaddexp(0.0, odds)})
    for way, curve in loss_curves(ways, odds, 0, torch.float32).groupby("loss", sort=False):
        table[[f"{way}: loss", f"{way}: gradient"]] = curve[["value", "gradient"]].to_numpy()
    return table


def balance_table() -> pd.DataFrame:
    """The paper's training sets (Table I): the beta that would balance them, and the positives' share of the weight at 1 and 0.75."""
    cohorts = pd.DataFrame(TABLE_1)
    table = cohorts[cohorts["test_covid"].notna()][["cohort", "train_covid", "train_non_covid"]].reset_index(drop=True)
    positives, negatives = table["train_covid"], table["train_non_covid"]
    for beta in (1.0, 0.75):
        table[f"share at β = {beta:g}"] = beta * positives / (beta * positives + negatives)
    table["balancing β"] = negatives / positives
    return table.rename(columns={"train_covid": "COVID", "train_non_covid": "non-COVID"})


def printed_effect() -> pd.DataFrame:
    """Table II's pairs of rows that differ in beta alone: what 0.75 changes in the printed rates."""
    rows = pd.DataFrame(TABLE_2)
    keys = ["cohort", "model", "pretraining"]
    without, weighted = (rows[rows["beta"].isna() == none].set_index(keys) for none in (True, False))
    changes = {f"change in {name}": weighted[name] - without[name] for name in ("sensitivity", "specificity", "bacc")}
    return pd.DataFrame(changes).loc[without.index].reset_index()


def separable_curves(x: npt.ArrayLike, labels: npt.ArrayLike) -> pd.DataFrame:
    """The fitted q(x) of each beta on separable data, around the gap: beta, x, q."""
    near = np.linspace(-1.5, 1.5, 301)
    fits = {beta: fit_logistic(x, labels, beta, ridge=1e-5) for beta in CURVE_BETAS}
    parts = [pd.DataFrame({"beta": beta, "x": near, "q": expit(a * near + b)}) for beta, (a, b) in fits.items()]
    return pd.concat(parts, ignore_index=True)


def shift_curves() -> pd.DataFrame:
    """The minimiser found numerically beside the formula, over logit eta: beta, log_odds, found, formula."""
    z = np.linspace(-4, 4, 41)
    curves = [
        {"beta": b, "log_odds": z, "found": pointwise_minimiser(expit(z), b), "formula": moved(z, b)}
        for b in (0.25, 0.75, 1.0, 4.0)
    ]
    return pd.concat(map(pd.DataFrame, curves), ignore_index=True)


def cost_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Normalised expected cost over pc on the test images of all runs: pc, curve, cost.

    Curves: each weight at one half, the oracle (lower envelope of plain cross-entropy) and the trivial classifier.
    """
    test = scores[(scores["split"] == "test") & scores["weight"].notna()]
    plain = test[test["method"] == PLAIN]
    envelope = cost_curve(Roc.of(plain["label"], plain["logit"])).rename(columns={"best": "oracle threshold"})
    for weight, part in test.groupby("weight"):
        envelope[f"β = {weight:g}"] = normalised_cost(*Roc.of(part["label"], part["logit"]).at(0.0), envelope["pc"])
    return envelope.melt("pc", var_name="curve", value_name="cost")


def decision_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Net benefit over threshold probability on the test images of all runs: threshold, curve, net_benefit.

    Each weighted model as trained ("β = …"), and with log beta taken off and the validation images' prevalence exchanged for
    the test images' ("…, corrected"). Thresholds: a tenth of the test prevalence to thirty times it, at most 0.8.
    """
    test = scores[scores["split"] == "test"]
    prevalence, trained = (float((scores.loc[scores["split"] == s, "label"] == 1).mean()) for s in ("test", "valid"))
    exchange = float(logit(trained) - logit(prevalence))
    thresholds = np.geomspace(prevalence / 10, min(30 * prevalence, 0.8), 80)
    table = pd.DataFrame({"threshold": thresholds})
    for weight in SHOWN:
        part = test[test["method"] == method_name(weight)]
        for suffix, shift in (("", 0.0), (", corrected", float(np.log(weight)) + exchange)):
            if len(part):
                curve = decision_curve(part["label"], expit(part["logit"] - shift), thresholds)
                table[f"β = {weight:g}{suffix}"] = curve["model"]
                table[["treat all", "treat none"]] = curve[["all", "none"]]
    return table.melt("threshold", var_name="curve", value_name="net_benefit")


def reliability_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Reliability diagrams on the test images of all runs, as trained and with log beta taken off, bins of equal size."""
    test, parts = scores[scores["split"] == "test"], []
    for weight in SHOWN:
        part = test[test["method"] == method_name(weight)]
        for panel, shift in (("as trained", 0.0), ("log β taken off", float(np.log(weight)))):
            if len(part):
                table = reliability(part["label"], expit(part["logit"] - shift), mass=True)
                parts.append(table.assign(weight=weight, panel=panel))
    return pd.concat(parts, ignore_index=True)


def _each(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """A batch mean's value for every sample by itself."""
    return torch.stack([loss(p[None], t[None]) for p, t in zip(z.sigmoid(), y, strict=True)])
