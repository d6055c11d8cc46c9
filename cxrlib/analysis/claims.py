"""The paper's claims as matched comparisons: two settings that differ in one field, everything else equal.

The same pairing is applied to the paper's printed Table II and to our records, so each claim is read
from both in the same way. A claim without a matched pair of records says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cxrlib.config import PROFILES
from cxrlib.data.editions import Edition
from cxrlib.paper.tables import TABLE_2, TEST_COVID, table_2
from cxrlib.records.record import Record

AS_PRINTED = "as printed"  # the origin of the paper's own figures, beside the protocols of our records
IDENTITY = (
    "cohort",
    "model",
    "pretraining",
    "beta",
    "loss",
    "preparation",
    "protocol",
    "edition",
    "profile",
    "image_size",
    "epochs",
    "data",
    "seed",
)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper: `treated` against `control` in `factor`, and the sign it gives `metric`."""

    name: str
    statement: str  # in our words
    section: str  # of the paper
    factor: str
    treated: Any
    control: Any
    metric: str
    sign: int  # +1: the claim says treated is higher; -1: lower; 0: about the same
    where: Mapping[str, Any] = field(default_factory=dict)


CLAIMS = (
    Claim("beta_combined", "On the combined cohort a weight of 0.75 improves every network.", "VI.D", "beta", 0.75, None, "bacc", 1, {"cohort": "combined"}),
    Claim("beta_augmented", "On COVIDX-Ray-5K alone a weight of 0.75 makes the result worse.", "VI.D", "beta", 0.75, None, "bacc", -1, {"cohort": "augmented"}),
    Claim("beta_specificity", "A weight below 1 removes false positives: specificity rises.", "V, VI.D", "beta", 0.75, None, "specificity", 1),
    Claim("beta_sensitivity", "A weight below 1 costs missed cases: sensitivity falls.", "V, VI.D", "beta", 0.75, None, "sensitivity", -1),
    Claim("cohort", "Adding COVID-ChestXray improves the result substantially.", "VI.D", "cohort", "combined", "augmented", "bacc", 1),
    Claim("pretraining", "ImageNet weights are the best start for ResNet-50.", "VI.D", "pretraining", "imagenet", "none", "bacc", 1, {"model": "resnet50"}),
    Claim("acnn", "ACNN comes close to ResNet-50 with a third of its parameters.", "VI.D", "model", "acnn", "resnet50", "bacc", 0),
)  # fmt: skip


def pairs(table: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Matched pairs of a claim in a table with the columns of a configuration and of its metrics.

    One row a pair: the shared configuration, `treated`, `control` and their `difference`.
    """
    if table.empty:
        return pd.DataFrame(columns=["treated", "control", "difference"])
    keys = [name for name in IDENTITY if name in table and name != claim.factor]
    rows = table.copy()
    for name, value in claim.where.items():
        rows = rows[rows[name] == value]
    filled = rows[keys].astype(object).where(rows[keys].notna(), "none")
    rows = rows.assign(**{name: filled[name] for name in keys})
    sides = [_where(rows, claim.factor, value)[[*keys, claim.metric]] for value in (claim.treated, claim.control)]
    merged = sides[0].merge(sides[1], on=keys, suffixes=("_treated", "_control"), validate="one_to_one")
    merged = merged.rename(columns={f"{claim.metric}_treated": "treated", f"{claim.metric}_control": "control"})
    return merged.assign(difference=merged["treated"].astype(float) - merged["control"].astype(float))


def paper_pairs(claim: Claim) -> pd.DataFrame:
    """Matched pairs of a claim in the paper's own Table II (its 20 configurations)."""
    return pairs(table_2(baselines=False), claim)


def verdict(found: pd.DataFrame, claim: Claim) -> str:
    """One sentence on what the pairs say of the claim; says so where there are none."""
    if found.empty:
        return "No matched pair of records yet."
    n, difference = len(found), found["difference"]
    if n == 1:
        word = "agrees" if difference.iloc[0] * claim.sign > 0 else "does not agree"
        told = "" if claim.sign == 0 else f" {word}"
        return f"The one matched pair{told}: difference {difference.iloc[0]:+.4f}."
    mean = f"mean difference {difference.mean():+.4f}, from {difference.min():+.4f} to {difference.max():+.4f}"
    if claim.sign == 0:
        return f"{n} matched pairs: {mean}."
    agree = int((difference * claim.sign > 0).sum())
    ties = int((difference == 0).sum())
    tied = f", {ties} tied" if ties else ""
    return f"{agree} of {n} matched pairs agree{tied}; {mean}."


def claims_table(records: pd.DataFrame) -> pd.DataFrame:
    """Every claim beside what the paper's own table and our records say of it.

    `records` has the columns of `records.records_table`; protocols stay apart in the pairing.
    """
    rows = []
    for claim in CLAIMS:
        rows.append(
            {
                "claim": claim.statement,
                "section": claim.section,
                "metric": claim.metric,
                "paper's Table II": verdict(paper_pairs(claim), claim),
                "our records": verdict(pairs(records, claim), claim),
            }
        )
    return pd.DataFrame(rows)


def differences(records: pd.DataFrame) -> pd.DataFrame:
    """All paired differences of all claims, the paper's and ours: claim, origin, protocol, difference."""
    parts = []
    for claim in CLAIMS:
        ours = pairs(records, claim)
        printed = paper_pairs(claim).assign(origin=AS_PRINTED)
        ours = ours.assign(origin=ours.get("protocol", "records"))
        for part in (printed, ours):
            if not part.empty:
                parts.append(
                    part.assign(claim=claim.name, metric=claim.metric)[
                        ["claim", "metric", "origin", "treated", "control", "difference"]
                    ]
                )
    return pd.concat(parts, ignore_index=True)


def pick_profile(records: Sequence[Record], data: str, profile: str = "auto") -> str:
    """`profile`, or for "auto" the one with most records on the data a chapter works on (a tie: the larger images)."""
    if profile != "auto":
        return profile
    names = [r.config.profile for r in records if r.inputs["data"] == data]
    return max(PROFILES, key=lambda name: (names.count(name), PROFILES[name]["image_size"]))


def usable(records: Sequence[Record], data: str, profile: str) -> list[Record]:
    """The records that may stand together: one profile, and the data the chapter works on."""
    return [r for r in records if r.config.profile == profile and r.inputs["data"] == data]


def source(records: Sequence[Record], edition: Edition, profile: str) -> str:
    """Where the records come from, in one line, for the foot of a figure or table."""
    if not records:
        return f"{edition.short} · profile {profile} · no record yet"
    sizes, seeds = (sorted({getattr(r.config, name) for r in records}) for name in ("image_size", "seed"))
    machines = sorted({record.machine for record in records})
    size = ", ".join(f"{value} px" for value in sizes)
    return f"{edition.short} · profile {profile} · {size} · {len(seeds)} seed{'s' * (len(seeds) > 1)} · {'; '.join(machines)}"


def headline(table: pd.DataFrame, edition: Edition, profile: str) -> dict[str, object]:
    """The numbers that the chapter's opening quotes, by the name they are glued under."""
    return {
        "records": len(table),
        "protocols": 0 if table.empty else table["protocol"].nunique(),
        "profile": profile,
        "edition_name": edition.name,
        "one_image": 100 / TEST_COVID,
    }


def best_row(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's best row under each protocol recorded: printed figures first, then means over seeds."""
    best = max(TABLE_2, key=lambda row: row.bacc)
    metrics = ["sensitivity", "specificity", "bacc"]
    rows: list[dict[str, object]] = [
        {"protocol": AS_PRINTED, "seeds": None, **{name: getattr(best, name) for name in metrics}}
    ]
    if not table.empty:
        same = table
        for name in ("cohort", "model", "pretraining", "beta"):
            same = same[same[name] == getattr(best, name)]
        for protocol, part in same.groupby("protocol"):
            rows.append({"protocol": protocol, "seeds": part["seed"].nunique(), **part[metrics].mean().to_dict()})
    return pd.DataFrame(rows).astype({"seeds": "Int64"})


def _where(rows: pd.DataFrame, name: str, value: Any) -> pd.DataFrame:
    return rows[rows[name].isna()] if value is None else rows[rows[name] == value]
