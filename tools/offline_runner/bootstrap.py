"""Run the missing cells of a packaged study: python3 run_study.py --volumes FOLDER --seconds 600

Needs nothing but Python's own library to start. Checks every volume, unpacks them once, runs the cells that are
missing, and leaves one archive of records. Run it again to go on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

START = time.monotonic()
EXPECTED = {
    "torch": "torch", "torchvision": "torchvision", "pandas": "pandas", "sklearn": "scikit-learn", "pyarrow": "pyarrow",
    "matplotlib": "matplotlib", "numpy": "numpy", "scipy": "scipy", "PIL": "pillow",
}  # fmt: skip


def stop(sentence: str) -> NoReturn:
    """End with one sentence on standard error and exit status 2."""
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def sha256(path: Path) -> str:
    """SHA-256, in hexadecimal, of a file's bytes."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def read_index(folder: Path) -> tuple[dict[str, Any], str]:
    """The index of a folder of volumes, every volume checked against it, and the index's own digest."""
    path = folder / "volumes.json"
    try:
        content = path.read_bytes()
        index = json.loads(content)
        volumes = index["volumes"]
    except OSError:
        stop(f"there is no volumes.json in {folder}: copy the whole folder that was packaged.")
    except (ValueError, KeyError, TypeError):
        stop("volumes.json is damaged: copy it again.")
    for volume in volumes:
        path = folder / volume["name"]
        if not path.is_file():
            stop(f"the volume {volume['name']} is missing: copy it to {folder}.")
        if path.stat().st_size != volume["bytes"] or sha256(path) != volume["sha256"]:
            stop(f"the volume {volume['name']} is damaged: copy it again.")
    return index, hashlib.sha256(content).hexdigest()[:12]


def unpack(folder: Path, index: dict[str, Any], target: Path) -> None:
    """Unpack every volume into `target`, in one step, and join the files that were cut."""
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking.", dir=target.parent))
    try:
        part = scratch / "files"
        for volume in index["volumes"]:
            with zipfile.ZipFile(folder / volume["name"]) as archive:
                archive.extractall(part)
        for name, whole in index["joined"].items():
            pieces = [part / f"{name}.part{number:03}" for number in range(whole["parts"])]
            with open(part / name, "wb") as file:
                for piece in pieces:
                    with open(piece, "rb") as source:
                        shutil.copyfileobj(source, file)
                    piece.unlink()
            if sha256(part / name) != whole["sha256"]:
                stop(f"the file {name} is damaged after joining its parts: copy the volumes again.")
        os.replace(part, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fits(wheel: str, version: tuple[int, int] = sys.version_info[:2]) -> bool:
    """Whether a wheel of this name serves a version of Python (name-version[-build]-python-abi-platform)."""
    python, abi, _ = wheel.split("-")[-3:]
    return abi in ("none", "abi3") or f"cp{version[0]}{version[1]}" in python.split(".")


def check_packages(index: dict[str, Any]) -> None:
    """Stop with one sentence if this Python lacks what the volumes do not bring."""
    if sys.version_info < (3, 11):  # noqa: UP036 (it may be started by any Python)
        stop(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}: start it with a newer one.")
    gone = [name for module, name in EXPECTED.items() if find_spec(module) is None]
    if gone:
        stop(f"this Python lacks {', '.join(gone)}: install them or use a Python that has them.")
    bound = []
    for module, pinned in index["compiled"].items():
        try:
            __import__(module)
        except ImportError:
            bound.append(pinned)
    if bound:
        version = ".".join(map(str, sys.version_info[:2]))
        stop(
            f"the volumes hold {', '.join(bound)} compiled for Python {index['python']}, this is {version}: get them "
            f"with 'pip download --no-deps --only-binary=:all: --python-version {version} --platform "
            f"manylinux_2_17_x86_64 --dest wheels {' '.join(bound)}' and package again with --wheels wheels."
        )


def main() -> None:
    """Check, unpack, and hand over to the unpacked package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--volumes", type=Path, default=Path(__file__).resolve().parent, help="folder of the volumes")
    parser.add_argument("--seconds", type=float, help="stop in good order before this many seconds have passed")
    parser.add_argument("--output", type=Path, default=Path("study"), help="folder for records and records.zip")
    parser.add_argument("--work", type=Path, help="folder for what is unpacked and cached (default: OUTPUT/work)")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    work = (arguments.work or output / "work").resolve()
    index, name = read_index(arguments.volumes.resolve())
    files = work / f"files-{name}"
    unpack(arguments.volumes.resolve(), index, files)
    sys.path.insert(0, str(files / "vendor" / "first"))
    sys.path.insert(0, str(files))
    sys.path += [str(path) for path in sorted((files / "wheels").glob("*")) if fits(path.name)]
    sys.path.append(str(files / "vendor" / "fill"))
    places = {
        "DATA": files / "data",
        "WEIGHTS": files / "weights",
        "CACHE": work / "cache",
        "RESULTS": output / "results",
    }
    os.environ.update({f"CXR_{key}": str(path) for key, path in places.items()})
    os.environ["TORCH_HOME"] = str(files / "torch")
    os.environ.setdefault("MPLCONFIGDIR", str(work / "matplotlib"))
    if index["phantom_scale"]:
        os.environ["CXR_PHANTOM_SCALE"] = index["phantom_scale"]
    check_packages(index)
    from tools.offline_runner.target import run_missing

    limit = None if arguments.seconds is None else START + arguments.seconds
    raise SystemExit(run_missing(index, output, limit))


if __name__ == "__main__":
    main()
