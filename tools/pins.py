"""The direct dependencies in three places (pyproject, lock, conda) and the version in two: do they agree?

`python -m tools.pins` writes `environment.yml` from the other two; `disagreements` is what a test asserts empty.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from cxrlib.paths import project_root
from cxrlib.storage import atomic_path

PYTHON = "3.11"  # of the lock and of the conda environment
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)
_ELSEWHERE = re.compile(
    r"^\s*(?:--(?:index-url|extra-index-url|find-links)\b.*|\S*\s*@\s*\S+|.*\b(?:https?|file)://.*)$", re.MULTILINE
)


def direct_requirements(root: Path) -> dict[str, Requirement]:
    """The direct dependencies by canonical name, extras included, as `pyproject.toml` declares them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, texts)}


def locked_versions(root: Path) -> dict[str, set[str]]:
    """Version or versions (where they depend on the platform) of every package in `requirements.lock`."""
    found: dict[str, set[str]] = {}
    for name, version in _PIN.findall((root / "requirements.lock").read_text()):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def conda_environment(root: Path) -> dict[str, Any]:
    """The content of `environment.yml`: Python, pip and the lock's versions of the direct dependencies."""
    locked = locked_versions(root)
    pins = [
        f"{name}=={version}" for name in sorted(direct_requirements(root)) for version in sorted(locked.get(name, ()))
    ]
    return {
        "name": "cxrlib",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={PYTHON}", "pip", {"pip": [*pins, "-e ."]}],
    }


def write_environment(root: Path) -> Path:
    """Write `environment.yml` from `pyproject.toml` and the lock; returns its path."""
    target = root / "environment.yml"
    with atomic_path(target) as part:
        note = "# Written by `make lock`: the direct dependencies of pyproject.toml at the versions of requirements.lock.\n"
        part.write_text(note + yaml.safe_dump(conda_environment(root), sort_keys=False))
    return target


def disagreements(root: Path) -> list[str]:
    """One sentence for each thing on which the project's files disagree; empty if they agree."""
    locked = locked_versions(root)
    wrong = []
    for name, requirement in direct_requirements(root).items():
        versions = locked.get(name, set())
        if len(versions) != 1:
            wrong.append(f"requirements.lock holds {len(versions)} versions of {name}: run `make lock`.")
        wrong += [
            f"requirements.lock has {name} {version}, but pyproject.toml allows {requirement.specifier}."
            for version in versions
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    wrong += [
        f"requirements.lock names a place, not a version: {line.strip()}"
        for line in _ELSEWHERE.findall((root / "requirements.lock").read_text())
    ]
    wrong += _conda_disagreements(root)
    citation = yaml.safe_load((root / "CITATION.cff").read_text())["version"]
    package = re.search(r'^__version__ = "(.+)"$', (root / "cxrlib" / "__init__.py").read_text(), re.MULTILINE)
    if package is None or str(citation) != package[1]:
        wrong.append(f"CITATION.cff has version {citation}, cxrlib {package[1] if package else 'none'}.")
    return wrong


def _conda_disagreements(root: Path) -> list[str]:
    found, expected = yaml.safe_load((root / "environment.yml").read_text()), conda_environment(root)
    python = SpecifierSet(tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"])
    wrong = (
        []
        if python.contains(Version(PYTHON))
        else [f"pyproject.toml allows Python {python}, the lock is for {PYTHON}."]
    )
    if found == expected:
        return wrong
    have, want = (set(_flat(environment)) for environment in (found, expected))
    changed = [f"environment.yml has {text}, which the lock does not." for text in sorted(have - want)]
    changed += [f"environment.yml lacks {text}: run `make lock`." for text in sorted(want - have)]
    return wrong + (changed or ["environment.yml is not what `make lock` writes."])


def _flat(environment: dict[str, Any]) -> list[str]:
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    return plain + [text for entry in environment["dependencies"] if isinstance(entry, dict) for text in entry["pip"]]


if __name__ == "__main__":
    print(write_environment(project_root()))
