"""Fixtures that every test may use; they keep the tests away from the user's cache, results and network."""

import os
import socket
from pathlib import Path

import pytest

from cxrlib.paths import data_root, project_root


def _nowhere(*_: object, **__: object) -> None:
    raise OSError("tests must not reach the network")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cache and results of the whole session lie in a temporary folder, not in the project."""
    scratch = tmp_path_factory.mktemp("cxr")
    os.environ["CXR_CACHE"] = str(scratch / "cache")
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
def phantom_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data: an empty data root, few phantoms, cache and results of the test's own."""
    for variable, folder in (
        ("CXR_DATA", "data"),
        ("CXR_WEIGHTS", "weights"),
        ("CXR_CACHE", "cache"),
        ("CXR_RESULTS", "results"),
    ):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.05")
    return tmp_path
