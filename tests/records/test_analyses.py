"""Recorded analyses: computed where images are, read elsewhere, compared by verify, damage named."""

from dataclasses import dataclass

import pandas as pd
import pytest

from cxrlib.errors import RecordError
from cxrlib.records import analyses


@dataclass(frozen=True)
class _Edition:
    name: str = "open"
    digest: str = "d" * 64
    has_images: bool = True


@pytest.fixture
def analysis(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path))
    monkeypatch.setattr(analyses, "ANALYSES", {})
    calls = []

    @analyses.recorded_analysis("made_up", tolerance=1e-3)
    def made_up(edition: _Edition, factor: float = 1.0) -> pd.DataFrame:
        calls.append(edition.name)
        return pd.DataFrame({"who": ["a", "b"], "value": [factor / 3, float("nan")]})

    return made_up, calls, tmp_path / "analyses"


def test_it_is_computed_once_and_then_read_with_or_without_images(analysis):
    function, calls, folder = analysis
    first = function(_Edition())
    assert calls == ["open"] and sorted(p.name for p in folder.iterdir()) == ["made_up.csv", "made_up.json"]
    for edition in (_Edition(), _Edition(has_images=False)):
        pd.testing.assert_frame_equal(function(edition), first)
    assert calls == ["open"] and "recorded analysis made_up" in first.attrs["source"]


def test_other_arguments_and_other_editions_are_computed_and_not_written(analysis):
    function, calls, folder = analysis
    assert function(_Edition(), factor=3.0)["value"][0] == 1
    assert "phantom" in function(_Edition(name="phantom")).attrs["source"]
    assert len(calls) == 2 and not folder.exists()


def test_other_data_or_code_compute_it_again_where_images_are(analysis):
    function, calls, _ = analysis
    function(_Edition())
    function(_Edition(digest="e" * 64))
    assert len(calls) == 2


def test_without_table_and_images_it_says_what_to_do(analysis):
    function, _, _ = analysis
    with pytest.raises(RecordError, match=r"made_up has no table .*set CXR_DATA"):
        function(_Edition(has_images=False))


def test_a_doctored_table_is_named_and_a_recomputed_one_compared(analysis):
    function, _, folder = analysis
    function(_Edition())
    registered = analyses.ANALYSES["made_up"]
    assert analyses.differences(registered, _Edition()) == ""
    (folder / "made_up.csv").write_text("who,value\na,0.5\nb,\n")
    with pytest.raises(RecordError, match=r"made_up.csv is not the table that was recorded"):
        analyses.read_analysis("made_up")
    (folder / "made_up.json").write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        function(_Edition(has_images=False))


def test_a_number_beyond_the_tolerance_is_a_difference(analysis, monkeypatch):
    function, _, _ = analysis
    function(_Edition())
    off = analyses.Analysis(
        "made_up", lambda edition: pd.DataFrame({"who": ["a", "b"], "value": [0.34, float("nan")]}), 1e-3
    )
    assert 'column name="value"' in analyses.differences(off, _Edition())
