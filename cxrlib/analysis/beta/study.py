"""The threshold equivalence on recorded runs: every weighted run beside the plain run that differs in beta alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from cxrlib.analysis.beta.scores import PLAIN, by_weight, training_prevalence
from cxrlib.analysis.beta.threshold import balancing_weight, moved
from cxrlib.evaluation.comparison import McNemar, compare_predictions, holm
from cxrlib.evaluation.metrics import ConfusionMatrix, balanced_accuracy, sensitivity, specificity
from cxrlib.records.record import Record
from cxrlib.training.grid import BETA_SWEEP

METRICS = ("sensitivity", "specificity", "bacc")
SETTINGS = ("cohort", "model", "pretraining", "protocol")
AGAINST = ("threshold moved", "threshold 1/2", "logit adjustment")
"""What a weighted run is compared with, all from the plain run's log-odds."""


def pairs(records: Sequence[Record]) -> pd.DataFrame:
    """Weighted runs against their plain twins, three rows a pair (`against`, see `AGAINST`).

    Both runs share everything but beta: data, initial weights, protocol, seed, test images. Differences are weighted
    minus plain at the rule: `sensitivity`, `specificity`, `bacc`; `p_sensitivity` and `p_specificity` are McNemar's
    exact p-values on the positives and the negatives, each with its `holm_` adjustment over all pairs of that rule.
    `decided_differently`: share of test images that the two call differently; `shift`: mean difference of their
    log-odds; `share_of_shift`: that over log beta, 1 by theory.
    """
    rows = []
    for group in by_weight(records).values():
        for (beta, seed), weighted in group.items():
            plain = group.get((1.0, seed))
            if beta != 1 and plain is not None:
                rows += _pair(beta, weighted, plain)
    columns = [*SETTINGS, "seed", "beta", "against", *METRICS, "weighted_bacc", "plain_bacc", "decided_differently"]
    columns += ["shift", "share_of_shift", "p_sensitivity", "p_specificity"]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("sensitivity", "specificity"):
        table[f"holm_{name}"] = table.groupby("against")[f"p_{name}"].transform(lambda p: holm(p.tolist()))
    return table


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """`pairs` averaged over seeds, with the standard deviation of the paired differences (NaN for one seed)."""
    keys = [*SETTINGS, "beta", "against"]
    grouped = table.groupby(keys, sort=False)
    out = grouped.agg(seeds=("seed", "nunique"))
    for name in (*METRICS, "decided_differently", "share_of_shift"):
        out[name] = grouped[name].mean()
    for name in METRICS:
        out[f"{name}_sd"] = grouped[name].std()
    return out.reset_index()


def equivalence(scores: pd.DataFrame) -> pd.DataFrame:
    """The same comparison within a scores table: one row a fold and weight, weighted minus plain with moved threshold.

    Columns: fold, beta, `share_of_shift`, `decided_differently`, and the differences `sensitivity`, `specificity`,
    `bacc`, as in `pairs`.
    """
    test = scores[(scores["split"] == "test") & scores["beta"].notna()]
    rows = []
    for fold, part in test.groupby("fold"):
        plain = part[part["method"] == PLAIN].set_index("image_id")
        for beta, weighted in part[part["method"] != PLAIN].groupby("beta"):
            z = weighted.set_index("image_id")["logit"]
            other = plain["logit"].loc[z.index]
            at = float(np.log(beta))
            y = plain["label"].loc[z.index].to_numpy()
            ours, theirs = (_rates(pd.DataFrame({"label": y, "probability": expit(v)})) for v in (z, other + at))
            row = {"fold": fold, "beta": beta, "share_of_shift": float((z - other).mean()) / at}
            row["decided_differently"] = float(((z > 0) != (other + at > 0)).mean())
            rows.append(row | {name: ours[name] - theirs[name] for name in METRICS})
    return pd.DataFrame(rows, columns=["fold", "beta", "share_of_shift", "decided_differently", *METRICS])


def missing_sentence(records: Sequence[Record], sweep: Sequence[float] = BETA_SWEEP) -> str:
    """What the records lack for this chapter, in one sentence."""
    groups = by_weight(records)
    weighted = [(key, pair) for key, group in groups.items() for pair in group if pair[0] != 1]
    alone = sum((1.0, seed) not in groups[key] for key, (_, seed) in weighted)
    if not weighted:
        return "No run with a weight other than 1 is recorded yet, so the tables on recorded networks are empty."
    swept = max((len({beta for beta, _ in group} & set(sweep)) for group in groups.values()), default=0)
    parts = [f"{len(weighted)} weighted runs are recorded"]
    parts.append(f"{alone} of them without a plain run to compare with" if alone else "each with its plain run")
    complete = "complete" if swept == len(sweep) else f"at {swept} of its {len(sweep)} weights"
    return f"{', '.join(parts)}; the sweep over β is {complete}."


def _pair(beta: float, weighted: Record, plain: Record) -> list[dict[str, object]]:
    first, second = weighted.test(), plain.test().set_index("image_id").loc[weighted.test()["image_id"]].reset_index()
    prevalence = training_prevalence(plain)
    shift = float((first["logit"].to_numpy(np.float64) - second["logit"].to_numpy(np.float64)).mean())
    ours = _rates(first)
    rows = []
    for rule, at in zip(AGAINST, (beta, 1.0, balancing_weight(prevalence)), strict=True):
        z = moved(second["logit"], at)
        other = second.assign(logit=z, probability=expit(z))
        tests = compare_predictions(first, other)
        theirs = _rates(other)
        row: dict[str, object] = {name: getattr(weighted.config, name) for name in (*SETTINGS, "seed")}
        row |= {"beta": beta, "against": rule, "weighted_bacc": ours["bacc"], "plain_bacc": theirs["bacc"]}
        row |= {name: ours[name] - theirs[name] for name in METRICS}
        row["decided_differently"] = float(((first["logit"] > 0).to_numpy() != (z > 0)).mean())
        row |= {"shift": shift, "share_of_shift": shift / float(np.log(beta))}
        for name in ("sensitivity", "specificity"):
            test = tests[name]
            assert isinstance(test, McNemar)
            row[f"p_{name}"] = test.pvalue
        rows.append(row)
    return rows


def _rates(frame: pd.DataFrame) -> dict[str, float]:
    matrix = ConfusionMatrix.from_probabilities(frame["label"], frame["probability"])
    values = {"sensitivity": sensitivity, "specificity": specificity, "bacc": balanced_accuracy}
    return {name: float(rate(matrix)) for name, rate in values.items()}
