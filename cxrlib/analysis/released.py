"""What the authors' released code does differently, one factor at a time, and what its loss cannot learn.

The code's runs without beta exchange the arguments of Keras's cross-entropy, so their loss is linear in the
probability (`losses.linear_probability_loss`). The factors below are overrides of the `paper` protocol, each
recorded as runs that differ in that one field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from cxrlib.losses.weighted import cross_entropy, linear_probability_loss, weighted_cross_entropy
from cxrlib.paper.tables import TABLE_2
from cxrlib.records.record import Record

METRICS = ("sensitivity", "specificity", "bacc", "auroc")


WEIGHTS = {None: "without β", 0.75: "with β = 0.75"}
"""Names of Table II's two settings of the weight."""

_ROW = ("cohort", "model", "pretraining", "seed")


@dataclass(frozen=True)
class Factor:
    """One difference between the text and the released code: two protocols, and the cohort that shows it."""

    name: str
    cohort: str
    control: str
    treated: str


FACTORS = (
    Factor("loss without beta: linear instead of cross-entropy", "combined", "paper", "paper+loss_without_beta=linear"),
    Factor("checkpoint: last epoch instead of best", "combined", "paper", "paper+checkpoint=last"),
    Factor("validation split: before instead of after augmentation", "augmented", "paper", "paper+split_order=before"),
    Factor("input: ImageNet scaling instead of none", "combined", "paper", "paper+normalisation=weights"),
    Factor("everything the released code does", "combined", "paper", "released"),
)
"""Compared without beta and with ImageNet weights, where the released loss and the scaling can matter."""


def factor_settings() -> list[dict[str, object]]:
    """The cells of the factorial: settings for `RunConfig.create`, controls included, each once."""
    best = max(TABLE_2, key=lambda row: row.bacc)
    found: list[dict[str, object]] = []
    for factor in FACTORS:
        for protocol in (factor.control, factor.treated):
            settings: dict[str, object] = {
                "cohort": factor.cohort,
                "model": best.model,
                "pretraining": best.pretraining,
                "beta": None,
                "protocol": protocol,
            }
            if settings not in found:
                found.append(settings)
    return found


def loss_table(reach: float = 8.0, points: int = 321) -> pd.DataFrame:
    """Value and slope of three losses over the log-odds of a COVID image: logit, loss, value, slope.

    Slopes are exact derivatives (autograd, float64) with respect to the log-odds of the true class.
    """
    parts = []
    for name, loss in {
        "cross-entropy, Eq. (3)": lambda z, y: cross_entropy(z, y, "none"),
        "weighted, Eq. (4), β = 0.75": lambda z, y: weighted_cross_entropy(z, y, 0.75, "none"),
        "linear, as released": lambda z, y: linear_probability_loss(z, y, "none"),
    }.items():
        logit = torch.linspace(-reach, reach, points, dtype=torch.float64, requires_grad=True)
        value = loss(logit, torch.ones(points, dtype=torch.int64))
        (slope,) = torch.autograd.grad(value.sum(), logit)
        frame = {"logit": logit.detach().numpy(), "value": value.detach().numpy(), "slope": slope.numpy()}
        parts.append(pd.DataFrame(frame).assign(loss=name))
    return pd.concat(parts, ignore_index=True)


def learning_time(start: npt.ArrayLike, loss: str) -> npt.NDArray[np.float64]:
    """Time that gradient flow on one log-odds takes from -start (confidently wrong) to 0 (undecided).

    With dz/dt = -dL/dz the time is the integral of 1 / |dL/dz|. For cross-entropy the slope is sigmoid(-z), so it
    is s + 1 - exp(-s), about linear in the start s >= 0; for the linear loss the slope is
    sigmoid(z) sigmoid(-z), and it is 2 s + exp(s) - exp(-s), exponential in s.
    """
    s = np.asarray(start, np.float64)
    if loss == "cross_entropy":
        return s + 1 - np.exp(-s)
    return 2 * s + np.exp(s) - np.exp(-s)


def learning_table(furthest: float = 8.0, points: int = 81) -> pd.DataFrame:
    """`learning_time` of both losses over the initial confidence in the wrong class: start, probability, loss, time."""
    start = np.linspace(0, furthest, points)
    names = {"cross_entropy": "cross-entropy, Eq. (3)", "linear": "linear, as released"}
    return pd.concat(
        [
            pd.DataFrame(
                {"start": start, "p_wrong": 1 / (1 + np.exp(-start)), "loss": name, "time": learning_time(start, key)}
            )
            for key, name in names.items()
        ],
        ignore_index=True,
    )


def factor_pairs(records: Sequence[Record]) -> pd.DataFrame:
    """Matched pairs of records for each factor: factor, seed, metric, control, treated, difference.

    Two records match if they differ in nothing but the protocol the factor names. Factors without a pair have no row.
    """
    by_config = {record.config: record for record in records}
    rows = []
    for factor in FACTORS:
        for config, control in by_config.items():
            if (config.protocol, config.cohort, config.beta, config.loss) != (
                factor.control,
                factor.cohort,
                None,
                "wce",
            ):
                continue
            treated = by_config.get(config.replace(protocol=factor.treated))
            if treated is None or _origin(treated) != _origin(control):
                continue
            settings = {
                "factor": factor.name,
                "model": config.model,
                "pretraining": config.pretraining,
                "seed": config.seed,
            }
            for metric in METRICS:
                before, after = (float(r.metrics["test"][metric]) for r in (control, treated))
                rows.append(
                    {**settings, "metric": metric, "control": before, "treated": after, "difference": after - before}
                )
    columns = ["factor", "model", "pretraining", "seed", "metric", "control", "treated", "difference"]
    return pd.DataFrame(rows, columns=columns)


def _origin(record: Record) -> tuple[str | None, ...]:
    """Data and initial weights; the images drawn may differ, for a protocol may draw others."""
    return record.inputs["data"], record.inputs["weights"]


def by_weight(records: Sequence[Record]) -> pd.DataFrame:
    """Rows run under `paper` and `released`, with and without beta: released minus paper, a row a pair and metric.

    With beta both protocols minimise Eq. (4); without, `paper` minimises Eq. (3) and `released` the linear loss. The
    other differences between the two are the same, so what sets the two kinds of pairs apart is the exchanged loss.
    Columns: cohort, model, pretraining, seed, weight (one of WEIGHTS), metric, paper, released, difference.
    """
    by_config = {record.config: record for record in records}
    rows = []
    for config, text in by_config.items():
        code = by_config.get(config.replace(protocol="released")) if config.protocol == "paper" else None
        if config.beta not in WEIGHTS or config.loss != "wce" or code is None or _origin(code) != _origin(text):
            continue
        cell = {name: getattr(config, name) for name in _ROW}
        for metric in METRICS:
            before, after = (float(r.metrics["test"][metric]) for r in (text, code))
            values = {"paper": before, "released": after, "difference": after - before}
            rows.append({**cell, "weight": WEIGHTS[config.beta], "metric": metric, **values})
    return pd.DataFrame(rows, columns=[*_ROW, "weight", "metric", "paper", "released", "difference"])


def loss_effect(by_weight: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_weight` with both kinds of pairs, side by side: `without`, `with`, and `effect`, their difference."""
    index = [*_ROW, "metric"]
    without, weighted = (
        by_weight.loc[by_weight["weight"] == name, [*index, "difference"]] for name in WEIGHTS.values()
    )
    both = without.merge(weighted, on=index, suffixes=("_without", "_with"), validate="one_to_one")
    both.columns = pd.Index([*index, "without", "with"])
    return both.assign(effect=both["without"] - both["with"])


def loss_effect_sentence(effect: pd.DataFrame) -> str:
    """What the exchanged loss is worth in balanced accuracy, by difference of differences, in one or two sentences."""
    found = effect[effect["metric"] == "bacc"]
    if found.empty:
        return "No row has been run under both protocols with and without β yet."
    e = found["effect"]
    return (
        f"In {len(found)} rows run all four ways, the released code is {found['without'].mean():+.3f} of balanced accuracy "
        f"away from the text without β, where the losses differ, and {found['with'].mean():+.3f} with β, where they do not. "
        f"The difference of the two, {e.mean():+.3f} on average (from {e.min():+.3f} to {e.max():+.3f}; below zero in "
        f"{(e < 0).sum()}, above in {(e > 0).sum()}), is what the exchanged loss changed."
    )


def effects(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of each factor's paired difference over seeds and networks; 0 pairs: NaN."""
    index = pd.MultiIndex.from_product([[f.name for f in FACTORS], METRICS], names=["factor", "metric"])
    grouped = pairs.groupby(["factor", "metric"])["difference"]
    table = pd.DataFrame({"pairs": grouped.size(), "mean": grouped.mean(), "sd": grouped.std()}).reindex(index)
    return table.fillna({"pairs": 0}).astype({"pairs": int, "mean": float, "sd": float}).reset_index()


def answer(pairs: pd.DataFrame) -> str:
    """The chapter's answer in two sentences: what the loss does by derivation, and what the records measured."""
    ratio = learning_time(5.0, "linear") / learning_time(5.0, "cross_entropy")
    first = (
        "Where Table II prints no β, the released code minimises a loss that is linear in the probability: an image "
        f"called wrong with log-odds of 5 then takes {ratio:.0f} times as long to unlearn as under cross-entropy."
    )
    linear = pairs[(pairs["factor"] == FACTORS[0].name) & (pairs["metric"] == "bacc")]["difference"]
    whole = pairs[(pairs["factor"] == FACTORS[-1].name) & (pairs["metric"] == "bacc")]["difference"]
    for what, found in (("exchanging the loss alone", linear), ("the released code as a whole", whole)):
        if len(found):
            word = "pair" if len(found) == 1 else "pairs"
            return (
                f"{first} In {len(found)} recorded {word} of runs without β, {what} changes balanced accuracy by "
                f"{found.mean():+.4f} on average (from {found.min():+.4f} to {found.max():+.4f}) against the text's protocol."
            )
    return f"{first} No pair of runs that measures its effect on the test set has been recorded yet."


def missing_sentence(pairs: pd.DataFrame) -> str:
    """Which factors have no recorded pair, in one sentence."""
    gone = [factor.name for factor in FACTORS if factor.name not in set(pairs["factor"])]
    if not gone:
        return "Every factor has been measured on at least one pair of runs."
    return f"{len(gone)} of {len(FACTORS)} factors have no recorded pair yet: {'; '.join(gone)}."
