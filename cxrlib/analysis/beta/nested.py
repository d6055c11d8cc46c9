"""Choosing a weight or a threshold on validation data, and what the choice is worth on test data.

Every rule reads a fold's "valid" rows only and then calls the fold's "test" images. Rules are judged by the utility
pc sensitivity + (1 - pc) specificity, one minus the normalised cost of `cxrlib.evaluation.costs`: pc = 1/2 is balanced
accuracy; for a miss that costs c times a false alarm at prevalence p it is p c / (p c + 1 - p).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.analysis.beta.scores import PLAIN
from cxrlib.analysis.beta.threshold import logit_adjusted, moved
from cxrlib.errors import DataError, ParameterError
from cxrlib.evaluation.costs import Roc, normalised_cost
from cxrlib.evaluation.intervals import Statistic, bootstrap_intervals, clopper_pearson

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
BALANCED = 0.5
Rule = Callable[[pd.DataFrame, pd.DataFrame], tuple[float, pd.DataFrame, float]]
"""(valid rows, test rows) of a fold -> what was chosen, the test rows it uses, and the cut on their log-odds."""


def probability_cost(prevalence: float, cost_ratio: float) -> float:
    """pc for a miss that costs `cost_ratio` times a false alarm at this prevalence."""
    if not (0 < prevalence < 1 and cost_ratio > 0):
        raise ParameterError("give a prevalence between 0 and 1 and a cost ratio above 0.")
    return prevalence * cost_ratio / (prevalence * cost_ratio + 1 - prevalence)


def utility(labels: npt.ArrayLike, called: npt.ArrayLike, pc: float = BALANCED) -> float:
    """pc sensitivity + (1 - pc) specificity of decisions bool [N]; NaN where a class is missing."""
    y = np.asarray(labels) == 1
    return float(weighted_utility(y, np.asarray(called, bool), np.ones((1, len(y))), pc)[0])


def weighted_utility(
    labels: npt.NDArray[np.bool_], called: npt.NDArray[np.bool_], weights: npt.NDArray[np.floating], pc: float
) -> Floats:
    """`utility` of D weighted samples, weights [D, N] -> [D], for the bootstrap."""
    wide = weights.astype(np.float64)
    parts = []
    for right, among in ((labels & called, labels), (~labels & ~called, ~labels)):
        total = wide @ among
        parts.append(np.divide(wide @ right, total, out=np.full(len(total), np.nan), where=total > 0))
    return pc * parts[0] + (1 - pc) * parts[1]


def tune_cut(labels: npt.ArrayLike, logits: npt.ArrayLike, pc: float = BALANCED) -> float:
    """The cut on the log-odds with the highest utility on these images, halfway to the next lower log-odds."""
    roc = Roc.of(labels, logits)
    k = int(np.argmin(normalised_cost(roc.sensitivity, roc.specificity, pc)))
    values = np.unique(np.asarray(logits, np.float64))
    if k == 0:  # nobody is called positive
        return float(values[-1])
    lower = values[values < roc.cut[k]]
    return float((roc.cut[k] + lower[-1]) / 2) if len(lower) else float(np.nextafter(roc.cut[k], -np.inf))


def at_half(scores: pd.DataFrame, method: str = PLAIN) -> pd.DataFrame:
    """Decisions of a method at one half."""
    return _decide(scores, lambda valid, test: (0.5, _of(test, method), 0.0))


def at_tuned(scores: pd.DataFrame, method: str = PLAIN, pc: float = BALANCED) -> pd.DataFrame:
    """Decisions of a method at the cut tuned on validation data; `setting` is the cut."""

    def rule(valid: pd.DataFrame, test: pd.DataFrame) -> tuple[float, pd.DataFrame, float]:
        seen = _of(valid, method)
        cut = tune_cut(seen["label"], seen["logit"], pc)
        return cut, _of(test, method), cut

    return _decide(scores, rule)


def at_moved(scores: pd.DataFrame, beta: float) -> pd.DataFrame:
    """Decisions of plain cross-entropy with its threshold moved to 1 / (1 + beta)."""
    return _decide(scores, lambda valid, test: (beta, _of(test, PLAIN), -float(moved(0.0, beta))))


def at_adjusted(scores: pd.DataFrame) -> pd.DataFrame:
    """Decisions of plain cross-entropy after logit adjustment by the prevalence of the fold's validation images."""

    def rule(valid: pd.DataFrame, test: pd.DataFrame) -> tuple[float, pd.DataFrame, float]:
        prevalence = float((_of(valid, PLAIN)["label"] == 1).mean())
        return prevalence, _of(test, PLAIN), -float(logit_adjusted(0.0, prevalence))

    return _decide(scores, rule)


def with_chosen_beta(scores: pd.DataFrame, pc: float = BALANCED) -> pd.DataFrame:
    """Decisions at one half with the weight that did best on validation data; `setting` is that weight.

    Of equally good weights the one nearest to 1 is taken.
    """
    return _decide(scores, lambda valid, test: _best_beta(valid, test, pc))


def with_oracle_beta(scores: pd.DataFrame, pc: float = BALANCED) -> pd.DataFrame:
    """As `with_chosen_beta`, but chosen on the test images themselves: what no honest choice can beat."""
    return _decide(scores, lambda valid, test: _best_beta(test, test, pc))


def at_oracle_cut(scores: pd.DataFrame, pc: float = BALANCED) -> pd.DataFrame:
    """Plain cross-entropy at the cut that is best on the test images themselves."""

    def rule(valid: pd.DataFrame, test: pd.DataFrame) -> tuple[float, pd.DataFrame, float]:
        part = _of(test, PLAIN)
        cut = tune_cut(part["label"], part["logit"], pc)
        return cut, part, cut

    return _decide(scores, rule)


def nested_rules(scores: pd.DataFrame, pc: float = BALANCED) -> dict[str, pd.DataFrame]:
    """The rules that the chapter compares when weights were swept, by name."""
    return {
        "plain CE, threshold 1/2": at_half(scores),
        "plain CE, threshold tuned": at_tuned(scores, pc=pc),
        "β chosen, threshold 1/2": with_chosen_beta(scores, pc),
        "oracle β": with_oracle_beta(scores, pc),
        "oracle threshold": at_oracle_cut(scores, pc),
    }


def rules_table(
    rules: Mapping[str, pd.DataFrame], reference: str, pc: float = BALANCED, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Rules side by side on the pooled test images, one row a rule.

    Sensitivity and specificity with Clopper-Pearson intervals; utility and its difference from `reference` with 95 %
    intervals by a bootstrap over components, paired: all folds and rules of a component are drawn together.
    `setting_low` and `setting_high`: the range of the setting chosen over folds. Raises DataError if the rules did
    not decide on the same images.
    """
    order = ["fold", "image_id"]
    frames = {name: frame.sort_values(order, ignore_index=True) for name, frame in rules.items()}
    base = frames[reference]
    if any(not frame[[*order, "label"]].equals(base[[*order, "label"]]) for frame in frames.values()):
        raise DataError("the rules did not decide on the same images: pass one scores table to all of them.")
    y, against = base["label"].to_numpy() == 1, base["called"].to_numpy(bool)
    rows = []
    for name, frame in frames.items():
        called = frame["called"].to_numpy(bool)

        ends = bootstrap_intervals(y, called, base["component"], _statistics(called, against, pc), draws, seed)
        caught, spared = int((called & y).sum()), int((~called & ~y).sum())
        sensitivity, specificity = clopper_pearson(caught, y.sum()), clopper_pearson(spared, (~y).sum())
        rows.append(
            {
                "rule": name,
                "setting_low": frame["setting"].min(),
                "setting_high": frame["setting"].max(),
                "sensitivity": caught / y.sum(),
                "sensitivity_low": float(sensitivity[0]),
                "sensitivity_high": float(sensitivity[1]),
                "specificity": spared / (~y).sum(),
                "specificity_low": float(specificity[0]),
                "specificity_high": float(specificity[1]),
                "utility": utility(y, called, pc),
                "utility_low": ends["utility"][0],
                "utility_high": ends["utility"][1],
                "difference": utility(y, called, pc) - utility(y, against, pc),
                "difference_low": ends["difference"][0],
                "difference_high": ends["difference"][1],
            }
        )
    return pd.DataFrame(rows)


def _statistics(called: Bools, against: Bools, pc: float) -> dict[str, Statistic]:
    """The utility of decisions, and its difference from other decisions on the same images, for the bootstrap."""

    def value(labels: Bools, _: Floats, weights: npt.NDArray[np.float32]) -> Floats:
        return weighted_utility(labels, called, weights, pc)

    def difference(labels: Bools, _: Floats, weights: npt.NDArray[np.float32]) -> Floats:
        return weighted_utility(labels, called, weights, pc) - weighted_utility(labels, against, weights, pc)

    return {"utility": value, "difference": difference}


def _decide(scores: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Run `rule(valid, test) -> (setting, rows, cut)` in every fold and collect the calls."""
    parts = []
    for fold, part in scores.groupby("fold", sort=True):
        valid, test = (part[part["split"] == name] for name in ("valid", "test"))
        setting, rows, cut = rule(valid, test)
        frame = rows[["image_id", "component", "label"]]
        parts.append(frame.assign(fold=fold, setting=float(setting), called=rows["logit"].to_numpy() > cut))
    return pd.concat(parts, ignore_index=True)


def _of(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    found = rows[rows["method"] == method]
    if found.empty:
        raise DataError(f"the scores hold no '{method}' in some fold: add it to the runs.")
    return found


def _best_beta(seen: pd.DataFrame, test: pd.DataFrame, pc: float) -> tuple[float, pd.DataFrame, float]:
    weighted = seen.dropna(subset="beta")
    values = {
        float(str(beta)): utility(part["label"], part["logit"] > 0, pc) for beta, part in weighted.groupby("beta")
    }
    top = max(values.values())
    chosen = min((b for b, v in values.items() if v >= top - 1e-12), key=lambda b: abs(np.log(b)))
    return chosen, test[test["beta"] == chosen], 0.0


def regret_table(scores: pd.DataFrame, prevalence: float, cost_ratios: Sequence[float]) -> pd.DataFrame:
    """Every rule's regret at stated costs, chosen for those costs: one row a cost ratio, rule and fold.

    A miss costs `cost_ratio` times a false alarm. `cost`: the normalised expected cost on the fold's test images;
    `regret`: that minus the cost of the fold's oracle threshold on plain cross-entropy, negative where a weighted
    model beats every threshold of the plain one; `setting`: what was chosen.
    """
    rows = []
    for ratio in cost_ratios:
        pc = probability_cost(prevalence, ratio)
        rules = nested_rules(scores, pc)
        rules["plain CE, threshold from costs"] = at_moved(scores, ratio * odds_ratio(scores, prevalence))
        costs = {
            name: {fold: 1 - utility(part["label"], part["called"], pc) for fold, part in frame.groupby("fold")}
            for name, frame in rules.items()
        }
        for name, frame in rules.items():
            setting = frame.groupby("fold")["setting"].first()
            for fold, cost in costs[name].items():
                best = costs["oracle threshold"][fold]
                row = {"cost_ratio": ratio, "pc": pc, "rule": name, "fold": fold, "setting": setting[fold]}
                rows.append(row | {"cost": cost, "regret": cost - best})
    return pd.DataFrame(rows)


def odds_ratio(scores: pd.DataFrame, prevalence: float) -> float:
    """Odds of `prevalence` over those of the validation images, which stand for the training set."""
    valid = scores[(scores["split"] == "valid") & (scores["method"] == PLAIN)]
    seen = float((valid["label"] == 1).mean())
    return (prevalence / (1 - prevalence)) / (seen / (1 - seen))
