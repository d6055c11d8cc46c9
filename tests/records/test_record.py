"""Records: written whole or not at all, verified whenever they are read, never taken for another run's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cxrlib.errors import RecordError
from cxrlib.records.evaluate import evaluate
from cxrlib.records.provenance import EQUIVALENT
from cxrlib.records.record import (
    SUMS,
    find_record,
    load_record,
    read_records,
    records_table,
    run_folder,
    run_key,
    save_record,
    select,
)
from cxrlib.storage import file_digest
from tests.builders import make_record


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))


def _forge(folder: Path, change: Callable[[dict], None]) -> None:
    """Edit record.json and list its new digest, as somebody would who knows the format."""
    path = folder / "record.json"
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    _relist(folder)


def _relist(folder: Path) -> None:
    (folder.parent / SUMS).write_text(f"{file_digest(folder / 'record.json')}  {folder.name}/record.json\n")


def _forge_file(folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Edit a table and every digest of it."""
    path = folder / name
    if name.endswith(".csv"):
        change(pd.read_csv(path)).to_csv(path, index=False)
    else:
        change(pd.read_parquet(path)).to_parquet(path, index=False)
    _forge(folder, lambda stored: stored["files"].update({name: file_digest(path)}))


def test_a_record_survives_the_disk():
    record = make_record()
    folder = save_record(record)
    assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "predictions.parquet", "record.json"]
    again = load_record(folder)
    assert again.config == record.config and again.metrics == record.metrics and again.degenerate is None
    pd.testing.assert_frame_equal(again.predictions, record.predictions, check_dtype=False)
    pd.testing.assert_frame_equal(again.history, record.history)
    assert find_record(record.config, record.inputs) is again, "read once a process"


def test_a_cache_that_cannot_be_written_sets_no_record_aside(monkeypatch):
    save_record(make_record(seed=7))
    monkeypatch.setenv("CXR_CACHE", "/proc/none")
    records, aside = read_records()
    assert len(records) == 1 and not aside


def test_a_listing_with_a_damaged_byte_still_sets_records_aside_by_name():
    folder = save_record(make_record(seed=8))
    path = folder.parent / SUMS
    path.write_bytes(path.read_bytes().replace(folder.name.encode()[:3], b"\xff\xfe\xff"))
    records, aside = read_records()
    assert not records and any(folder.name in sentence for sentence in aside)


def test_the_key_changes_with_config_data_and_weights():
    base = make_record()
    assert base.key != make_record(beta=1.5).key != make_record(beta=1.5, draw_seed=1).key
    for inputs in ({"data": "e" * 64, "weights": None}, {"data": "d" * 64, "weights": "w"}):
        assert run_key(base.config, inputs) != base.key


@pytest.mark.parametrize("name", ["record.json", "predictions.parquet", "history.csv", SUMS])
def test_a_missing_file_is_one_clear_sentence_that_names_the_record(name):
    folder = save_record(make_record())
    (folder.parent / name if name == SUMS else folder / name).unlink()
    with pytest.raises(RecordError, match=f"record {folder.name} is set aside: .*run it again"):
        load_record(folder)


@pytest.mark.parametrize("name", ["record.json", "predictions.parquet", "history.csv"])
def test_one_changed_byte_is_seen(name):
    folder = save_record(make_record())
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(RecordError, match=folder.name):
        load_record(folder)


FORGED = {
    "a better sensitivity": lambda s: s["metrics"]["test"].update(sensitivity=1.0),
    "a better balanced accuracy": lambda s: s["metrics"]["test"].update(bacc=0.9999),
    "no AUROC": lambda s: s["metrics"]["test"].update(auroc=None),
    "a count": lambda s: s["metrics"]["test"].update(tp=s["metrics"]["test"]["tp"] + 1),
    "a tuned figure": lambda s: s["metrics"]["test_tuned"].update(specificity=1.0),
    "a figure on validation data": lambda s: s["metrics"]["valid"].update(auroc=0.99),
    "the AUROC within source": lambda s: s["metrics"]["within_source"].update(value=0.99),
    "the AUROC for the source": lambda s: s["metrics"]["source_among_negatives"].update(value=0.5),
    "learned nothing": lambda s: s["metrics"].update(degenerate="so it is"),
    "no metrics of a part": lambda s: s["metrics"].pop("test_tuned"),
    "another format": lambda s: s.update(format=2),
    "another config": lambda s: s["config"].update(beta=2.0),
    "a field too many": lambda s: s["config"].update(gamma=2.0),
    "a wrong type": lambda s: s["config"].update(epochs="many"),
    "other data": lambda s: s["inputs"].update(data="e" * 64),
    "an epoch more": lambda s: s["provenance"].update(epochs_run=3),
    "another epoch kept": lambda s: s["provenance"].update(epoch_kept=1),
    "no machine": lambda s: s["provenance"].pop("machine"),
    "an unknown key": lambda s: s.update(note="trust me"),
    "no provenance": lambda s: s.pop("provenance"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record_is_refused_by_name_even_with_its_digest_listed(name):
    folder = save_record(make_record())
    _forge(folder, FORGED[name])
    with pytest.raises(RecordError, match=f"record {folder.name} is set aside"):
        load_record(folder)


TABLES = {
    "a flipped logit": ("predictions.parquet", lambda t: t.assign(logit=t["logit"].where(t.index != 1, -t["logit"]))),
    "a label": ("predictions.parquet", lambda t: t.assign(label=t["label"].where(t.index > 12, 1).astype("int8"))),
    "missed positives gone": ("predictions.parquet", lambda t: t[~((t["label"] == 1) & (t["logit"] < 0))]),
    "a column gone": ("predictions.parquet", lambda t: t.drop(columns="source")),
    "a column of text": ("predictions.parquet", lambda t: t.assign(logit=t["logit"].astype(str))),
    "an image twice": ("predictions.parquet", lambda t: pd.concat([t, t[t["split"] == "test"].head(1)])),
    "a source changed": ("predictions.parquet", lambda t: t.assign(source="first")),
    "no validation part": ("predictions.parquet", lambda t: t[t["split"] == "test"]),
    "history cut": ("history.csv", lambda t: t.head(1)),
    "another epoch marked": ("history.csv", lambda t: t.assign(kept=~t["kept"])),
    "no losses": ("history.csv", lambda t: t.drop(columns="valid_loss")),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_forged_table_is_refused_even_with_all_digests_made_anew(name):
    folder = save_record(make_record())
    _forge_file(folder, *TABLES[name])
    with pytest.raises(RecordError, match=f"record {folder.name} is set aside"):
        load_record(folder)


def test_a_record_under_another_name_and_an_unlisted_one_are_set_aside_and_the_others_are_read():
    good, moved = save_record(make_record()), save_record(make_record(seed=1))
    shutil.move(moved, moved.with_name("cpu-something-else"))
    shutil.copytree(good, good.with_name("a-copy"))
    found, aside = read_records()
    assert [record.key for record in found] == [good.name]
    assert len(aside) == 3 and all(name in " ".join(aside) for name in ("a-copy", "cpu-something-else", moved.name))
    assert find_record(make_record(seed=1).config, make_record().inputs) is None


def test_nothing_is_left_when_writing_fails(monkeypatch):
    record = make_record()
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_record(record)
    folder = run_folder(record.config, record.inputs)
    assert not folder.exists() and list(folder.parent.iterdir()) == []


def test_the_sums_are_those_of_sha256sum_and_quick_runs_lie_apart():
    folder, quick = save_record(make_record()), save_record(make_record(profile="quick"))
    assert (folder.parent / SUMS).read_text() == f"{file_digest(folder / 'record.json')}  {folder.name}/record.json\n"
    assert quick.parent.name == "local" and folder.parent.name == "runs"


def test_records_are_selected_by_config_and_the_table_has_a_row_each():
    for seed in (0, 1):
        for protocol in ("clean", "paper"):
            save_record(make_record(seed=seed, protocol=protocol))
    found, aside = read_records()
    assert len(found) == 4 and not aside
    assert {r.config.protocol for r in select(found, protocol="paper")} == {"paper"}
    table = records_table(found)
    assert len(table) == 4 and table["bacc"].between(0, 1).all() and table["current"].all()


def test_a_network_that_learned_nothing_is_known():
    assert "not above chance" in str(make_record(strength=0.0).degenerate)
    flat = make_record().predictions.assign(logit=1.0)
    assert "distinct logits" in evaluate(flat, draws=20)["degenerate"]


def test_older_training_code_is_seen_and_code_that_computes_the_same_is_not(monkeypatch):
    record = make_record()
    assert record.current
    monkeypatch.setitem(record.provenance, "training_code", "0" * 16)
    assert not record.current
    monkeypatch.setitem(EQUIVALENT, "0" * 16, "runs trained again gave the same predictions")
    assert record.current
