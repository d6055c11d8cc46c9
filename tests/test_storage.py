"""Places, atomic writes, locks and digests."""

import json
import math
import multiprocessing
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrlib import paths
from cxrlib.errors import ParameterError
from cxrlib.storage import atomic_path, canonical_json, check_folder, check_writable, digest, file_digest, lock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result.txt"
    with atomic_path(target) as part:
        part.write_text("first")
        assert not target.exists()
    assert target.read_text() == "first"
    with pytest.raises(ZeroDivisionError), atomic_path(target) as part:
        part.write_text("sec" * (1 // 0) if part.write_text("half way") else "")
    assert target.read_text() == "first"
    assert list(target.parent.iterdir()) == [target], "nothing may be left behind"


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "record"
    for number in (1, 2):
        with atomic_path(target, "marker.json") as part:
            part.mkdir()
            (part / f"{number}.txt").write_text("x")
    assert json.loads((target / "marker.json").read_text()) == {"files": {"2.txt": file_digest(target / "2.txt")}}
    assert sorted(path.name for path in target.iterdir()) == ["2.txt", "marker.json"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_of_other_origin_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.tex").write_text("x")
    for marker in (None, "marker.json"):
        with (
            pytest.raises(ParameterError, match=r"holds files .such as thesis.tex"),
            atomic_path(target, marker) as part,
        ):
            part.mkdir()
    (target / "marker.json").write_text(json.dumps({"files": {"index.html": None}}))
    with pytest.raises(ParameterError, match=r"holds thesis.tex, which this command did not write"):
        check_folder(target, "marker.json")
    assert (target / "thesis.tex").read_text() == "x"
    assert list(tmp_path.iterdir()) == [target]


def test_an_edited_file_of_an_earlier_result_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "report"
    with atomic_path(target, "marker.json") as part:
        part.mkdir()
        (part / "checklist.csv").write_text("for you to fill")
    check_folder(target, "marker.json")
    (target / "checklist.csv").write_text("filled")
    with pytest.raises(ParameterError, match=r"holds checklist.csv, which this command did not write like that"):
        check_folder(target, "marker.json")
    for marker in ("{}", "[]", '{"files": null}'):
        (target / "marker.json").write_text(marker)
        with pytest.raises(ParameterError, match="damaged"):
            check_folder(target, "marker.json")
    assert (target / "checklist.csv").read_text() == "filled"


def test_an_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for text in ("first", "second"):
        with pytest.raises(OSError) if text == "second" else nullcontext(), atomic_path(tmp_path / "r", "m") as part:
            part.mkdir()
            (part / "page").write_text(text)
            if text == "second":
                monkeypatch.setattr("cxrlib.storage.os.replace", full)
    assert (tmp_path / "r" / "page").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_what_a_link_leads_to_is_replaced_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "true.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("true.txt")
    with atomic_path(tmp_path / "link.txt") as part:
        part.write_text("new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "true.txt").read_text() == "new"


def test_a_folder_may_not_contain_the_data_nor_lie_in_them_nor_be_a_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "images.csv").write_text("x")
    for target in (tmp_path, data, data / "report"):
        for source in (data, data / "images.csv"):
            with pytest.raises(ParameterError, match="lie one in the other"):
                check_folder(target, "marker.json", source)
    with pytest.raises(ParameterError, match="is a file"):
        check_folder(data / "images.csv", "marker.json")
    check_folder(tmp_path / "report", "marker.json", data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be written"):
        check_writable("/proc/cxrlib/results")
    check_writable(tmp_path / "not" / "there" / "yet")
    assert not list(tmp_path.iterdir())


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "empty"):
        pass
    assert not list(tmp_path.iterdir())


@given(JSON)
def test_equal_values_have_equal_digests(value: object) -> None:
    assert digest(value) == digest(value)
    assert len(digest(value)) == 64


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter_but_the_values_do(value: dict[str, int]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)
    key = next(iter(value))
    assert digest({**value, key: value[key] + 1}) != digest(value)


def test_json_without_a_standard_form_is_refused() -> None:
    with pytest.raises(ValueError):
        canonical_json({"a": math.nan})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert file_digest(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


def _hold(target: str, holding: object, release: object) -> None:
    with lock(target):
        holding.set()  # type: ignore[attr-defined]
        release.wait(20)  # type: ignore[attr-defined]


def test_a_lock_keeps_a_second_process_out(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holding, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path / "cache"), holding, release))
    other.start()
    try:
        assert holding.wait(20)
        guard = lock(tmp_path / "cache")
        with pytest.raises(TimeoutError):
            guard.acquire(timeout=0.2)
        release.set()
        start = time.monotonic()
        with guard:
            assert time.monotonic() - start < 20
    finally:
        release.set()
        other.join(20)


@pytest.mark.parametrize(
    ("variable", "place", "default"),
    [
        ("CXR_DATA", paths.data_root, "data"),
        ("CXR_WEIGHTS", paths.weights_root, "weights"),
        ("CXR_CACHE", paths.cache_root, ".cache"),
        ("CXR_RESULTS", paths.results_root, "results"),
    ],
)
def test_places_come_from_the_environment_or_the_project(
    variable: str, place: object, default: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert place() == tmp_path.resolve()  # type: ignore[operator]
    monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    assert place() == paths.project_root() / default  # type: ignore[operator]
    assert (paths.project_root() / "pyproject.toml").is_file()
