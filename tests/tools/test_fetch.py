"""Fetching from a server on this machine: digests, resuming, broken lines, what is refused."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pandas as pd
import pytest

from cxrlib.data import manifests
from cxrlib.data.readers import locate, read_collection
from cxrlib.errors import DataError
from tools import fetch as module
from tools.fetch import fetch, plan, status

FILES = {
    "images/a.png": ("ieee8023", "COVID-19", "covid", "1"),
    "images/b c.JPG": ("ieee8023", "No Finding", "non_covid", "1"),
    "png/d.png": ("hannover", "COVID-19", "covid", "0"),
}


def content(path: str) -> bytes:
    return f"the radiograph {path}".encode() * 1000


class Server(ThreadingHTTPServer):
    """Serves FILES under /<repository>/<commit>/; `mood` spoils single paths, `asked` counts requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.mood: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        path = unquote(self.path).removeprefix("/someone/repository/c0ffee/")
        server.asked[path] += 1
        mood = server.mood.get(path, "")
        if path not in FILES or mood == "gone":
            self.send_error(404)
            return
        body = content(path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-1] + b"!" if mood == "changed" else body[: len(body) // (2 if mood == "cut" else 1)])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def small_manifest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pd.DataFrame:
    """A manifest of three files instead of the package's, and an empty data root."""
    full = manifests.cxr_open().iloc[: len(FILES)]
    sources, findings, labels, july = zip(*FILES.values(), strict=True)
    small = full.assign(
        path=[f"images/{source}/{Path(file).stem}.jpg" for file, source in zip(FILES, sources, strict=True)],
        source=sources,
        source_repo="someone/repository",
        source_commit="c0ffee",
        original_path=list(FILES),
        original_sha256=[hashlib.sha256(content(file)).hexdigest() for file in FILES],
        finding=findings,
        label=labels,
        in_july2020_metadata=july,
    )
    table = pd.DataFrame(
        {"patientid": ["1", "2"], "age": "", "finding": findings[:2], "view": "PA", "modality": "X-ray"}
    ).assign(folder="images", filename=["a.png", "b c.JPG"], license="")
    monkeypatch.setattr(manifests, "cxr_open", lambda: small.copy())
    monkeypatch.setattr(manifests, "covid_chestxray", lambda: table.copy())
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    return small


def get(server: Server, name: str = "cxr-open", **options: bool) -> Path:
    return fetch(name, host=server.url, jobs=2, retries=0, **options)


def test_a_fetched_open_edition_can_be_read(server: Server, tmp_path: Path) -> None:
    assert status("cxr-open") == "missing"
    folder = get(server)
    assert folder == tmp_path / "cxr-open" == locate("cxr-open")
    assert (folder / "images/ieee8023/b c.JPG").read_bytes() == content("images/b c.JPG")
    collection = read_collection("cxr-open")
    assert len(collection.images) == 3 and collection.excluded.empty
    assert collection.images["image_id"].tolist() == [
        "cxr-open/images/ieee8023/a.jpg",
        "cxr-open/images/ieee8023/b c.jpg",
        "cxr-open/images/hannover/d.jpg",
    ]
    for path, digest in zip(collection.images["path"], collection.images["sha256"], strict=True):
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    assert status("cxr-open") == "there, as fetched"
    assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == [
        "a.png",
        "b c.JPG",
        "d.png",
        "manifest.csv",
    ]


def test_a_fetched_chestxray_dataset_can_be_read(server: Server, tmp_path: Path) -> None:
    assert get(server, "covid-chestxray-dataset") == tmp_path / "covid-chestxray-dataset"
    assert "png/d.png" not in server.asked
    images = read_collection("covid-chestxray-dataset").images
    assert dict(zip(images["image_id"].str.rsplit("/", n=1).str[-1], images["label"], strict=True)) == {
        "a.png": "covid",
        "b c.JPG": "non_covid",
    }


def test_what_is_there_is_not_fetched_again(server: Server) -> None:
    folder = get(server)
    get(server)
    assert set(server.asked.values()) == {1}
    (folder / "images/hannover/d.png").write_bytes(b"damaged")
    get(server)
    assert server.asked == {"images/a.png": 1, "images/b c.JPG": 1, "png/d.png": 2}
    assert (folder / "images/hannover/d.png").read_bytes() == content("png/d.png")


@pytest.mark.parametrize(
    ("mood", "reason"),
    [("changed", "SHA-256 differs"), ("gone", "HTTP 404"), ("cut", "no answer or a broken one|SHA-256")],
)
def test_a_bad_file_is_refused_and_the_rest_kept(server: Server, tmp_path: Path, mood: str, reason: str) -> None:
    server.mood["images/b c.JPG"] = mood
    with pytest.raises(
        DataError, match=rf"1 files could not be fetched, the first images/ieee8023/b c.JPG: .*({reason}).*again"
    ):
        get(server)
    assert sorted(file.name for file in (tmp_path / "cxr-open").rglob("*") if file.is_file()) == ["a.png", "d.png"]
    assert locate("cxr-open") is None
    assert status("cxr-open") == "begun: 1 of 3 files missing"
    server.mood.clear()
    server.asked.clear()
    assert len(read_collection("cxr-open", get(server)).images) == 3
    assert server.asked == {"images/b c.JPG": 1}


def test_a_broken_line_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        server.mood.clear()

    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=nap))
    server.mood["images/a.png"] = "cut"
    fetch("cxr-open", host=server.url, jobs=1, retries=2)
    assert len(naps) == 1 and server.asked["images/a.png"] == 2


def test_a_file_that_is_gone_can_be_done_without(server: Server) -> None:
    server.mood["png/d.png"] = "gone"
    collection = read_collection("cxr-open", get(server, accept_missing=True))
    assert len(collection.images) == 2
    assert collection.excluded["reason"].tolist() == ["missing file"]
    assert status("cxr-open") == "there, without 1 of 3 files"
    server.mood.clear()
    assert len(read_collection("cxr-open", get(server)).images) == 3


def test_a_dead_server_is_given_up_early(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FAILURES", 1)
    server.mood = dict.fromkeys(FILES, "gone")
    with pytest.raises(DataError, match="1 files could not be fetched"):
        fetch("cxr-open", host=server.url, jobs=1, retries=0)


def test_an_interrupted_fetch_leaves_whole_files_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._fetch_one

    def interrupted(store: object, path: str) -> str | None:
        if path.endswith("b c.JPG"):
            raise KeyboardInterrupt
        return real(store, path)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_fetch_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("cxr-open", host=server.url, jobs=1, retries=0)
    monkeypatch.setattr(module, "_fetch_one", real)
    there = [file for file in (tmp_path / "cxr-open").rglob("*") if file.is_file()]
    assert (tmp_path / "cxr-open/images/ieee8023/a.png") in there
    assert all(file.read_bytes() in map(content, FILES) for file in there)
    get(server)
    assert server.asked["images/a.png"] == 1


def test_a_collection_from_elsewhere_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cxr-open").mkdir()
    (tmp_path / "cxr-open" / "manifest.csv").write_text("path,label\nx,covid\n")
    assert get(server) == tmp_path / "cxr-open"
    assert not server.asked and status("cxr-open") == "there (cxr-open)"
    assert (tmp_path / "cxr-open" / "manifest.csv").read_text() == "path,label\nx,covid\n"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*set CXR_DATA"):
        fetch("cxr-open", tmp_path / "file", host="http://127.0.0.1:1")


def test_what_needs_a_registration_comes_with_instructions() -> None:
    with pytest.raises(
        DataError, match=r"cannot be fetched for you: download it from https://stanford.*train\.csv and valid\.csv"
    ):
        fetch("CheXpert")


def test_urls_name_repository_and_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [file.url for file in plan("cxr-open").files]
    assert urls[1] == "https://raw.githubusercontent.com/someone/repository/c0ffee/images/b%20c.JPG"


def test_command_lists_fetches_and_instructs(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("missing") == 4 and not server.asked
    assert module.main(["--host", server.url]) == 0
    printed = capsys.readouterr().out
    assert "fetching cxr-open: 3 files" in printed and "fetching covid-chestxray-dataset: 2 files" in printed
    assert "CheXpert: download it from https://stanfordmlgroup.github.io" in printed
    assert locate("cxr-open") and locate("covid-chestxray-dataset")
    assert module.main(["CheXpert", "--root", str(tmp_path / "other")]) == 1
    assert "registration and a use agreement" in capsys.readouterr().out
