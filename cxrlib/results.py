"""Table II from the records: means and spread over seeds, pooled exact intervals, and what is missing.

Records of different profiles, editions or data never meet in one table: pass one `usable` set.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.intervals import clopper_pearson
from cxrlib.metrics import gain
from cxrlib.paper import BASELINES, TABLE_2, find_row
from cxrlib.protocols import PROTOCOLS
from cxrlib.records import Record

CONFIGURATION = ("cohort", "model", "pretraining", "beta")
METRICS = ("sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")


def runs_table(records: Sequence[Record], part: str = "test") -> pd.DataFrame:
    """One row a record: configuration, protocol, seed, counts and metrics of `part` of its metrics."""
    columns = [*CONFIGURATION, "protocol", "seed", "tp", "fn", "tn", "fp", *METRICS, "key"]
    rows = []
    for record in records:
        c, m = record.config, record.metrics[part]
        settings = {name: getattr(c, name) for name in (*CONFIGURATION, "protocol", "seed")}
        rows.append({**settings, **{name: m[name] for name in ("tp", "fn", "tn", "fp", *METRICS)}, "key": record.key})
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"beta": float, **dict.fromkeys(METRICS, float)})


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration and protocol: seeds, mean and standard deviation of each metric, and
    the pooled counts' Clopper-Pearson intervals of sensitivity and specificity.

    The standard deviation of a single seed is NaN; pooled intervals treat images of different seeds as
    independent, which seeds that share test images are not, so with several seeds they are too narrow.
    """
    keys = [*CONFIGURATION, "protocol"]
    grouped = runs.groupby(keys, dropna=False, sort=False)
    table = grouped.agg(seeds=("seed", "nunique"), **{name: (name, "sum") for name in ("tp", "fn", "tn", "fp")})
    for name in METRICS:
        table[name] = grouped[name].mean()
        table[f"{name}_sd"] = grouped[name].std()
    table["sensitivity_low"], table["sensitivity_high"] = clopper_pearson(table["tp"], table["tp"] + table["fn"])
    table["specificity_low"], table["specificity_high"] = clopper_pearson(table["tn"], table["tn"] + table["fp"])
    table["gain"] = gain(table["bacc"].to_numpy(), table["accuracy"].to_numpy())
    return table.reset_index()


def table_2(records: Sequence[Record]) -> pd.DataFrame:
    """Every row of Table II under every protocol, in the paper's order, beside the printed figures.

    A cell without a record keeps its row: `seeds` is 0 and its metrics are NaN. Nothing is averaged around it.
    """
    rows = [
        {**{name: getattr(row, name) for name in CONFIGURATION}, "protocol": protocol}
        for row in (*TABLE_2, *BASELINES)
        for protocol in PROTOCOLS
    ]
    grid = pd.DataFrame(rows).astype({"beta": float})
    found = over_seeds(runs_table(records))
    table = grid.merge(found, on=[*CONFIGURATION, "protocol"], how="left")
    printed = [
        find_row(row.cohort, row.model, row.pretraining, None if np.isnan(row.beta) else row.beta)
        for row in table.itertuples()
    ]
    for name in ("sensitivity", "specificity", "bacc", "ppcr", "gain"):
        table[f"paper_{name}"] = [np.nan if row is None else getattr(row, name) for row in printed]
    return table.astype({"seeds": float}).fillna({"seeds": 0}).astype({"seeds": int, "paper_gain": float})


def missing_sentence(table: pd.DataFrame) -> str:
    """Which cells of Table II have no record, in one sentence."""
    gone = table[table["seeds"] == 0]
    if gone.empty:
        return f"All {len(table)} cells of Table II are recorded."
    by_protocol = ", ".join(f"{count} under {name}" for name, count in gone["protocol"].value_counts().items())
    return f"{len(gone)} of {len(table)} cells of Table II have no record yet ({by_protocol}); they are left empty."
