"""Which installed packages the study needs and a machine with torch, pandas and scikit-learn lacks, as files.

They are copied from where they are installed, so packing needs no network. Compiled modules travel too, but serve
only a machine with the same version of Python, or any newer one where they use the stable interface (`abi3`).
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from cxrlib.paths import project_root

EXPECTED = ("torch", "torchvision", "pandas", "scikit-learn", "pyarrow", "matplotlib")
"""What the other machine must have itself, with all that these need."""

FIRST = ("fastai", "fastcore", "fasttransform", "fastprogress", "fastdownload", "plum-dispatch", "pandera", "imagehash")
"""Packages that are taken from the volume even if the other machine has them: their versions decide what training does.

The others only fill gaps: they come behind the machine's own.
"""


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Iterable[str]) -> set[str]:
    """Normal names of installed distributions that these need, directly or not, without extras."""
    found: set[str] = set()
    waiting = [normal(name) for name in names]
    while waiting:
        name = waiting.pop()
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            waiting += [normal(re.split(r"[^\w.-]", need)[0]) for need in needs if "extra ==" not in need]
    return found


def vendored() -> list[Distribution]:
    """The distributions to pack: those that running a cell imports, less what the other machine has itself.

    A fresh process imports them, so that nothing which this one has imported besides is packed.
    """
    look = "import json, sys, tools.offline_runner.target; print(json.dumps(sorted(sys.modules)))"
    search = os.pathsep.join([str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", look],
        env={**os.environ, "PYTHONPATH": search},
        check=True,
        capture_output=True,
        text=True,
    )
    known = packages_distributions()
    modules = json.loads(done.stdout.splitlines()[-1])
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    names = {normal(name) for top in tops for name in known.get(top, ())}
    names -= closure(EXPECTED) | {"cxrlib", "setuptools", "pip", "psutil"}
    return [distribution(name) for name in sorted(names)]


def files(packed: Iterable[Distribution]) -> Iterator[tuple[str, Path]]:
    """(path inside, source) of the distributions' files, licences and metadata included, compiled caches and scripts not."""
    for one in packed:
        place = "first" if normal(one.name) in FIRST else "fill"
        for file in one.files or ():
            if ".." in file.parts or "__pycache__" in file.parts or file.suffix == ".pyc" or file.is_absolute():
                continue
            source = Path(str(file.locate()))
            if source.is_file() and file.name not in ("direct_url.json", "RECORD", "INSTALLER", "REQUESTED"):
                yield f"vendor/{place}/{file.as_posix()}", source


def compiled(packed: Iterable[Distribution]) -> list[str]:
    """'name==version' of the distributions that have no pure Python stand-in for a module compiled for this Python."""
    bound = []
    for one in packed:
        names = {file.as_posix() for file in one.files or ()}
        modules = {name.partition(".cpython-")[0] for name in names if ".cpython-" in name and name.endswith(".so")}
        if any(f"{module}.py" not in names and "__mypyc" not in module for module in modules - {"yaml/_yaml"}):
            bound.append(f"{one.name}=={one.version}")  # PyYAML does without
    return bound
