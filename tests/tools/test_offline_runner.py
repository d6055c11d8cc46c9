"""The study on a machine without internet: packed, run by a bare Python, brought back and merged."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest

from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError
from cxrlib.paths import project_root
from cxrlib.records.record import read_records
from cxrlib.storage import file_digest
from cxrlib.training.grid import cells
from tools.offline_runner import bootstrap, merge, package, vendor
from tools.offline_runner.volumes import pack

pytestmark = pytest.mark.slow

CELLS = [
    {"model": "squeezenet", "pretraining": "none", "beta": beta, "image_size": 32, "epochs": 1, "train_limit": 64}
    for beta in (0.75, 1.5)
]
LIMIT = 6 * 2**20


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("offline")


@pytest.fixture(scope="module")
def here(scratch: Path) -> dict[str, str]:
    """The environment of the machine that packs: few phantoms, no data, no weights, no results of the user's."""
    places = {f"CXR_{name.upper()}": str(scratch / name) for name in ("data", "weights", "cache", "results")}
    return {**os.environ, **places, "CXR_PHANTOM_SCALE": "0.05", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def packed(scratch: Path, here: dict[str, str]) -> Path:
    """A package of two small cells, in volumes smaller than it needs in one."""
    (scratch / "grid.json").write_text(json.dumps(CELLS))
    command = [
        "-m",
        "tools.offline_runner.package",
        "--profile",
        "quick",
        "--edition",
        "phantom",
        "--grid",
        "grid.json",
    ]
    size = str(LIMIT / 2**20)
    done = subprocess.run(
        [sys.executable, *command, "--output", "package", "--size-limit-mib", size],
        env={**here, "PYTHONPATH": str(project_root())}, cwd=scratch, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 of 2 cells to run" in done.stdout
    return scratch / "package"


@pytest.fixture(scope="module")
def bare(scratch: Path) -> Path:
    """A site folder that holds what the other machine must have, and nothing else of this one's environment."""
    site = scratch / "site"
    site.mkdir()
    for name in vendor.closure(vendor.EXPECTED):
        one = distribution(name)
        for top in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(one.locate_file(top))))
    return site


def run_there(bare: Path, packed: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`run_study.py` under a Python that knows only its own library and the folder `bare`."""
    start = (
        f"import runpy, sys; sys.path.append({str(bare)!r}); script = sys.argv[1]; sys.argv = sys.argv[1:]\n"
        "import atexit; atexit.register(lambda: print(*(f'{n}={sys.modules[n].__file__}' for n in "
        "('cxrlib', 'fastai', 'plum', 'rich', 'torch') if n in sys.modules)))\n"
        "runpy.run_path(script, run_name='__main__')"
    )
    command = [sys.executable, "-I", "-S", "-c", start, str(packed / "run_study.py"), "--output", str(output), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    return subprocess.run(
        command, env={**environment, "OMP_NUM_THREADS": "1"}, cwd=output.parent, capture_output=True, text=True, check=False
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(scratch: Path, bare: Path, packed: Path) -> tuple[Path, str]:
    """The output folder and the printed text of a run of all cells elsewhere."""
    done = run_there(bare, packed, scratch / "study", "--seconds", "500")
    assert done.returncode == 0, done.stdout + done.stderr
    return scratch / "study", done.stdout


def test_no_volume_exceeds_the_limit_and_the_index_names_each(packed: Path) -> None:
    index = json.loads((packed / "volumes.json").read_text())
    assert len(index["volumes"]) > 1, "the limit is below the size of the whole"
    for volume in index["volumes"]:
        assert (packed / volume["name"]).stat().st_size == volume["bytes"] <= LIMIT
        assert file_digest(packed / volume["name"]) == volume["sha256"]
    assert len(index["cells"]) == 2


def test_a_bare_machine_runs_the_cells_with_what_the_volumes_bring(ran: tuple[Path, str], bare: Path) -> None:
    output, text = ran
    where = dict(part.split("=", 1) for part in text.splitlines()[-1].split())
    for name in ("cxrlib", "fastai", "plum", "rich"):
        assert where[name].startswith(str(output / "work")), name
    assert where["torch"].startswith(str(bare))
    assert "2 records in records.zip, 0 cells left" in text
    with zipfile.ZipFile(output / "records.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith("predictions.parquet")]) == 2


def test_a_second_run_goes_on_where_the_first_stopped(
    ran: tuple[Path, str], bare: Path, packed: Path, scratch: Path
) -> None:
    output = scratch / "resumed"
    one = sorted((ran[0] / "results" / "local").glob("*/"))[0]
    shutil.copytree(one, output / "results" / "local" / one.name)
    shutil.copy(one.parent / "SHA256SUMS", output / "results" / "local")
    shutil.copytree(ran[0] / "work", output / "work", symlinks=True)
    done = run_there(bare, packed, output, "--seconds", "500")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cells in the package" in done.stdout and "[2/2]" in done.stdout and "[1/2]" not in done.stdout


def test_a_cell_that_runs_out_of_memory_there_is_named_and_the_others_are_archived(
    ran: tuple[Path, str], bare: Path, packed: Path, scratch: Path
) -> None:
    """Planted in the unpacked code: the first cell asks for more memory than there is, once."""
    output = scratch / "starved"
    shutil.copytree(ran[0] / "work", output / "work", symlinks=True)
    (train,) = (output / "work").glob("files-*/cxrlib/training/train.py")
    whole = train.read_text()
    planted = "    if config.beta == 0.75:\n        raise torch.OutOfMemoryError('CUDA out of memory')\n    device = best_device()\n"
    train.write_text(whole.replace("    device = best_device()\n", planted, 1))
    done = run_there(bare, packed, output, "--seconds", "500")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "OutOfMemoryError: CUDA out of memory" in done.stderr and "no record: quick" in done.stderr
    assert "1 records in records.zip, 1 cells left: run the command again" in done.stdout
    (note,) = (output / "results" / "failed").iterdir()
    assert "beta0.75" in note.name and "CUDA out of memory" in note.read_text()
    train.write_text(whole)
    again = run_there(bare, packed, output, "--seconds", "500")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 records in records.zip, 0 cells left" in again.stdout and not note.exists()


def test_a_time_limit_is_kept_and_what_was_finished_is_archived(
    ran: tuple[Path, str], bare: Path, packed: Path, scratch: Path
) -> None:
    output = scratch / "hurried"
    one = sorted((ran[0] / "results" / "local").glob("*/"))[0]
    shutil.copytree(one, output / "results" / "local" / one.name)
    shutil.copy(one.parent / "SHA256SUMS", output / "results" / "local")
    shutil.copytree(ran[0] / "work", output / "work", symlinks=True)
    done = run_there(bare, packed, output, "--seconds", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "time limit" in done.stdout
    with zipfile.ZipFile(output / "records.zip") as archive:
        assert {name.split("/")[1] for name in archive.namelist()} == {one.name, "SHA256SUMS"}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: damage(folder / "code-01.zip"), "the volume code-01.zip is damaged: copy it again."),
        (lambda folder: (folder / "code-02.zip").unlink(), "the volume code-02.zip is missing"),
        (lambda folder: (folder / "volumes.json").unlink(), "there is no volumes.json"),
        (lambda folder: (folder / "volumes.json").write_text("{"), "volumes.json is damaged: copy it again."),
    ],
)
def test_a_damaged_package_stops_with_one_sentence(
    spoil: Callable[[Path], None], sentence: str, bare: Path, packed: Path, tmp_path: Path
) -> None:
    shutil.copytree(packed, tmp_path / "package")
    spoil(tmp_path / "package")
    done = run_there(bare, tmp_path / "package", tmp_path / "study")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and sentence in done.stderr


def test_a_machine_without_torch_is_told_what_it_lacks(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run_there(tmp_path / "empty", packed, tmp_path / "study")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "lacks torch, torchvision, pandas, scikit-learn" in done.stderr


@pytest.mark.parametrize(
    ("wheel", "version", "serves"),
    [
        ("pydantic_core-2.50.4-cp312-cp312-manylinux_2_17_x86_64", (3, 12), True),
        ("pydantic_core-2.50.4-cp312-cp312-manylinux_2_17_x86_64", (3, 11), False),
        ("safetensors-0.8.0-cp310-abi3-manylinux_2_17_x86_64", (3, 13), True),
        ("fastcore-2.2.39-py3-none-any", (3, 12), True),
    ],
)
def test_only_wheels_for_this_python_are_used(wheel: str, version: tuple[int, int], serves: bool) -> None:
    assert bootstrap.fits(wheel, version) is serves


def test_what_is_compiled_for_one_version_of_python_is_named() -> None:
    packed = vendor.vendored()
    names = {vendor.normal(one.name) for one in packed}
    assert {"fastai", "fastcore", "pandera", "plum-dispatch"} <= names
    assert not names & {"torch", "numpy", "pandas", "scikit-learn", "cxrlib", "pytest"}
    assert [pin.partition("==")[0].replace("-", "_") for pin in vendor.compiled(packed)] == [
        "pydantic_core",
        "statsmodels",
    ]


def test_a_file_larger_than_a_volume_is_cut_and_joined_again(tmp_path: Path) -> None:
    big = tmp_path / "weights.safetensors"
    big.write_bytes(os.urandom(100_000))
    written = pack([("weights/big", big)], tmp_path, "weights", 32_768)
    assert written["joined"]["weights/big"]["sha256"] == file_digest(big)
    assert all(volume["bytes"] <= 32_768 for volume in written["volumes"])
    whole = b""
    for volume in written["volumes"]:
        with zipfile.ZipFile(tmp_path / volume["name"]) as archive:
            whole += b"".join(archive.read(name) for name in archive.namelist())
    assert whole == big.read_bytes()
    with pytest.raises(DataError, match="too small"):
        pack([("weights/big", big)], tmp_path, "weights", 4096)


@pytest.fixture
def results(here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty results folder, on the machine that packed."""
    for name, value in {**here, "CXR_RESULTS": str(tmp_path / "results")}.items():
        if name.startswith("CXR_"):
            monkeypatch.setenv(name, value)
    return tmp_path / "results"


def test_records_come_back_once(
    ran: tuple[Path, str], results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    archive = ran[0] / "records.zip"
    assert merge.main([str(archive)]) == 0
    assert "2 added, 0 identical, 0 refused" in capsys.readouterr().out
    assert len(read_records(results / "local")[0]) == 2 and not read_records(results / "local")[1]
    assert not list(results.glob(".import*"))
    assert merge.main([str(archive)]) == 0
    assert "0 added, 2 identical, 0 refused" in capsys.readouterr().out

    one = next(results.glob("local/*/record.json"))
    one.write_text(one.read_text() + "\n")
    assert merge.main([str(archive)]) == 1
    assert "another record with this key is here" in capsys.readouterr().out


def listed_again(files: dict[str, bytes]) -> None:
    """State the digests of altered files as if they had been recorded so."""
    sums = ""
    for name in sorted(name for name in files if name.endswith("record.json")):
        folder = name.rpartition("/")[0]
        stored = json.loads(files[name])
        stored["files"] = {file: hashlib.sha256(files[f"{folder}/{file}"]).hexdigest() for file in stored["files"]}
        files[name] = json.dumps(stored).encode()
        sums += f"{hashlib.sha256(files[name]).hexdigest()}  {name.removeprefix('local/')}\n"
    files["local/SHA256SUMS"] = sums.encode()


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def edited(content: bytes) -> bytes:
        stored = json.loads(content)
        change(stored)
        return json.dumps(stored).encode()

    return edited


@pytest.mark.parametrize("thorough", [False, True], ids=["edited", "edited and listed again"])
@pytest.mark.parametrize(
    ("file", "change", "reason", "reason_if_listed"),
    [
        ("record.json", edit(lambda r: r["config"].update(beta=0.5)), "not the one listed", "another run's config"),
        ("record.json", edit(lambda r: r["metrics"]["test"].update(bacc=0.9)), "not the one listed", "predictions"),
        ("record.json", edit(lambda r: r["metrics"]["test"].update(auroc_high=0.99)), "not the one listed", "predictions"),
        ("record.json", edit(lambda r: r["provenance"].pop("machine")), "not the one listed", "lacks machine"),
        ("record.json", edit(lambda r: r["provenance"].update(machine="another")), "not the one listed", ""),
        ("record.json", edit(lambda r: r.update(format=2)), "not the one listed", "format"),
        ("record.json", lambda content: content[:-20], "not the one listed", None),
        ("history.csv", lambda content: content + content.splitlines(True)[-1], "history.csv is not", "history.csv must"),
    ],
)  # fmt: skip
def test_an_altered_record_is_refused_by_name(
    file: str, change: Callable[[bytes], bytes], reason: str, reason_if_listed: str | None, thorough: bool,
    ran: tuple[Path, str], results: Path, tmp_path: Path,
) -> None:  # fmt: skip
    if thorough and not reason_if_listed:
        pytest.skip("a digest is all that protects a machine's name; a file cut short cannot be listed")
    with zipfile.ZipFile(ran[0] / "records.zip") as old:
        files = {name: old.read(name) for name in old.namelist()}
    (name,) = (name for name in files if name.endswith(file) and "beta0.75" in name)
    files[name] = change(files[name])
    if thorough:
        listed_again(files)
    with zipfile.ZipFile(tmp_path / "altered.zip", "w") as new:
        for name, content in files.items():
            new.writestr(name, content)
    found = merge.import_records(tmp_path / "altered.zip")
    assert len(found.added) == 1 and "betanone" in found.added[0].replace("beta1.5", "betanone")
    ((key, why),) = found.refused.items()
    assert "beta0.75" in key and (reason_if_listed if thorough else reason) in why
    assert [path.parent.name for path in results.glob("local/*/record.json")] == found.added


def test_records_of_other_data_are_refused(
    ran: tuple[Path, str], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.06")
    found = merge.import_records(ran[0] / "records.zip")
    assert not found.added and all("other data" in reason for reason in found.refused.values())
    assert len(found.refused) == 2


@pytest.mark.parametrize(
    "name", ["../escaped.json", "/etc/escaped.json", "runs/../../escaped/record.json", "runs/a/run.py", "notes.txt",
             "runs/a\\..\\b/record.json", "pretraining/../x.json"]
)  # fmt: skip
def test_nothing_is_written_where_an_archive_holds_other_names(name: str, results: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(DataError, match="no file of a record: nothing was imported"):
        merge.import_records(tmp_path / "bad.zip")
    assert not list(results.iterdir())
    assert not list(tmp_path.rglob("escaped*"))


def test_what_is_no_archive_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "records.zip").write_text("not a zip")
    with pytest.raises(DataError, match="cannot be read as an archive"):
        merge.import_records(tmp_path / "records.zip")


def test_wheels_are_unpacked_into_the_volumes(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with pytest.raises(DataError, match="there is no wheel"):
        list(package._wheel_files(tmp_path / "wheels", tmp_path / "scratch"))
    with zipfile.ZipFile(tmp_path / "wheels" / "extra-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("extra/__init__.py", "answer = 42\n")
    ((path, source),) = package._wheel_files(tmp_path / "wheels", tmp_path / "scratch")
    assert path == "wheels/extra-1.0-py3-none-any/extra/__init__.py"
    assert source.read_text() == "answer = 42\n"


def test_images_in_use_tables_and_lung_masks_travel_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cxr-open"
    kept = ["images/a/one.jpg", "manifest.csv", "metadata/terms.txt", "masks/ieee8023_lungVAE/one_mask.png"]
    for name in (*kept, "images/a/other.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    monkeypatch.setattr(package, "locate", lambda name: root)
    images = pd.DataFrame({"path": [str(root / kept[0])]})
    edition = Mock(images=images)
    edition.name = "open"
    assert sorted(name for name, _ in package._data_files(edition)) == sorted(f"data/cxr-open/{name}" for name in kept)


def test_a_package_is_not_written_over_other_files(tmp_path: Path) -> None:
    edition = load_edition("phantom")
    (tmp_path / "mine").write_text("")
    todo = cells("quick", "phantom", ["pilot"])[:1]
    with pytest.raises(DataError, match="holds something else"):
        package.package(todo, edition, tmp_path, LIMIT)
    with pytest.raises(DataError, match="nothing to package"):
        package.package([], edition, tmp_path / "new", LIMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
