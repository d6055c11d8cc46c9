"""Every loss of the live experiment at one half and at its own tuned threshold, against plain CE tuned."""

import numpy as np
import pandas as pd

from cxrlib.analysis.beta.experiment import BALANCING, RESAMPLING
from cxrlib.analysis.beta.nested import at_adjusted, at_half, at_tuned, rules_table, with_chosen_beta
from cxrlib.analysis.beta.scores import PLAIN
from cxrlib.evaluation.intervals import bootstrap_intervals
from cxrlib.evaluation.ranking import weighted_auroc
from cxrlib.losses.alternatives import ALTERNATIVES

REFERENCE = "plain CE, tuned"
NAMES = {
    PLAIN: "plain CE",
    BALANCING: "WCE, β balancing",
    "focal": "focal",
    "class_balanced": "class-balanced",
    "ldam": "LDAM",
    "logit_adjusted": "logit-adjusted CE",
    RESAMPLING: "re-sampling",
}
assert set(ALTERNATIVES) < set(NAMES)


def alternatives_table(scores: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row a loss and rule ("1/2", "tuned" on validation data, "adjusted" post hoc, "chosen" weight).

    The columns of `nested.rules_table` with balanced accuracy as the utility, and the loss's AUROC (mean over folds,
    interval by a bootstrap over components within folds, averaged).
    """
    rules = {f"{name}, 1/2": at_half(scores, method) for method, name in NAMES.items()}
    rules |= {f"{name}, tuned": at_tuned(scores, method) for method, name in NAMES.items()}
    rules |= {"plain CE, adjusted": at_adjusted(scores), "WCE, chosen": with_chosen_beta(scores)}
    table = split_rules(rules_table(rules, REFERENCE, draws=draws, seed=seed))
    return table.merge(ranking_table(scores, draws, seed), on="loss", how="left")


def split_rules(table: pd.DataFrame) -> pd.DataFrame:
    """A table of rules named "loss, rule" with a column for each of the two."""
    split = table["rule"].str.rsplit(", ", n=1, expand=True)
    return table.assign(rule=split[1]).pipe(lambda named: named.assign(loss=split[0])[["loss", *table.columns]])


def ranking_table(scores: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """AUROC of every loss: mean over folds, with the mean of the folds' bootstrap intervals (by component)."""
    test = scores[scores["split"] == "test"]
    rows = []
    for method, name in NAMES.items():
        found = []
        for _, part in test[test["method"] == method].groupby("fold"):
            y, z = part["label"].to_numpy() == 1, part["logit"].to_numpy()
            value = float(weighted_auroc(y, z, np.ones((1, len(y))))[0])
            ends = bootstrap_intervals(y, z, part["component"], {"auroc": weighted_auroc}, draws, seed)["auroc"]
            found.append((value, *ends))
        value, low, high = np.mean(found, axis=0)
        rows.append({"loss": name, "auroc": value, "auroc_low": low, "auroc_high": high})
    return pd.DataFrame(rows)
