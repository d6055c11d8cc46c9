"""The paper's claims as matched comparisons, read in the same way from its printed Table II and from our records."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrlib.analysis.pairs import Pairs, match, matched_pairs
from cxrlib.analysis.sentences import count, listed, signed
from cxrlib.paper.tables import TABLE_2
from cxrlib.records.record import Record, select

PRINTED = ("cohort", "model", "pretraining", "beta")  # what identifies a row of Table II
AS_PRINTED = "as printed"  # the origin of the paper's own figures, beside the protocols of our records


class Claim(NamedTuple):
    """One claim of the paper: `treated` against `control` in `field`, and the sign it gives `metric`."""

    name: str
    statement: str  # in our words
    section: str  # of the paper
    field: str
    treated: Any
    control: Any
    metric: str
    sign: int  # +1: the claim says treated is higher; -1: lower; 0: about the same
    where: dict[str, Any]  # what holds of both


CLAIMS = (
    Claim("beta_combined", "On the combined cohort a weight of 0.75 improves every network.", "VI.D", "beta", 0.75, None, "bacc", 1, {"cohort": "combined"}),
    Claim("beta_augmented", "On COVIDX-Ray-5K alone a weight of 0.75 makes the result worse.", "VI.D", "beta", 0.75, None, "bacc", -1, {"cohort": "augmented"}),
    Claim("beta_specificity", "A weight below 1 removes false positives: specificity rises.", "V, VI.D", "beta", 0.75, None, "specificity", 1, {}),
    Claim("beta_sensitivity", "A weight below 1 costs missed cases: sensitivity falls.", "V, VI.D", "beta", 0.75, None, "sensitivity", -1, {}),
    Claim("cohort", "Adding COVID-ChestXray improves the result substantially.", "VI.D", "cohort", "combined", "augmented", "bacc", 1, {}),
    Claim("pretraining", "ImageNet weights are the best start for ResNet-50.", "VI.D", "pretraining", "imagenet", "none", "bacc", 1, {"model": "resnet50"}),
    Claim("acnn", "ACNN comes close to ResNet-50 with a third of its parameters.", "VI.D", "model", "acnn", "resnet50", "bacc", 0, {}),
)  # fmt: skip


def differences(records: Sequence[Record]) -> pd.DataFrame:
    """Every paired difference behind every claim, the paper's and ours: claim, metric, origin, model, difference.

    `origin`: the protocol of our pair, or AS_PRINTED. Pairs in which a network learned nothing are left out.
    """
    rows = []
    for claim in CLAIMS:
        printed = [row for row in TABLE_2 if _holds(row, claim)]
        for one, other in match(printed, PRINTED, claim.field, claim.treated, claim.control):
            change = getattr(one, claim.metric) - getattr(other, claim.metric)
            rows.append((claim.name, claim.metric, AS_PRINTED, one.model, change))
        ours = _pairs(records, claim)
        for (record, _), change in zip(ours.pairs, ours.differences(claim.metric), strict=True):
            rows.append((claim.name, claim.metric, record.config.protocol, record.config.model, change))
    return pd.DataFrame(rows, columns=["claim", "metric", "origin", "model", "difference"])


def claims_table(records: Sequence[Record], found: pd.DataFrame) -> pd.DataFrame:
    """Every claim beside what the paper's own table and our records say of it; `found`: from `differences`."""
    rows = []
    for claim in CLAIMS:
        mine, lost = found[found["claim"] == claim.name], _pairs(records, claim).degenerate
        paper, ours = (mine.loc[(mine["origin"] == AS_PRINTED) == printed, "difference"] for printed in (True, False))
        left_out = f" {count(lost, 'pair')} left out: a network learned nothing." if lost else ""
        says = (verdict(paper.to_numpy(), claim.sign), verdict(ours.to_numpy(), claim.sign) + left_out)
        rows.append((claim.statement, claim.section, claim.metric, *says))
    return pd.DataFrame(rows, columns=["claim", "section", "metric", "paper's Table II", "our records"])


def verdict(difference: np.ndarray, sign: int) -> str:
    """What paired differences [N] say of a claim that gives them a sign (0: about the same), in one sentence."""
    n = len(difference)
    if not n:
        return "No matched pair has been run."
    mean = f"mean difference {signed(difference.mean(), 4)}, from {signed(difference.min(), 4)} to {signed(difference.max(), 4)}"
    if sign == 0:
        return f"{count(n, 'matched pair')}: {mean}."
    agree, ties = int((difference * sign > 0).sum()), int((difference == 0).sum())
    return f"{agree} of {count(n, 'matched pair')} agree{f', {ties} tied' if ties else ''}; {mean}."


def _holds(item: Any, claim: Claim) -> bool:
    return all(getattr(item, name) == value for name, value in claim.where.items())


def _pairs(records: Sequence[Record], claim: Claim) -> Pairs:
    return matched_pairs(select(records, **claim.where), claim.field, claim.treated, claim.control)


def answer(found: pd.DataFrame) -> str:
    """The chapter's answer in two sentences: how often our pairs have the sign that the paper claims, and on which claims."""
    ours = found[found["origin"] != AS_PRINTED]
    parts, least = [], 0
    for claim in CLAIMS:
        d = ours.loc[ours["claim"] == claim.name, "difference"]
        if len(d) and claim.sign:
            agree = int((d * claim.sign > 0).sum())
            parts.append(f"{agree} of {len(d)} pairs for '{claim.statement.rstrip('.')}'")
            least += agree <= len(d) / 2
    if not parts:
        return "No claim could be compared: no matched pair has been run."
    return (
        f"Of the paper's claims with a sign that were compared, {count(least, 'claim')} of {len(parts)} hold in no more than half of "
        f"the matched pairs recorded here. The claimed sign is found in {listed(parts)}."
    )
