"""`python -m tools.pins` writes `environment.yml` from `pyproject.toml` and the lock; a test asserts `disagreements` empty."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cxrlib.paths import project_root
from cxrlib.storage import atomic_path

PYTHON = "3.11"  # of the lock and of the conda environment


def direct_requirements(root: Path) -> dict[str, Requirement]:
    """The direct dependencies by canonical name, extras included, as `pyproject.toml` declares them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, texts)}


def locked_versions(root: Path) -> dict[str, str]:
    """The version of every package in `requirements.lock`."""
    pins = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (root / "requirements.lock").read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def conda_environment(root: Path) -> str:
    """The text of `environment.yml`: Python, pip and the lock's versions of the direct dependencies."""
    locked = locked_versions(root)
    pins = [f"{name}=={locked[name]}" for name in sorted(direct_requirements(root)) if name in locked]
    content = {
        "name": "cxrlib",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={PYTHON}", "pip", {"pip": [*pins, "-e ."]}],
    }
    note = "# Written by `make lock`: the direct dependencies of pyproject.toml at the versions of requirements.lock.\n"
    return note + yaml.safe_dump(content, sort_keys=False)


def disagreements(root: Path) -> list[str]:
    """One sentence for each thing on which the project's files disagree; empty if they agree."""
    locked, text = locked_versions(root), (root / "requirements.lock").read_text()
    wrong = [
        f"requirements.lock has {name} {locked.get(name)}, but pyproject.toml asks for {requirement}: run `make lock`."
        for name, requirement in direct_requirements(root).items()
        if name not in locked or not requirement.specifier.contains(locked[name], prereleases=True)
    ]
    places = re.findall(
        r"^\s*(?:--\w+-url\b.*|--find-links\b.*|\S+\s*@\s*\S+|.*\b(?:https?|file)://.*)$", text, re.MULTILINE
    )
    wrong += [f"requirements.lock names a place, not a version: {line.strip()}" for line in places]
    if (root / "environment.yml").read_text() != conda_environment(root):
        wrong.append("environment.yml is not what `make lock` writes.")
    citation = yaml.safe_load((root / "CITATION.cff").read_text())["version"]
    if f'__version__ = "{citation}"' not in (root / "cxrlib" / "__init__.py").read_text():
        wrong.append(f"CITATION.cff has version {citation}, cxrlib another.")
    return wrong


if __name__ == "__main__":
    with atomic_path(project_root() / "environment.yml") as part:
        part.write_text(conda_environment(project_root()))
