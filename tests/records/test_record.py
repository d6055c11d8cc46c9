"""Records: written whole or not at all, and never taken for another run's."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from cxrlib.config import RunConfig
from cxrlib.errors import RecordError
from cxrlib.records import record as records
from cxrlib.records.record import Record, all_records, find_record, load_record, records_table, run_folder, save_record


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))


def make_record(**changes) -> Record:
    """A record with made-up predictions, complete enough for every table."""
    from cxrlib.training.runs import evaluate

    config = RunConfig.create(**{"edition": "phantom", "pretraining": "none", **changes})
    rng = np.random.default_rng(config.seed)
    n = 60
    label = np.r_[np.ones(20, np.int8), np.zeros(40, np.int8)]
    logit = (rng.normal(size=n) + 1.5 * (label - 0.5)).astype(np.float32)
    frame = pd.DataFrame(
        {
            "split": np.where(np.arange(n) % 2, "test", "valid"),
            "image_id": [f"phantom/{k}" for k in range(n)],
            "component": np.arange(n),
            "overlap": (label == 1) & (np.arange(n) % 4 == 1),
            "label": label,
            "logit": logit,
            "probability": (1 / (1 + np.exp(-logit))).astype(np.float32),
        }
    )
    provenance = {
        "training_code": records.training_code(),
        "machine": "a machine",
        "wall_s": 1.0,
        "command": "papermill …",
    }
    history = pd.DataFrame({"epoch": [0, 1], "train_loss": [0.7, 0.5], "valid_loss": [0.6, 0.7], "kept": [True, False]})
    return Record(
        config, {"data": "d" * 64, "samples": "s" * 64, "weights": None}, evaluate(frame), frame, history, provenance
    )


def test_a_record_survives_the_disk():
    record = make_record()
    folder = save_record(record)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "history.csv",
        "metrics.json",
        "predictions.parquet",
        "provenance.json",
    ]
    again = load_record(folder)
    assert again.config == record.config and again.metrics == record.metrics
    pd.testing.assert_frame_equal(again.predictions, record.predictions, check_dtype=False)
    pd.testing.assert_frame_equal(again.history, record.history)


def test_the_key_changes_with_config_data_and_weights():
    base = make_record()
    assert base.key != make_record(beta=1.5).key
    for inputs in ({"data": "e" * 64, "weights": None}, {"data": "d" * 64, "weights": "w"}):
        assert records.run_key(base.config, inputs) != base.key
    assert records.run_key(base.config, base.inputs) == base.key


def test_a_record_whose_config_was_edited_is_refused():
    folder = save_record(make_record())
    stored = json.loads((folder / "config.json").read_text())
    stored["config"]["beta"] = 2.0
    (folder / "config.json").write_text(json.dumps(stored))
    with pytest.raises(RecordError, match="another run's config"):
        load_record(folder)


def test_a_record_moved_under_another_name_is_refused():
    folder = save_record(make_record())
    shutil.move(folder, folder.with_name("quick-something-else"))
    with pytest.raises(RecordError, match="another run's"):
        all_records()


@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet", "history.csv", "provenance.json"])
def test_a_missing_file_is_one_clear_sentence(name):
    folder = save_record(make_record())
    (folder / name).unlink()
    with pytest.raises(RecordError, match="run it again"):
        load_record(folder)


def test_nothing_is_left_when_writing_fails(monkeypatch):
    record = make_record()
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_record(record)
    assert not run_folder(record.key).exists()
    assert find_record(record.config, record.inputs) is None
    assert list(run_folder(record.key).parent.iterdir()) == []


def test_all_records_selects_by_config_and_table_has_a_row_each():
    for seed in (0, 1):
        for protocol in ("clean", "paper"):
            save_record(make_record(seed=seed, protocol=protocol))
    assert len(all_records()) == 4
    assert {r.config.protocol for r in all_records(protocol="paper")} == {"paper"}
    table = records_table(all_records())
    assert len(table) == 4 and table["bacc"].between(0, 1).all() and table["current"].all()


def test_older_training_code_is_seen(monkeypatch):
    record = make_record()
    assert record.current
    monkeypatch.setattr(records, "training_code", lambda: "changed")
    assert not record.current
