"""Measurements of a process a cell beside a warm process: kept, read back, summarised."""

import pytest

from benchmarks.turnover import COLUMNS, WAYS, load_turnover, save_turnover, summarise_turnover
from cxrlib.errors import RecordError

MEASURED = {
    "machine": "a processor, 1 thread",
    "threads": 1,
    "load": 0.5,
    "started": "2020-11-01T00:00:00+00:00",
    "code_revision": "0",
    "cells": [
        {"way": way, "cell": cell, "seconds": seconds}
        for way, found in zip(WAYS, ([20.0, 24.0, 90.0], [4.0, 2.0, 3.0]), strict=True)
        for cell, seconds in enumerate(found)
    ],
}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path))
    return tmp_path


def test_nothing_measured_is_an_empty_table():
    assert load_turnover().empty
    assert tuple(load_turnover().columns) == COLUMNS


def test_measurements_are_read_back_one_row_a_cell():
    save_turnover(MEASURED)
    save_turnover({**MEASURED, "load": 0.7})  # the same machine: in place of the first
    table = load_turnover()
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 6
    assert set(table["load"]) == {0.7}


def test_the_start_up_is_the_difference_of_the_medians():
    save_turnover(MEASURED)
    (row,) = summarise_turnover(load_turnover()).to_dict("records")
    assert (row[WAYS[0]], row[WAYS[1]], row["start_up"]) == (24.0, 3.0, 21.0)
    assert (row["own_cells_an_hour"], row["warm_cells_an_hour"]) == (150.0, 1200.0)


@pytest.mark.parametrize("text", ["not json", "{}", "[]"])
def test_a_file_of_another_form_is_refused(results, text):
    path = save_turnover(MEASURED)
    path.write_text(text)
    with pytest.raises(RecordError, match="is no measurement of turnover"):
        load_turnover()
