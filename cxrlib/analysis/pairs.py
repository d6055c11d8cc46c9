"""Matched pairs of runs: equal in everything that identifies a run but one field. The only pairing in the study."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from cxrlib.config import IDENTITY
from cxrlib.records.record import Record

Pair = tuple[Record, Record]  # treated, control
SHOWN = ("cohort", "model", "head", "pretraining", "protocol", "draw_seed", "seed")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pairs:
    """Matched pairs (treated, control) that can carry a comparison, and those that cannot."""

    field: str
    treated: Any
    control: Any
    pairs: tuple[Pair, ...]
    degenerate: int  # pairs left out because a network learned nothing
    identical: int  # of `pairs`: predictions equal bit for bit, so that the field changed nothing

    def __len__(self) -> int:
        return len(self.pairs)

    def differences(self, metric: str) -> np.ndarray:
        """Treated minus control of a metric, float64 [pairs]; `within_source` and its like are metrics too."""
        return np.array([value(one, metric) - value(other, metric) for one, other in self.pairs])

    def table(self, metrics: Sequence[str]) -> pd.DataFrame:
        """A row a pair and metric: `SHOWN` of the treated run, metric, difference, identical (the same run bit for bit)."""
        return difference_table(self.pairs, metrics)


def difference_table(pairs: Iterable[Pair], metrics: Sequence[str]) -> pd.DataFrame:
    """`Pairs.table` of any pairs."""
    rows = [
        (
            *(getattr(one.config, name) for name in SHOWN),
            metric,
            value(one, metric) - value(other, metric),
            same_predictions(one, other),
        )
        for one, other in pairs
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=[*SHOWN, "metric", "difference", "identical"])


def matched_pairs(records: Iterable[Record], field: str, treated: Any, control: Any) -> Pairs:
    """Pairs of records equal in every field of `config.IDENTITY` but `field`, on the same data.

    `field` has the value `treated` in the first record of a pair and `control` in the second. What follows from the field
    may differ with it: a network's head where the network differs. Example::

        matched_pairs(records, "beta", 0.75, None).differences("bacc")
    """
    follows = {"model": ("head",)}.get(field, ())
    fields = [name for name in IDENTITY if name not in follows]
    configs = {id(record.config): record for record in records}
    both = [
        (configs[id(one)], configs[id(other)])
        for one, other in match((record.config for record in configs.values()), fields, field, treated, control)
    ]
    both = [(one, other) for one, other in both if one.inputs["data"] == other.inputs["data"]]
    sound = tuple(pair for pair in both if not any(record.degenerate for record in pair))
    identical = sum(same_predictions(*pair) for pair in sound)
    return Pairs(field, treated, control, sound, len(both) - len(sound), identical)


def match(
    items: Iterable[Item], fields: Sequence[str], field: str, treated: Any, control: Any
) -> list[tuple[Item, Item]]:
    """Pairs of items that are equal in all `fields` but `field`, which is `treated` in the first and `control` in the other."""
    sides: tuple[dict[Any, Item], dict[Any, Item]] = ({}, {})
    for item in items:
        rest = tuple(getattr(item, name) for name in fields if name != field)
        for side, wanted in zip(sides, (treated, control), strict=True):
            if getattr(item, field) == wanted:
                side[rest] = item
    return [(one, sides[1][rest]) for rest, one in sides[0].items() if rest in sides[1]]


def repeated(records: Iterable[Record]) -> list[Pair]:
    """Every two sound runs that differ in their training seed alone: what training again changes, and nothing else."""
    groups: dict[Any, list[Record]] = {}
    for record in records:
        if not record.degenerate:
            rest = tuple(getattr(record.config, name) for name in IDENTITY if name != "seed")
            groups.setdefault((rest, record.inputs["data"]), []).append(record)
    return [pair for group in groups.values() for pair in combinations(group, 2)]


def same_predictions(one: Record, other: Record) -> bool:
    """Whether two runs gave the same logit for every test image, bit for bit."""
    first, second = one.test(), other.test()
    return first["image_id"].equals(second["image_id"]) and first["logit"].equals(second["logit"])


def value(record: Record, metric: str) -> float:
    """A metric of a record on its test set as a float, NaN where it is not defined."""
    found = record.metrics[metric]["value"] if metric in record.metrics else record.metrics["test"][metric]
    return float("nan") if found is None else float(found)
