"""Claims: matched pairs from the paper's table and from records."""

import pandas as pd
import pytest

from cxrlib.analysis.claims import (
    AS_PRINTED,
    CLAIMS,
    best_row,
    claims_table,
    differences,
    pairs,
    paper_pairs,
    pick_profile,
    verdict,
)
from cxrlib.paper.tables import table_2

CLAIM = {claim.name: claim for claim in CLAIMS}


def test_the_papers_table_gives_the_pairs_one_can_count_by_hand():
    assert {name: len(paper_pairs(claim)) for name, claim in CLAIM.items()} == {
        "beta_combined": 5,
        "beta_augmented": 5,
        "beta_specificity": 10,
        "beta_sensitivity": 10,
        "cohort": 10,
        "pretraining": 2 + 2,
        "acnn": 8,
    }


def test_the_papers_own_figures_support_beta_on_the_combined_cohort():
    assert (paper_pairs(CLAIM["beta_combined"])["difference"] > 0).all()
    assert verdict(paper_pairs(CLAIM["beta_combined"]), CLAIM["beta_combined"]).startswith("5 of 5")


def _records(shift: float) -> pd.DataFrame:
    table = table_2(baselines=False).assign(
        protocol="clean", edition="open", profile="cpu", image_size=64, epochs=12, data="x", seed=0
    )
    table.loc[table["beta"].notna(), "bacc"] = table.loc[table["beta"].isna(), "bacc"].to_numpy() + shift
    return table


@pytest.mark.parametrize(("shift", "agreeing"), [(0.01, 5), (-0.01, 0)])
def test_the_verdict_follows_the_records(shift, agreeing):
    found = pairs(_records(shift), CLAIM["beta_combined"])
    assert len(found) == 5
    assert found["difference"].round(6).eq(shift).all()
    assert verdict(found, CLAIM["beta_combined"]).startswith(f"{agreeing} of 5")


def test_records_of_different_seeds_or_protocols_are_never_paired():
    table = _records(0.01)
    table.loc[table["beta"].isna(), "seed"] = 1
    assert pairs(table, CLAIM["beta_combined"]).empty
    table = _records(0.01)
    table.loc[table["beta"].isna(), "protocol"] = "paper"
    assert pairs(table, CLAIM["beta_combined"]).empty


def test_without_records_nothing_is_concluded():
    empty = pd.DataFrame()
    assert set(claims_table(empty)["our records"]) == {"No matched pair of records yet."}
    assert set(differences(empty)["origin"]) == {AS_PRINTED}
    assert best_row(empty)["protocol"].tolist() == ["as printed"]


def test_the_profile_with_most_records_is_read():
    from types import SimpleNamespace as Some

    def record(profile: str, data: str) -> Some:
        return Some(config=Some(profile=profile), inputs={"data": data})

    found = [record("cpu", "x"), record("cpu", "x"), record("quick", "x"), record("full", "y"), record("full", "y")]
    assert pick_profile(found, "x") == "cpu"
    assert pick_profile(found, "y") == "full"
    assert pick_profile(found, "x", "quick") == "quick"


def test_records_of_the_protocol_paper_are_not_taken_for_printed_figures():
    table = _records(0.01).assign(protocol="paper")
    origins = differences(table).groupby("origin").size()
    assert origins[AS_PRINTED] == origins["paper"] == len(differences(pd.DataFrame()))
