"""Matched pairs of runs: equal in everything that identifies a run but one field. The only pairing in the study."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cxrlib.config import IDENTITY
from cxrlib.records.record import Record

Pair = tuple[Record, Record]  # treated, control
METRICS = ("sensitivity", "specificity", "bacc", "auroc", "within_source")
SHOWN = ("cohort", "model", "head", "pretraining", "protocol", "draw_seed", "seed")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pairs:
    """Matched pairs (treated, control) that can carry a comparison, and how many cannot."""

    pairs: tuple[Pair, ...]
    degenerate: int  # pairs left out because a network learned nothing
    identical: int  # of `pairs`: predictions equal bit for bit, so that the field changed nothing

    def __len__(self) -> int:
        return len(self.pairs)

    def differences(self, metric: str) -> np.ndarray:
        """Treated minus control of a metric, float64 [pairs]; `within_source` and its like are metrics too."""
        return np.array([value(one, metric) - value(other, metric) for one, other in self.pairs])


def difference_table(pairs: Iterable[Pair]) -> pd.DataFrame:
    """A row a pair and one of `METRICS`: `SHOWN` of the treated run, metric, difference, identical, two_machines.

    `identical`: the same run bit for bit. `two_machines`: trained on two, where one seed gives two courses of training.
    """
    rows = [
        (*shown, metric, value(one, metric) - value(other, metric), *facts)
        for one, other in pairs
        for facts in [(same_predictions(one, other), one.machine != other.machine)]
        for shown in [[getattr(one.config, name) for name in SHOWN]]
        for metric in METRICS
    ]
    table = pd.DataFrame(rows, columns=[*SHOWN, "metric", "difference", "identical", "two_machines"])
    return table.astype({"difference": float})  # of no pair, too


def matched_pairs(records: Iterable[Record], field: str, treated: Any, control: Any) -> Pairs:
    """Pairs of records on the same data, equal in every field of `config.IDENTITY` but `field`: `treated`, then `control`.

    A network's head may differ with the network. Example: `matched_pairs(records, "beta", 0.75, None).differences("bacc")`.
    """
    follows = {"model": ("head",)}.get(field, ())
    fields = [name for name in IDENTITY if name not in follows]
    both = match(records, fields, field, treated, control, lambda record: record.config)
    both = [(one, other) for one, other in both if one.inputs["data"] == other.inputs["data"]]
    sound = tuple(pair for pair in both if not any(record.degenerate for record in pair))
    return Pairs(sound, len(both) - len(sound), sum(same_predictions(*pair) for pair in sound))


def match(
    items: Iterable[Item],
    fields: Sequence[str],
    field: str,
    treated: Any,
    control: Any,
    settings: Callable[[Item], Any] = lambda item: item,
) -> list[tuple[Item, Item]]:
    """Pairs of items whose `settings` equal in all `fields` but `field`: `treated` in the first, `control` in the other."""
    sides: dict[Any, dict[Any, Item]] = {treated: {}, control: {}}
    for item in items:
        found = settings(item)
        if getattr(found, field) in sides:
            rest = tuple(getattr(found, name) for name in fields if name != field)
            sides[getattr(found, field)][rest] = item
    return [(one, sides[control][rest]) for rest, one in sides[treated].items() if rest in sides[control]]


def alike(records: Iterable[Record], varied: Sequence[str]) -> list[list[Record]]:
    """The records in groups that are equal in every field of `config.IDENTITY` but those `varied`, on the same data."""
    groups: dict[Any, list[Record]] = {}
    for record in records:
        rest = tuple(getattr(record.config, name) for name in IDENTITY if name not in varied)
        groups.setdefault((rest, record.inputs["data"]), []).append(record)
    return list(groups.values())


def repeated(records: Iterable[Record]) -> list[Pair]:
    """Every two sound runs that differ in their training seed alone: what training again changes, and nothing else."""
    sound = [record for record in records if not record.degenerate]
    return [pair for group in alike(sound, ("seed",)) for pair in combinations(group, 2)]


def same_predictions(one: Record, other: Record) -> bool:
    """Whether two runs gave the same logit for every test image, bit for bit."""
    first, second = one.test(), other.test()
    return first["image_id"].equals(second["image_id"]) and first["logit"].equals(second["logit"])


def value(record: Record, metric: str) -> float:
    """A metric of a record on its test set as a float, NaN where it is not defined."""
    found = record.metrics[metric]["value"] if metric in record.metrics else record.metrics["test"][metric]
    return float("nan") if found is None else float(found)
