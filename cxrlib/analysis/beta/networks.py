"""The alternatives to a weight as full networks: recorded runs of the paper's best row that differ in their loss alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.beta.alternatives import NAMES, REFERENCE, split_rules
from cxrlib.analysis.beta.nested import at_adjusted, at_half, at_tuned, rules_table
from cxrlib.analysis.beta.scores import COLUMNS, PLAIN
from cxrlib.config import LOSSES
from cxrlib.records.record import Record
from cxrlib.training.grid import BEST

PROTOCOL = "clean"
_METHODS = {"wce": PLAIN, "resampled": "re-sampling"}
_CELL = (BEST.cohort, BEST.model, BEST.pretraining, None, PROTOCOL, "minmax")


def by_loss(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of the best row without a weight, protocol clean, by loss; only seeds that every loss has."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        c = record.config
        if (c.cohort, c.model, c.pretraining, c.beta, c.protocol, c.preparation) == _CELL:
            found.setdefault(c.loss, {})[c.seed] = record
    seeds = sorted(set.intersection(*(set(runs) for runs in found.values()))) if found else []
    return {loss: [found[loss][seed] for seed in seeds] for loss in LOSSES if loss in found and seeds}


def loss_scores(records: Sequence[Record]) -> pd.DataFrame:
    """Their predictions as a scores table (see `cxrlib.analysis.beta.scores`): fold is the seed, method the loss."""
    parts = [
        record.predictions[["split", "image_id", "component", "label", "logit"]].assign(
            fold=record.config.seed, method=_METHODS.get(loss, loss), beta=1.0 if loss == "wce" else np.nan
        )
        for loss, runs in by_loss(records).items()
        for record in runs
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return table.astype({"logit": np.float64})[list(COLUMNS)]


def losses_table(records: Sequence[Record], draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row a loss and rule ("1/2", "tuned" on validation data, plain CE also "adjusted" post hoc).

    The columns of `nested.rules_table` with balanced accuracy as the utility, difference from plain CE with a tuned
    threshold. Empty unless plain CE and an alternative are recorded.
    """
    scores = loss_scores(records)
    methods = [method for method in NAMES if method in set(scores["method"])]
    if PLAIN not in methods or len(methods) < 2:
        return pd.DataFrame()
    rules = {f"{NAMES[method]}, 1/2": at_half(scores, method) for method in methods}
    rules |= {f"{NAMES[method]}, tuned": at_tuned(scores, method) for method in methods}
    rules["plain CE, adjusted"] = at_adjusted(scores)
    return split_rules(rules_table(rules, REFERENCE, draws=draws, seed=seed))


def losses_sentence(records: Sequence[Record]) -> str:
    """Which losses are recorded and which beat plain CE with a tuned threshold, in one or two sentences."""
    found = by_loss(records)
    gone = [NAMES[_METHODS.get(loss, loss)] for loss in LOSSES if loss not in found]
    missing = f"Not recorded yet: {', '.join(gone)}." if gone else "All of them are recorded."
    table = losses_table(records)
    if table.empty:
        return f"No alternative has been recorded beside plain cross-entropy. {missing}"
    others = table[table["loss"] != NAMES[PLAIN]]
    better = others[others["difference_low"] > 0]
    worse = others[others["difference_high"] < 0]
    seeds = len(next(iter(found.values())))
    return (
        f"Of {len(others)} combinations of a loss and a rule ({seeds} seed{'s' * (seeds > 1)}), {len(better)} have an "
        f"interval of the difference from plain cross-entropy with a tuned threshold wholly above zero"
        f"{_listed(better)} and {len(worse)} wholly below{_listed(worse)}. {missing}"
    )


def _listed(rows: pd.DataFrame) -> str:
    names = [f"{row.loss} at {row.rule}" for row in rows.itertuples()]
    return f" ({'; '.join(names)})" if names else ""
