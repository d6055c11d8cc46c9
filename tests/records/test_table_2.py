"""Table II from records: means over seeds, exact intervals, missing cells named, damaged records refused."""

import dataclasses
import json

import numpy as np
import pytest
from tests.records.test_record import make_record

from cxrlib.config import RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.errors import RecordError
from cxrlib.evaluation.intervals import clopper_pearson
from cxrlib.figures import results as figures
from cxrlib.figures import table_2 as page
from cxrlib.paper.tables import BASELINES, TABLE_2
from cxrlib.records import table_2 as results
from cxrlib.records.record import run_folder, save_record
from cxrlib.training import grid, runs

CELL = {"cohort": "combined", "model": "resnet50", "beta": 0.75}


@pytest.fixture
def edition(phantom_env, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))
    return load_edition("phantom")


def test_every_row_and_protocol_keeps_its_line_without_a_record():
    table = results.table_2([])
    assert len(table) == 3 * (len(TABLE_2) + len(BASELINES))
    assert (table["seeds"] == 0).all() and table["bacc"].isna().all()
    assert table["paper_bacc"].notna().all()
    assert results.missing_sentence(table).startswith(f"{len(table)} of {len(table)} cells have no record")
    assert "not been recorded" in results.headline_sentence(table)


def test_seeds_are_averaged_and_their_counts_pooled():
    records = [make_record(**CELL, seed=seed) for seed in range(3)]
    table = results.table_2(records)
    row = table[table["seeds"] > 0].squeeze()
    metrics = [record.metrics["test"] for record in records]
    assert row["seeds"] == 3 and row["records"].split() == [record.key for record in records]
    assert row["bacc"] == pytest.approx(np.mean([m["bacc"] for m in metrics]))
    assert row["bacc_sd"] == pytest.approx(np.std([m["bacc"] for m in metrics], ddof=1))
    tp, positives = sum(m["tp"] for m in metrics), sum(m["tp"] + m["fn"] for m in metrics)
    low, high = clopper_pearson(tp, positives)
    assert (row["sensitivity_low"], row["sensitivity_high"]) == pytest.approx((float(low), float(high)))
    sentence = results.missing_sentence(table)
    assert sentence.startswith(f"{len(table) - 1} of {len(table)} cells")
    assert "combined/resnet50/none/β 0.75 (released, paper)" in sentence


def test_the_printed_figures_stand_beside_their_own_row():
    table = results.table_2([])
    for row in (*TABLE_2, *BASELINES):
        same = (table["model"] == row.model) & (table["pretraining"] == row.pretraining)
        same &= (table["cohort"] == row.cohort) & (
            table["beta"].isna() if row.beta is None else table["beta"].eq(row.beta)
        )
        assert set(table.loc[same, "paper_specificity"]) == {row.specificity}


def test_the_headline_quotes_the_best_row_alone():
    best = {"cohort": grid.BEST.cohort, "model": grid.BEST.model, "pretraining": grid.BEST.pretraining}
    record = make_record(**best, beta=grid.BEST.beta, protocol="paper")
    other = make_record(**{**best, "pretraining": "none"}, beta=grid.BEST.beta)
    m = record.metrics["test"]
    sentence = results.headline_sentence(results.table_2([record, other]))
    assert f"{m['bacc']:.3f}" in sentence and f"{m['tp']} of {m['tp'] + m['fn']} COVID" in sentence
    assert "under paper" in sentence and "under clean" not in sentence


def test_other_planned_cells_follow_the_papers_rows(edition):
    planned = [
        RunConfig.create(edition="phantom", pretraining="none", profile="quick", beta=beta) for beta in (0.75, 4.0)
    ]
    table = results.study_table(planned, edition, "quick")
    assert len(table) == len(results.table_2([])) + 1
    assert table.iloc[-1]["beta"] == 4.0 and np.isnan(table.iloc[-1]["paper_bacc"])


def test_only_runs_of_a_profile_as_it_stands_enter_the_table():
    assert grid.standard(make_record(**CELL).config)
    assert not grid.standard(make_record(**CELL, epochs=1).config)
    assert not grid.standard(make_record(**CELL, learning_rate=1e-3).config)


@pytest.mark.parametrize(
    ("damage", "told"), [("data", "other data"), ("samples", "other samples"), ("counts", "do not follow")]
)
def test_a_record_that_no_longer_fits_stops_the_table(edition, damage, told):
    config = RunConfig.create(edition="phantom", pretraining="none", **CELL)
    record = make_record(**CELL)
    record = dataclasses.replace(record, inputs=runs.run_inputs(config, edition))
    if damage == "counts":
        record.metrics["test"]["tp"] += 1
    else:
        record = dataclasses.replace(record, inputs={**record.inputs, damage: "0" * 64})
    with pytest.raises(RecordError, match=told):
        results.check_record(record, edition)


def test_a_sound_record_passes_and_an_edited_file_stops_the_study(edition):
    record = dataclasses.replace(
        make_record(**CELL),
        inputs=runs.run_inputs(RunConfig.create(edition="phantom", pretraining="none", **CELL), edition),
    )
    save_record(record)
    assert [r.key for r in results.study_records(edition, "quick")] == [record.key]
    path = run_folder(record.key) / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"]["fp"] += 1
    path.write_text(json.dumps(metrics))
    with pytest.raises(RecordError, match="counts of record"):
        results.study_records(edition, "quick")


def test_cells_that_call_nothing_positive_are_named():
    record = make_record(**CELL)
    assert results.collapsed_sentence(results.table_2([record])).startswith("Every one of the 1 recorded")
    m = record.metrics["test"]
    m.update(fn=m["fn"] + m["tp"], tn=m["tn"] + m["fp"], tp=0, fp=0)
    told = results.collapsed_sentence(results.table_2([record]))
    assert told.startswith("1 of 1 recorded cells call no") and "combined/resnet50/none/β 0.75 (clean)" in told


def test_older_code_is_said(monkeypatch):
    record = make_record(**CELL)
    assert results.older_sentence([record]).startswith("All 1 records")
    old = dataclasses.replace(record, provenance={**record.provenance, "training_code": "0"})
    assert results.older_sentence([record, old]).startswith("1 of 2 records were made by older")
    assert int(results.table_2([old])["older"].sum()) == 1


def test_the_page_shows_intervals_and_names_what_is_missing():
    record = make_record(**CELL)
    table = results.table_2([record])
    shown = page.page_table(table)
    assert len(shown) == len(table) and (shown["seeds"] == "no record").sum() == len(table) - 1
    row = shown[shown["seeds"] == "1"].squeeze()
    m = record.metrics["test"]
    assert row["sensitivity"].startswith(f"{m['sensitivity']:.3f} [") and row["bACC"].startswith(f"{m['bacc']:.3f} [")


def test_rows_link_to_records_on_the_page(capsys):
    record = make_record(**CELL)
    links = page._links(record.key, older=1)
    assert f'href="#record-{record.key}"' in links and "older code" in links


@pytest.mark.parametrize("some", [True, False])
def test_figures_stand_with_and_without_records(some):
    kinds = (
        {"pretraining": "imagenet", "beta": beta, "protocol": p} for beta in (0.75, None) for p in ("clean", "paper")
    )
    records = [make_record(cohort="combined", model="resnet50", **kind) for kind in kinds] if some else []
    table = results.table_2(records)
    plane = figures.plot_plane(table)
    marks = [line for line in plane.axes[0].lines if line.get_marker() == "o"]
    assert len(marks) == (2 if some else 0)
    assert len(figures.main_rows(records)) == len(records)
    curves = figures.plot_main_curves(records)
    assert sum(line.get_marker() == "o" for line in curves.axes[0].lines) == len(records)
    confusions = figures.plot_confusions(table)
    texts = {text.get_text() for axis in confusions.axes for text in axis.texts}
    assert ("–" in texts) and (str(records[0].metrics["test"]["fn"]) in texts if some else texts == {"–"})
    points = sum(len(c.get_segments()) for axis in figures.plot_table_2(table).axes for c in axis.collections)
    assert points == 3 * len(records)
