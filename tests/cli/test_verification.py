"""`make verify`: what is committed is the same again, and whatever was doctored is named."""

import shutil

import pytest

from cxrlib.cli import verification
from cxrlib.data import editions, manifests
from cxrlib.records.record import read_records

KEPT = 2


@pytest.fixture
def committed(phantom_env, project):
    """A machine without images whose results are a few of the committed records, and all committed analyses."""
    results = phantom_env / "results"
    keys = sorted(path.name for path in (project / "results" / "runs").iterdir() if path.is_dir())[:KEPT]
    for key in keys:
        shutil.copytree(project / "results" / "runs" / key, results / "runs" / key)
    sums = (project / "results" / "runs" / "SHA256SUMS").read_text().splitlines(keepends=True)
    (results / "runs" / "SHA256SUMS").write_text(
        "".join(line for line in sums if line.split("  ")[1].split("/")[0] in keys)
    )
    shutil.copytree(project / "results" / "analyses", results / "analyses")
    editions._load.cache_clear()
    yield results
    editions._load.cache_clear()


@pytest.mark.slow
def test_committed_results_are_the_same_and_a_run_of_another_machine_is_skipped(committed, capsys, monkeypatch):
    monkeypatch.setattr(verification, "machine", lambda device: "another processor, 2 threads")
    assert verification.verify(runs=1, write=False) == 0
    said = capsys.readouterr().out
    assert f"{KEPT} records" in said and "0 differ, 1 skipped" in said and "skipped  run" in said


@pytest.mark.slow
def test_a_doctored_record_and_a_doctored_table_are_named(committed, capsys):
    record = next((committed / "runs").glob("*/record.json"))
    record.write_text(record.read_text().replace('"bacc": 0.', '"bacc": 1.', 1))
    table = sorted((committed / "analyses").glob("*.csv"))[0]
    table.write_text(table.read_text().replace("0", "1"))
    assert verification.verify(runs=0, write=False) == 1
    said = capsys.readouterr().out
    assert f"record {record.parent.name}: " in said and f"analysis {table.stem}: " in said and "2 differ" in said


def _change(monkeypatch, column, row, value):
    table = manifests.cxr_open()
    table.loc[row, column] = value
    monkeypatch.setattr(manifests, "cxr_open", table.copy)
    return table


@pytest.mark.slow
def test_a_doctored_manifest_row_is_a_difference(committed, capsys, monkeypatch):
    _change(monkeypatch, "label", manifests.cxr_open().index[manifests.cxr_open()["label"] == "covid"][0], "non_covid")
    assert verification.verify(runs=0, write=False) == 1
    assert "  manifest open " in capsys.readouterr().out


@pytest.mark.slow
def test_a_doctored_hash_that_links_test_images_is_a_difference(committed, capsys, monkeypatch):
    table = manifests.cxr_open()
    ids = read_records()[0][0].test()["image_id"].str.removeprefix("cxr-open/")
    rows = table.index[table["path"].isin(ids)]
    _change(monkeypatch, "phash", rows[0], table.loc[rows[-1], "phash"])
    assert verification.verify(runs=0, write=False) == 1
    assert "  manifest linked components: other links of cxr-open/" in capsys.readouterr().out


@pytest.mark.slow
def test_with_images_the_row_of_the_package_that_is_not_the_images_is_named(real_data, committed, monkeypatch):
    row = manifests.cxr_open().index[0]
    monkeypatch.setenv("CXR_DATA", str(real_data))
    table = _change(monkeypatch, "patient_id", row, "somebody else")
    records = read_records()[0]
    lines = list(verification._manifest(records, editions.recorded_edition()))
    assert f"the row of cxr-open/{table.loc[row, 'path']} is not that of the image" in [line[3] for line in lines]
