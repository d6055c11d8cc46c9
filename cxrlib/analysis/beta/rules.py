"""A weight or a threshold chosen on validation data, and what the choice is worth on test data.

A table of scores, from recorded networks or from linear models of simulated images, has the columns `COLUMNS`: draw and seed
of a run, method, weight (the beta of its loss, 1 for plain cross-entropy, NaN where it has none), split, image_id, component,
label (1 = COVID), logit. Every rule reads a run's "valid" rows only (the oracles excepted), chooses by balanced accuracy and
then decides on its "test" images.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.metrics import balanced_accuracy_score, brier_score_loss

from cxrlib.analysis.beta.theory import BETAS, GaussianProblem, fit_linear
from cxrlib.errors import DataError
from cxrlib.evaluation.decisions import Roc, expected_calibration_error, fit_temperature, log_loss, normalised_cost
from cxrlib.evaluation.intervals import Bootstrap, Floats, interval_of, weighted_rates
from cxrlib.losses.alternatives import ALTERNATIVES, balancing_chances, build_loss
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

COLUMNS = ("draw", "seed", "method", "weight", "split", "image_id", "component", "label", "logit")
PLAIN, BALANCED = "plain CE", "balancing weight"
REFERENCE = "plain CE, threshold tuned"
IMAGES, SIZES, RIDGE = GaussianProblem(2.0, 0.25), {"train": 500, "valid": 300, "test": 1000}, 3e-2


class Rule(NamedTuple):
    """How a run decides on its test images: a method at the threshold 1/2, or at a cut tuned on the images it may see."""

    method: str | None = PLAIN  # None: the weight that did best at 1/2, of equally good ones the nearest to 1
    tuned: bool = False
    oracle: bool = False  # chosen on the test images themselves, which nobody has


NESTED = {
    "plain CE, threshold 1/2": Rule(),
    REFERENCE: Rule(tuned=True),
    "β chosen, threshold 1/2": Rule(None),
    "oracle β": Rule(None, oracle=True),
    "oracle threshold": Rule(tuned=True, oracle=True),
}
"""The rules that are compared where weights were swept."""


def method_name(weight: float) -> str:
    """The method of a weighted loss: `PLAIN` for weight 1, else "β = …"."""
    return PLAIN if weight == 1 else f"β = {beta_text(weight)}"


def scores_of(records: Sequence[Record]) -> pd.DataFrame:
    """The scores of records under protocols whose loss without a weight is cross-entropy."""
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for record in records:
        c = record.config
        weight = np.nan if c.loss != "wce" else 1.0 if c.beta is None else c.beta
        method = method_name(weight) if c.loss == "wce" else name(c.loss)
        parts.append(record.predictions.assign(draw=c.draw_seed, seed=c.seed, method=method, weight=weight)[[*COLUMNS]])
    return pd.concat(parts[1:] or parts, ignore_index=True).astype({"logit": np.float64})


def simulated_scores(
    betas: Sequence[float] = BETAS, others: bool = False, draws: Sequence[int] = range(4), pixels: int = 16
) -> pd.DataFrame:
    """Scores of linear models of simulated images (`IMAGES`), fitted to convergence under a slight ridge; a draw is a data set.

    others: the alternatives to a weight too, with the weight that balances the classes and re-sampling to balanced classes.
    """
    split = np.repeat(list(SIZES), list(SIZES.values()))
    train, unseen = split == "train", split != "train"
    methods: list[tuple[str, str, float]] = [(method_name(b), "wce", b) for b in (1.0, *(b for b in betas if b != 1))]
    if others:
        methods += [(name(loss), loss, np.nan) for loss in (*ALTERNATIVES, "resampled")] + [(BALANCED, "wce", np.nan)]
    parts = []
    for draw in draws:
        x, y = IMAGES.sample(len(split), draw, pixels)
        counts = np.bincount(y[train], minlength=2).tolist()
        images = {"split": split[unseen], "image_id": np.flatnonzero(unseen), "label": y[unseen]}
        frame = pd.DataFrame(images).assign(draw=draw, seed=0, component=np.flatnonzero(unseen) + draw * len(split))
        for method, loss, weight in methods:
            index = np.arange(train.sum())
            if loss == "resampled":
                index = np.random.default_rng(draw).choice(index, size=len(index), p=balancing_chances(y[train]))
            beta = counts[0] / counts[1] if method == BALANCED else weight if loss == "wce" else None
            w = fit_linear(x[train][index], y[train][index], build_loss(loss, beta, "cross_entropy", counts), RIDGE)
            parts.append(frame.assign(method=method, weight=weight, logit=x[unseen] @ w[:-1] + w[-1]))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def tune_cut(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """The cut on the log-odds with the highest balanced accuracy on these images, halfway to the next lower log-odds."""
    roc, values = Roc.of(labels, logits), np.unique(np.asarray(logits, np.float64))
    k = int(np.argmin(normalised_cost(roc.sensitivity, roc.specificity, 0.5)))
    if k == 0:
        return float(values[-1])
    lower = values[values < roc.cut[k]]
    return float((roc.cut[k] + lower[-1]) / 2 if len(lower) else values[0] - 1)


def best_weight(rows: pd.DataFrame) -> float:
    """The weight with the highest balanced accuracy at 1/2 on these images, of equally good ones the nearest to 1."""
    values = {
        float(str(weight)): balanced_accuracy_score(part["label"], part["logit"] > 0)
        for weight, part in rows.groupby("weight")
    }
    good = [weight for weight, value in values.items() if value >= max(values.values()) - 1e-12]
    return min(good, key=lambda weight: abs(np.log(weight)))


def loss_rules(scores: pd.DataFrame) -> dict[str, Rule]:
    """Every method of the scores at 1/2 and at its tuned threshold."""
    methods = scores["method"].unique()
    return {f"{m}, threshold 1/2": Rule(m) for m in methods} | {f"{m}, threshold tuned": Rule(m, True) for m in methods}


def decide(scores: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """The decisions of a rule on every run's test images: draw, seed, image_id, component, label, setting, positive."""
    parts = []
    for (draw, seed), part in scores.groupby(["draw", "seed"]):
        valid, test = (part[part["split"] == split] for split in ("valid", "test"))
        seen, cut = test if rule.oracle else valid, 0.0
        if rule.method is None:
            setting = best_weight(seen)
            rows = test[test["weight"] == setting]
        else:
            rows, own = test[test["method"] == rule.method], seen[seen["method"] == rule.method]
            setting = cut = tune_cut(own["label"], own["logit"]) if rule.tuned else 0.0
        frame = rows[["image_id", "component", "label"]].assign(draw=draw, seed=seed, setting=setting)
        parts.append(frame.assign(positive=rows["logit"].to_numpy() > cut))
    return pd.concat(parts, ignore_index=True).sort_values(["draw", "seed", "image_id"], ignore_index=True)


def rules_table(scores: pd.DataFrame, rules: Mapping[str, Rule], draws: int = 300) -> pd.DataFrame:
    """Rules side by side, one row a rule: means over runs, 95 % intervals by one bootstrap over components and seeds.

    `difference`: of balanced accuracy from `REFERENCE`, paired. `setting_low`, `setting_high`: the range chosen over runs.
    """
    made = {title: decide(scores, rule) for title, rule in rules.items()}
    base = made[REFERENCE]
    runs = base.groupby(["draw", "seed"]).groups
    if any(not frame["image_id"].equals(base["image_id"]) for frame in made.values()):
        raise DataError("the rules did not decide on the same images: pass one table of scores to all of them.")
    boot = Bootstrap(base["component"], base["label"].to_numpy() == 1, runs, draws)
    weights = {run: boot.images(base.loc[index, "component"]) for run, index in runs.items()}
    found: dict[str, dict[str, dict[tuple[int, int], Floats]]] = {}
    for rule, frame in made.items():
        parts = {run: frame.loc[index] for run, index in runs.items()}
        decided = {run: (part["label"].to_numpy() == 1, part["positive"].to_numpy()) for run, part in parts.items()}
        rates = {run: weighted_rates(*decided[run], weights[run]) for run in runs}
        found[rule] = {
            "sensitivity": {run: sensitivity for run, (sensitivity, _) in rates.items()},
            "specificity": {run: specificity for run, (_, specificity) in rates.items()},
            "bacc": {run: (both[0] + both[1]) / 2 for run, both in rates.items()},
        }
    rows = []
    for rule, metrics in found.items():
        metrics["difference"] = {run: metrics["bacc"][run] - found[REFERENCE]["bacc"][run] for run in runs}
        row = {"rule": rule, "setting_low": made[rule]["setting"].min(), "setting_high": made[rule]["setting"].max()}
        for metric, values in metrics.items():
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval_of(boot.mean(values))
        rows.append(row)
    return pd.DataFrame(rows)


def tuning_spread(scores: pd.DataFrame, positives: int | None, draws: int = 40, seed: int = 0) -> dict[str, float]:
    """What a threshold tuned on validation sets of so many positives can be (None: all), and its rates on test images.

    Validation images are drawn with replacement, negatives in proportion; 2.5 and 97.5 % over runs and draws of
    `threshold`, `sensitivity`, `specificity` and the `bacc` there.
    """
    generator, found = np.random.default_rng(seed), []
    for _, part in scores[scores["method"] == PLAIN].groupby(["draw", "seed"]):
        valid, test = (part[part["split"] == name] for name in ("valid", "test"))
        y, z = valid["label"].to_numpy() == 1, valid["logit"].to_numpy()
        roc, share = Roc.of(test["label"], test["logit"]), 1.0 if positives is None else positives / y.sum()
        sizes = [(np.flatnonzero(y == c), max(1, round(share * (y == c).sum()))) for c in (1, 0)]
        for _ in range(draws):
            drawn = np.concatenate([generator.choice(images, size) for images, size in sizes])
            cut = tune_cut(y[drawn], z[drawn])
            found.append((expit(cut), *roc.at(cut)))
    table = pd.DataFrame(found, columns=["threshold", "sensitivity", "specificity"])
    table["bacc"] = (table["sensitivity"] + table["specificity"]) / 2
    return {f"{name}_{end}": table[name].quantile(q) for name in table for end, q in (("low", 0.025), ("high", 0.975))}


def calibration_table(scores: pd.DataFrame) -> pd.DataFrame:
    """ECE, Brier score and cross-entropy on test images before and after repair, means over runs: a row a weight and repair.

    `repair`: "none", "log β off" (the shift that theory puts in), "temperature" (fitted to validation logits) or "both".
    """
    rows = []
    for (weight, *_), part in scores.dropna(subset="weight").groupby(["weight", "draw", "seed"]):
        valid, test = (part[part["split"] == name] for name in ("valid", "test"))
        for names, shift in ((("none", "temperature"), 0.0), (("log β off", "both"), float(np.log(weight)))):
            divisors = (1.0, fit_temperature(valid["label"], valid["logit"] - shift))
            for repair, divisor in zip(names, divisors, strict=True):
                y, z = test["label"], (test["logit"] - shift) / divisor
                values = {"ece": expected_calibration_error(y, expit(z)), "brier": brier_score_loss(y, expit(z))}
                rows.append({"weight": weight, "repair": repair, **values, "log_loss": log_loss(y, z)})
    return pd.DataFrame(rows).groupby(["weight", "repair"], sort=False).mean().reset_index()
