"""The grid: every part's cells, each once, in the order of their worth."""

import json

import pytest

from cxrlib.errors import ParameterError
from cxrlib.training import grid


@pytest.fixture(autouse=True)
def _weights(monkeypatch):
    monkeypatch.setattr("cxrlib.training.configure.imagenet_file", lambda model: True)


def test_the_powered_study_is_210_cells_seed_by_seed():
    cells = grid.cells(parts=["powered"], precision="float32")
    assert len(cells) == 7 * 3 * 2 * 5 == len({cell.config for cell in cells})
    first = [cell.config for cell in cells[:42]]
    assert {c.seed for c in first} == {0} and {c.draw_seed for c in first} == {0, 1}
    assert {(c.model, c.head, c.pretraining, c.profile) for c in first} == {("squeezenet", "native", "imagenet", "cpu")}


def test_table_2_is_whole_under_three_protocols():
    cells = grid.cells(parts=["main", "baselines", "combined", "augmented"], seeds=1, precision="float32")
    rows = {
        (c.config.cohort, c.config.model, c.config.pretraining, c.config.beta, c.config.protocol)
        for c in cells
        if c.config.recipe == "paper"
    }
    assert len(rows) == 20 * 3
    assert sum(c.config.recipe == "deepcovid" for c in cells) == 2 * 3 + 2


def test_every_part_has_cells_and_each_config_belongs_to_one_part():
    cells = grid.cells(precision="float32")
    assert {cell.part for cell in cells} >= set(grid.PARTS) - {"sweep"}
    assert len({cell.config for cell in cells}) == len(cells)


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"draws": -1}, {"parts": ["everything"]}])
def test_what_cannot_be_a_grid_is_refused(wrong):
    with pytest.raises(ParameterError):
        grid.cells(**wrong)


def test_a_grid_of_ones_own_comes_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{"beta": 2.0}, {"beta": None}, {"beta": 2.0}]))
    cells = grid.listed_cells(path, edition="phantom", pretraining="none", precision="float32")
    assert [cell.config.beta for cell in cells] == [2.0, None] and cells[0].part == "mine"
    assert cells[0].config.precision == "float32"
    for content in ("{}", "[]", "{", '[{"bata": 1}]', "[1]"):
        path.write_text(content)
        with pytest.raises(ParameterError):
            grid.listed_cells(path)
