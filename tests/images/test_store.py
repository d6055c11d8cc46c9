"""The image store: built once, whole or not at all, nothing lost silently."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.errors import DataError
from cxrlib.images import store
from cxrlib.images.decoding import QuarantineError, decode, preprocess, read_raw
from cxrlib.images.store import open_store
from cxrlib.paths import cache_root

SIZE = 16


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_CACHE", str(tmp_path / "cache"))


def table_of(paths: dict[str, Path | str]) -> pd.DataFrame:
    """An image table with the columns that the store reads."""
    rows = [
        (name, str(path), hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else None)
        for name, path in paths.items()
    ]
    return pd.DataFrame(rows, columns=["image_id", "path", "sha256"]).assign(collection="toy")


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Six images of different sizes, named in no particular order."""
    rng, paths = np.random.default_rng(0), {}
    for k, name in enumerate("fbdace"):
        path = tmp_path / "files" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + k, 30 + k), dtype=np.uint8)).save(path)
        paths[f"toy/{name}"] = path
    return table_of(paths)


def test_pixels_are_those_of_the_pipeline(images: pd.DataFrame) -> None:
    opened = open_store(images, SIZE)
    assert opened.pixels.dtype == np.uint8
    assert isinstance(opened.pixels, np.memmap)
    assert not opened.pixels.flags.writeable
    for name, path in zip(images["image_id"], images["path"], strict=True):
        expected = preprocess(decode(Path(path).read_bytes()), SIZE)
        np.testing.assert_array_equal(opened.take([name])[0], expected)
    facts = opened.table.set_index("image_id").loc["toy/f"]
    assert (facts["width"], facts["height"]) == (30, 20)
    assert facts["sha256"] == images.set_index("image_id").loc["toy/f", "sha256"]
    assert opened.quarantined.empty


def test_rows_follow_the_order_asked_for(images: pd.DataFrame) -> None:
    opened = open_store(images, SIZE)
    names = images["image_id"].tolist()
    rows = opened.rows(names)
    assert rows.dtype == np.int64
    assert opened.table["image_id"].iloc[rows].tolist() == names
    np.testing.assert_array_equal(opened.take(names), opened.pixels[rows])
    assert opened.take([]).shape == (0, SIZE, SIZE)


def test_the_second_opening_decodes_nothing(images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store(images, SIZE)
    monkeypatch.setattr(store, "_build", lambda *_: pytest.fail("built again"))
    again = open_store(images.sample(frac=1, random_state=1), SIZE)  # the order of the table plays no part
    np.testing.assert_array_equal(again.pixels, first.pixels)
    with pytest.raises(pytest.fail.Exception):
        open_store(images, SIZE + 1)
    with pytest.raises(pytest.fail.Exception):
        open_store(images.iloc[1:], SIZE)


def test_moved_files_use_the_same_store(images: pd.DataFrame, tmp_path: Path) -> None:
    first = open_store(images, SIZE)
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    moved = images.assign(path=images["path"].str.replace("/files/", "/elsewhere/"))
    np.testing.assert_array_equal(open_store(moved, SIZE).pixels, first.pixels)


def test_a_file_without_a_sha256_counts_by_its_time(images: pd.DataFrame) -> None:
    bare = images.assign(sha256=pd.Series([None] * len(images), dtype="str"))
    first = open_store(bare, SIZE)
    os.utime(bare["path"].iloc[0], ns=(1, 1))
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(bare["path"].iloc[0])
    second = open_store(bare, SIZE)
    assert (second.pixels != first.pixels).any()
    expected = hashlib.sha256(Path(bare["path"].iloc[0]).read_bytes()).hexdigest()
    assert second.table.set_index("image_id").loc[bare["image_id"].iloc[0], "sha256"] == expected


def spoil(images: pd.DataFrame) -> pd.DataFrame:
    """Make three of the six files bad: truncated (with its true digest), constant, missing."""
    paths = images.set_index("image_id")["path"]
    whole = Path(paths["toy/a"]).read_bytes()
    Path(paths["toy/a"]).write_bytes(whole[: len(whole) // 2])
    Image.new("L", (20, 20), 9).save(paths["toy/b"])
    Path(paths["toy/c"]).unlink()
    return table_of(paths.to_dict())


def test_bad_files_are_quarantined_and_listed(images: pd.DataFrame) -> None:
    opened = open_store(spoil(images), SIZE)
    reasons = opened.quarantined.set_index("image_id")["reason"].to_dict()
    assert reasons == {"toy/a": "truncated file", "toy/b": "constant image", "toy/c": "missing file"}
    assert set(opened.quarantined["collection"]) == {"toy"}
    assert len(opened.pixels) == 3
    assert not set(opened.table["image_id"]) & set(reasons)
    for name, path in images.loc[images["image_id"].isin(opened.table["image_id"]), ["image_id", "path"]].to_numpy():
        np.testing.assert_array_equal(opened.take([name])[0], preprocess(read_raw(path), SIZE))


def test_a_different_sha256_is_quarantined(images: pd.DataFrame) -> None:
    wrong = images.copy()
    wrong.loc[wrong["image_id"] == "toy/d", "sha256"] = "0" * 64
    opened = open_store(wrong, SIZE)
    assert opened.quarantined[["image_id", "reason"]].to_numpy().tolist() == [
        ["toy/d", "sha256 differs from its table"]
    ]


def test_unknown_and_quarantined_images_are_errors(images: pd.DataFrame) -> None:
    opened = open_store(spoil(images), SIZE)
    with pytest.raises(DataError, match=r"2 of the images are not in this store, first toy/b \(constant image\)"):
        opened.rows(["toy/d", "toy/b", "toy/a"])
    with pytest.raises(DataError, match="1 of the images are not in this store, first toy/z"):
        opened.take(["toy/d", "toy/z"])


def test_a_repaired_file_leaves_the_quarantine(images: pd.DataFrame) -> None:
    path = Path(images["path"].iloc[0])
    content = path.read_bytes()
    path.unlink()
    assert len(open_store(images, SIZE).pixels) == 5
    path.write_bytes(content)
    repaired = open_store(images, SIZE)
    assert len(repaired.pixels) == 6
    assert repaired.quarantined.empty


def test_tables_that_cannot_serve_are_errors(images: pd.DataFrame) -> None:
    for wrong, message in (
        (images.iloc[:0], "empty"),
        (images.assign(path="/nowhere"), "none of the 6 images can be used.*missing file"),
    ):
        with pytest.raises(DataError, match=message):
            open_store(wrong, SIZE)
    assert not list((cache_root() / "images").glob("*px-*/"))


def test_a_damaged_store_says_what_to_delete(images: pd.DataFrame) -> None:
    open_store(images, SIZE)
    (folder,) = (cache_root() / "images").glob("16px-*/")
    content = (folder / "pixels.npy").read_bytes()
    (folder / "pixels.npy").write_bytes(content[:-100])
    with pytest.raises(DataError, match="damaged: delete that folder"):
        open_store(images, SIZE)


def test_more_images_than_a_chunk_keep_their_order(images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_store(images, SIZE)
    monkeypatch.setattr(store, "CHUNK", 4)
    monkeypatch.setenv("CXR_CACHE", str(cache_root() / "other"))
    np.testing.assert_array_equal(open_store(images, SIZE).pixels, whole.pixels)


def test_generated_images_are_rendered_and_scaled(images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of phantoms go to the generator, in chunks; files beside them are still decoded."""
    calls = []

    def render(paths: list[str], size: int) -> np.ndarray:
        calls.append(list(paths))
        frame = np.zeros((len(paths), size, size), dtype=np.uint8)
        for k, path in enumerate(paths):
            frame[k, : size // 2] = int(path.split(":")[1]) * 10  # phantom:0 is constant
        return frame

    monkeypatch.setattr("cxrlib.images.store.render", render)
    made = pd.DataFrame({"image_id": [f"phantom/{k}" for k in range(3)], "path": [f"phantom:{k}" for k in range(3)]})
    both = pd.concat([made.assign(sha256="0" * 64, collection="phantom"), images])
    opened = open_store(both, SIZE)
    assert sum(len(call) for call in calls) == 3
    assert opened.quarantined["image_id"].tolist() == ["phantom/0"]
    assert len(opened.pixels) == 8
    top, bottom = opened.take(["phantom/2"])[0, [0, -1], 0]
    assert (top, bottom) == (255, 0)
    np.testing.assert_array_equal(opened.take(["toy/a"]), open_store(images, SIZE).take(["toy/a"]))


def test_raw_images_are_as_decoded(images: pd.DataFrame) -> None:
    assert read_raw(images["path"].iloc[0]).shape == (20, 30)
    with pytest.raises(QuarantineError, match="missing file"):
        read_raw("/nowhere.png")


SLOW_BUILD = textwrap.dedent(
    """
    import sys, time
    import pandas as pd
    from cxrlib.images import store
    decode, decoded = store.decode, []
    def slow(content):
        decoded.append(1)
        sys.stdout.write("decoding\\n")  # in one piece: several threads decode
        sys.stdout.flush()
        time.sleep({seconds})
        return decode(content)
    store.decode = slow
    opened = store.open_store(pd.read_parquet(sys.argv[1]), 16)
    print("decoded", len(decoded), int(opened.pixels.sum()), flush=True)
    """
)


def start_build(images: pd.DataFrame, tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    images.to_parquet(tmp_path / "images.parquet")
    command = [sys.executable, "-c", SLOW_BUILD.format(seconds=seconds), str(tmp_path / "images.parquet")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_build_it_once(images: pd.DataFrame, tmp_path: Path) -> None:
    builders = [start_build(images, tmp_path, seconds=0.3) for _ in range(2)]
    lines = [builder.communicate(timeout=60)[0].splitlines()[-1].split() for builder in builders]
    assert sorted(int(line[1]) for line in lines) == [0, 6]
    assert int(lines[0][2]) == int(lines[1][2]) == open_store(images, SIZE).pixels.sum()


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_half_built(images: pd.DataFrame, tmp_path: Path) -> None:
    builder = start_build(images, tmp_path, seconds=30)
    assert builder.stdout is not None
    assert builder.stdout.readline() == "decoding\n"  # inside the build
    builder.send_signal(signal.SIGKILL)
    builder.wait(timeout=10)
    folder = cache_root() / "images"
    assert not list(folder.glob("16px-*/"))
    assert list(folder.glob(".16px-*/"))  # what the kill left behind
    started = time.perf_counter()
    opened = open_store(images, SIZE)  # the dead process's lock does not hold
    assert time.perf_counter() - started < 20
    assert len(opened.pixels) == 6
    assert not list(folder.glob(".16px-*/"))


@pytest.mark.real_data
def test_open_radiographs(real_data: Path) -> None:
    """A sample of the open collection decodes, with the published digests."""
    manifest = pd.read_csv(real_data / "cxr-open" / "manifest.csv", usecols=["path", "sha256", "source"])
    sample = manifest.groupby("source").head(5).reset_index(drop=True)
    table = pd.DataFrame(
        {
            "image_id": sample["path"],
            "path": [str(real_data / "cxr-open" / path) for path in sample["path"]],
            "sha256": sample["sha256"],
            "collection": "cxr-open",
        }
    )
    opened = open_store(table, 64)
    assert len(opened.pixels) == len(table)
    assert opened.quarantined.empty
    assert (opened.pixels.reshape(len(table), -1).std(axis=1) > 5).all()
