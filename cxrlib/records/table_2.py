"""Table II from the records: means and spread over seeds, 95 % intervals, what is missing, what is out of date.

Records of different profiles, editions or data never meet in one table: `study_records` chooses those that may.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.claims import usable
from cxrlib.config import RunConfig
from cxrlib.data.editions import Edition
from cxrlib.errors import RecordError
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.evaluation.metrics import RANKED, gain
from cxrlib.networks.weights import imagenet_at_hand
from cxrlib.paper.tables import BASELINES, TABLE_2, find_row
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.record import Record, all_records
from cxrlib.training.grid import BEST, standard
from cxrlib.training.runs import recorded, run_inputs

CONFIGURATION = ("cohort", "model", "pretraining", "beta")
CELL = (*CONFIGURATION, "protocol")
COUNTS = ("tp", "fn", "tn", "fp")
METRICS = ("sensitivity", "specificity", "bacc", "ppcr", "accuracy", "auroc", "auprc")
PRINTED = ("sensitivity", "specificity", "bacc", "ppcr", "gain")
_TUNED = ("threshold", "sensitivity", "specificity", "bacc")


def study_records(edition: Edition, profile: str) -> list[Record]:
    """The records under `results/runs` that one table may hold: this edition's data, one profile as it stands.

    Each is checked; see `check_record`.
    """
    found = [r for r in usable(all_records(), edition.digest, profile) if standard(r.config)]
    for record in found:
        check_record(record, edition)
    return found


def check_record(record: Record, edition: Edition) -> None:
    """Raise RecordError unless the record's key is what its config and this edition's data give today.

    Its counts must also follow from its predictions. ImageNet weights that are not on this machine are not compared.
    """
    inputs = run_inputs(record.config, edition) if _weights_known(record.config) else dict(record.inputs)
    changed = [name for name, value in inputs.items() if record.inputs.get(name) != value]
    if changed:
        raise RecordError(
            f"record {record.key} was made from other {' and '.join(changed)} than its config gives now: "
            "delete its folder and run it again, or restore what has changed."
        )
    test, stored = record.test(), record.metrics["test"]
    positive, called = test["label"] == 1, test["probability"] > stored["threshold"]
    counts = (
        (positive & called).sum(),
        (positive & ~called).sum(),
        (~positive & ~called).sum(),
        (~positive & called).sum(),
    )
    if counts != tuple(stored[name] for name in COUNTS):
        raise RecordError(
            f"the counts of record {record.key} do not follow from its predictions: delete its folder and run it again."
        )


def runs_table(records: Sequence[Record], part: str = "test") -> pd.DataFrame:
    """One row a record: cell, seed, counts and metrics of `part` of its metrics with bootstrapped intervals of the
    areas and of bACC, the operating point tuned on validation data, and the sensitivity on unseen patients."""
    ends = tuple(f"{name}_{end}" for name in RANKED for end in ("low", "high"))
    tuned = tuple(f"tuned_{name}" for name in _TUNED)
    columns = [*CELL, "seed", *COUNTS, *METRICS, *ends, *tuned, "unseen_sensitivity", "current", "key"]
    rows = []
    for record in records:
        c, m = record.config, record.metrics
        rows.append(
            {
                **{name: getattr(c, name) for name in (*CELL, "seed")},
                **{name: m[part][name] for name in (*COUNTS, *METRICS, *ends)},
                **{f"tuned_{name}": m["test_tuned"][name] for name in _TUNED},
                "unseen_sensitivity": m["test_not_overlapping"]["sensitivity"],
                "current": record.current,
                "key": record.key,
            }
        )
    table = pd.DataFrame(rows, columns=columns)
    numbers = ("beta", *METRICS, *ends, *tuned, "unseen_sensitivity")
    return table.astype({**dict.fromkeys(numbers, float), "current": bool})


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration and protocol: seeds, mean and standard deviation of each metric, and 95 % intervals.

    The rates' intervals are Clopper-Pearson of the pooled counts; they treat images of different seeds as
    independent, which seeds that share test images are not, so with several seeds they are too narrow. The
    others' are the mean of each seed's bootstrap interval. The standard deviation of a single seed is NaN.
    `older` counts the records made by older training code; `records` are their keys.
    """
    grouped = runs.groupby(list(CELL), dropna=False, sort=False)
    table = grouped.agg(seeds=("seed", "nunique"), **{name: (name, "sum") for name in COUNTS})
    for name in METRICS:
        table[name] = grouped[name].mean()
        table[f"{name}_sd"] = grouped[name].std()
    tp, fn, tn, fp = (table[name] for name in COUNTS)
    total = tp + fn + tn + fp
    rates = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppcr": (tp + fp, total),
        "accuracy": (tp + tn, total),
    }
    for name, (k, n) in rates.items():
        table[f"{name}_low"], table[f"{name}_high"] = clopper_pearson(k, n)
    means = [f"{name}_{end}" for name in RANKED for end in ("low", "high")]
    for name in (*means, *(f"tuned_{name}" for name in _TUNED), "unseen_sensitivity"):
        table[name] = grouped[name].mean()
    table["gain"] = 100 * gain(table["bacc"].to_numpy(), table["accuracy"].to_numpy())
    table["older"] = len(runs) and grouped["current"].agg(lambda current: int((~current).sum()))
    table["records"] = grouped["key"].agg(" ".join)
    return table.reset_index()


def table_2(records: Sequence[Record]) -> pd.DataFrame:
    """Every row of Table II under every protocol, in the paper's order, beside the printed figures.

    A cell without a record keeps its row: `seeds` is 0 and its metrics are NaN. Nothing is averaged around it. `gain`
    is in per cent, as printed.
    """
    cells = [
        (*(getattr(row, name) for name in CONFIGURATION), protocol)
        for row in (*TABLE_2, *BASELINES)
        for protocol in PROTOCOLS
    ]
    return _on_cells(cells, records)


def study_table(planned: Sequence[RunConfig], edition: Edition, profile: str) -> pd.DataFrame:
    """`table_2` and below it the other cells that are planned or recorded, such as the sweep over beta."""
    records = study_records(edition, profile)
    main = table_2(records)
    known = set(zip(*(main[name].astype(object).where(main[name].notna(), None) for name in CELL), strict=True))
    others = dict.fromkeys(_cell(config) for config in (*planned, *(r.config for r in records)))
    rest = _on_cells([cell for cell in others if cell not in known], records)
    return pd.concat([main, rest], ignore_index=True) if len(rest) else main


def own_table(planned: Sequence[RunConfig], edition: Edition) -> pd.DataFrame:
    """The table of a grid of one's own: its cells alone, from exactly its runs' records."""
    records = [record for config in planned if (record := recorded(config, edition)) is not None]
    for record in records:
        check_record(record, edition)
    return _on_cells(list(dict.fromkeys(map(_cell, planned))), records)


def missing_sentence(table: pd.DataFrame) -> str:
    """Which cells have no record, by name, in one sentence."""
    gone = table[table["seeds"] == 0]
    if gone.empty:
        return f"All {len(table)} cells are recorded."
    return f"{len(gone)} of {len(table)} cells have no record yet and are left empty: {_named(gone)}."


def collapsed_sentence(table: pd.DataFrame) -> str:
    """Which recorded cells call no test image positive, by name, in one sentence."""
    recorded = table[table["seeds"] > 0]
    flat = recorded[recorded["tp"] + recorded["fp"] == 0]
    if flat.empty:
        return f"Every one of the {len(recorded)} recorded cells calls some test image positive."
    return (
        f"{len(flat)} of {len(recorded)} recorded cells call no test image positive at the threshold of 0.5, which is a "
        f"balanced accuracy of one half: {_named(flat)}."
    )


def _named(cells: pd.DataFrame) -> str:
    return "; ".join(
        f"{'/'.join(map(str, row[:3]))}/β {'–' if np.isnan(row[3]) else format(row[3], 'g')} ({', '.join(part['protocol'])})"
        for row, part in cells.groupby(list(CONFIGURATION), dropna=False, sort=False)
    )


def headline_sentence(table: pd.DataFrame) -> str:
    """The paper's best row under each protocol recorded: bACC and sensitivity with intervals, in one or two sentences."""
    of_best = [(table[name] == getattr(BEST, name)) for name in CONFIGURATION]
    rows = table[np.logical_and.reduce(of_best) & (table["seeds"] > 0)]
    if rows.empty:
        return "The paper's best row has not been recorded yet."
    parts = [
        f"{row.bacc:.3f} [{row.bacc_low:.3f}, {row.bacc_high:.3f}] under {row.protocol}, where {row.tp:.0f} of "
        f"{row.tp + row.fn:.0f} COVID images are found (sensitivity {row.sensitivity:.3f} "
        f"[{row.sensitivity_low:.3f}, {row.sensitivity_high:.3f}])"
        for row in rows.itertuples()
    ]
    seeds = int(rows["seeds"].max())
    over = "one seed" if seeds == 1 else f"the mean of up to {seeds} seeds, counts pooled"
    return (
        f"The paper's best row, printed as {BEST.bacc:.4f}, reaches a balanced accuracy of {'; '.join(parts)} ({over})."
    )


def older_sentence(records: Sequence[Record]) -> str:
    """How many records were made by older training code than this checkout's, in one sentence."""
    older = [record.key for record in records if not record.current]
    if not older:
        return f"All {len(records)} records were made by the training code as it stands here."
    return (
        f"{len(older)} of {len(records)} records were made by older training code than this checkout's and are marked."
    )


def _on_cells(cells: Sequence[tuple[object, ...]], records: Sequence[Record]) -> pd.DataFrame:
    grid = pd.DataFrame(list(cells), columns=list(CELL)).astype({"beta": float})
    wanted = {*cells}
    found = over_seeds(runs_table([record for record in records if _cell(record.config) in wanted]))
    table = grid.merge(found, on=list(CELL), how="left", validate="one_to_one")
    printed = [
        find_row(row.cohort, row.model, row.pretraining, None if np.isnan(row.beta) else row.beta)
        for row in table.itertuples()
    ]
    for name in PRINTED:
        table[f"paper_{name}"] = [np.nan if row is None else getattr(row, name) for row in printed]
    counts = dict.fromkeys(("seeds", "older"), 0)
    text = {"records": ""}
    floats = [name for name in table if name not in (*CELL, *counts, *text)]
    return (
        table.astype(dict.fromkeys(counts, float))
        .fillna({**counts, **text})
        .astype({**dict.fromkeys(counts, int), **dict.fromkeys(floats, float), "records": str})
    )


def _cell(config: RunConfig) -> tuple[object, ...]:
    return tuple(getattr(config, name) for name in CELL)


def _weights_known(config: RunConfig) -> bool:
    return config.pretraining != "imagenet" or imagenet_at_hand(config.model)
