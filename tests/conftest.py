"""Fixtures that every test may use; they keep the tests away from the user's cache, results and network."""

import os
import socket
from pathlib import Path

import pytest

from cxrlib.paths import data_root, project_root


def _nowhere(*_: object, **__: object) -> None:
    raise OSError("tests must not reach the network")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def make_cache(cache: Path, shared: Path) -> Path:
    """A cache of its own at `cache`, but for decoded images and hashes: the library makes those once, under a lock."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("images", "hashes"):
        (shared / name).mkdir(exist_ok=True)
        (cache / name).symlink_to(shared / name)
    return cache


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> None:
    """Cache and results of the whole session lie in a temporary folder, not in the project."""
    scratch = tmp_path_factory.mktemp("cxr")
    os.environ["CXR_CACHE"] = str(make_cache(scratch / "cache", shared))
    os.environ["CXR_RESULTS"] = str(scratch / "results")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that opens a connection to another machine fails."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            _nowhere()
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return project_root()


@pytest.fixture
def real_data() -> Path:
    """Root of the image collections, for tests on real radiographs; skips where the open edition is not there."""
    root = data_root()
    if not (root / "cxr-open" / "manifest.csv").is_file():
        pytest.skip(f"no open edition: set CXR_DATA to a folder that holds cxr-open/manifest.csv (now {root})")
    return root


@pytest.fixture
def phantom_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> Path:
    """A machine without data: an empty data root, few phantoms, cache and results of the test's own."""
    make_cache(tmp_path / "cache", shared)
    for name in ("data", "weights", "cache", "results"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv(f"CXR_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.05")
    return tmp_path
