"""`python -m tools.offline_runner.package`: the missing cells of the study with all they need, in volumes of a limited size."""

import argparse
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from cxrlib.cli.options import add_selection
from cxrlib.data.editions import COLLECTIONS, Edition
from cxrlib.data.masks import MASK_FOLDER
from cxrlib.data.readers import locate
from cxrlib.data.readers.base import IMAGE_SUFFIXES
from cxrlib.errors import CxrError, DataError, WeightsError
from cxrlib.networks.weights import imagenet_file
from cxrlib.paths import project_root
from cxrlib.records.provenance import code_revision
from cxrlib.storage import atomic_path
from cxrlib.training.grid import Cell
from cxrlib.training.study import missing, selected
from tools.offline_runner import bootstrap, vendor
from tools.offline_runner.volumes import INDEX, pack, write_index

COMMAND = "run_study.py"


def package(
    todo: Sequence[Cell],
    edition: Edition,
    output: Path,
    limit: int,
    wheels: Path | None = None,
    precision: str = "auto",
) -> dict[str, Any]:
    """Write the volumes of the cells `todo`, the command `run_study.py` and the index into `output`; returns the index.

    `limit`: bytes a volume may have. `wheels`: a folder of wheels for the other machine's Python, unpacked into the
    volumes. `precision`: of the cells, "auto" where the other machine's hardware decides. Raises DataError if there is nothing to run, `output` holds something else or `limit` is too small, and
    WeightsError if ImageNet weights that a cell needs are not on this machine.
    """
    edition.require_images()
    if not todo:
        raise DataError("no cell is missing: there is nothing to package.")
    if output.exists() and any(output.iterdir()) and not (output / INDEX).is_file():
        raise DataError(f"the folder {output} holds something else: name a new one with --output.")
    output.mkdir(parents=True, exist_ok=True)
    (output / INDEX).unlink(missing_ok=True)
    for old in (*output.glob("code-*.zip"), *output.glob("data-*.zip"), *output.glob("weights-*.zip")):
        old.unlink()
    packed = vendor.vendored()
    with tempfile.TemporaryDirectory() as scratch:
        sources = {
            "code": [*_package_files(), *vendor.files(packed), *_wheel_files(wheels, Path(scratch))],
            "data": list(_data_files(edition)),
            "weights": list(_weight_files(todo)),
        }
        written = {name: pack(files, output, name, limit) for name, files in sources.items()}
    index = {
        "volumes": [volume for part in written.values() for volume in part["volumes"]],
        "joined": {path: whole for part in written.values() for path, whole in part["joined"].items()},
        "cells": [cell.config.model_dump() for cell in todo],
        "precision": precision,
        "edition": edition.name,
        "licences": edition.licences,
        "data": edition.digest,
        "phantom_scale": os.environ.get("CXR_PHANTOM_SCALE", ""),
        "code_revision": code_revision(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "compiled": _compiled(packed),
    }
    with atomic_path(output / COMMAND) as part:
        shutil.copyfile(bootstrap.__file__, part)
    write_index(output, index)
    return index


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.offline_runner.package`; returns 2 after an error, which is printed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.offline_runner.package", description=__doc__.partition(":")[2]
    )
    add_selection(parser, "full")
    parser.add_argument("--output", type=Path, default=Path("package"), help="folder for the volumes")
    parser.add_argument("--size-limit-mib", type=float, default=64.0, help="size that no volume exceeds")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for the other machine's version of Python")
    arguments = parser.parse_args(argv)
    try:
        edition, planned = selected(arguments)
        todo, _ = missing(planned, edition)
        limit = int(arguments.size_limit_mib * 2**20)
        index = package(todo, edition, arguments.output, limit, arguments.wheels, arguments.precision)
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for volume in index["volumes"]:
        print(f"{volume['name']:16} {volume['bytes'] / 2**20:7.1f} MiB  sha256 {volume['sha256'][:16]}")
    print(f"{edition.short}, profile {arguments.profile}: {len(todo)} of {len(planned)} cells to run")
    print(f"copy the folder {arguments.output} to the other machine and run there:")
    print(f"  python3 {arguments.output.name}/{COMMAND} --seconds 600 --output study")
    print("then bring study/records.zip back and run here:\n  make import-records FILE=records.zip")
    if index["compiled"] and not arguments.wheels:
        pinned = " ".join(index["compiled"].values())
        print(
            f"unless the other machine has Python {index['python']}, or these packages itself, get them for its version first"
            f" (3.12 for example) and package again with --wheels wheels:\n  pip download --no-deps --only-binary=:all:"
            f" --python-version 3.12 --platform manylinux_2_17_x86_64 --dest wheels {pinned}"
        )
    return 0


def _package_files() -> Iterator[tuple[str, Path]]:
    """The package `cxrlib` and this one, as they lie here, and the package's metadata."""
    root = project_root()
    for path in (
        root / "tools/__init__.py",
        *sorted(root.glob("cxrlib/**/*")),
        *sorted(root.glob("tools/offline_runner/*")),
    ):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path.relative_to(root).as_posix(), path
    about = distribution("cxrlib")  # its metadata, where a version may be asked for
    for file in about.files or ():
        source = Path(str(file.locate()))
        if file.name == "METADATA" and source.is_file():
            yield f"cxrlib-{about.version}.dist-info/METADATA", source


def _data_files(edition: Edition) -> Iterator[tuple[str, Path]]:
    """The images of the edition, every table of its collections and their lung masks, where they lie under the data root."""
    used = {str(path) for path in edition.images["path"]}
    for name in COLLECTIONS[edition.name]:
        root = locate(name) if edition.name != "phantom" else None
        if root is None:
            continue
        masks = [root / MASK_FOLDER[name]] if name in MASK_FOLDER else []
        for path in sorted(root.rglob("*")):
            beside = path.suffix.lower() not in IMAGE_SUFFIXES or path.parent in masks
            if path.is_file() and (beside or str(path.absolute()) in used):
                yield f"data/{root.name}/{path.relative_to(root).as_posix()}", path


def _weight_files(todo: Sequence[Cell]) -> Iterator[tuple[str, Path]]:
    for model in sorted({cell.config.model for cell in todo if cell.config.pretraining.startswith("imagenet")}):
        path = imagenet_file(model)
        if path is None:
            raise WeightsError(
                f"there are no ImageNet weights of {model} here: set CXR_WEIGHTS to a folder that holds them."
            )
        yield (f"weights/{path.name}" if path.suffix == ".safetensors" else f"torch/hub/checkpoints/{path.name}"), path


def _wheel_files(wheels: Path | None, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Files of the wheels, each in a folder of its own."""
    if wheels is None:
        return
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise DataError(f"there is no wheel in {wheels}: run the pip download line that the command prints first.")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch / wheel.stem)
        for path in sorted((scratch / wheel.stem).rglob("*")):
            if path.is_file():
                yield f"wheels/{path.relative_to(scratch).as_posix()}", path


def _compiled(packed: Sequence[Distribution]) -> dict[str, str]:
    """Module and 'name==version' of what is compiled for this Python alone."""
    return {pinned.partition("==")[0].replace("-", "_"): pinned for pinned in vendor.compiled(packed)}


if __name__ == "__main__":
    sys.exit(main())
