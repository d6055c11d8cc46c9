"""The project's declarations of its environment agree with one another, and the check can fail."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from cxrlib import __version__
from tools import pins

FILES = ("pyproject.toml", "requirements.lock", "environment.yml", "CITATION.cff", "cxrlib/__init__.py")
SOURCES = ("cxrlib", "chapters", "tests", "_static", "workflow")


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of the declarations that a test may spoil."""
    (tmp_path / "cxrlib").mkdir()
    for name in FILES:
        shutil.copy(project / name, tmp_path / name)
    return tmp_path


def spoil(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"nothing to spoil in {path.name}"
    path.write_text(changed)


def test_the_project_agrees_with_itself(project: Path) -> None:
    assert pins.disagreements(project) == []


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "complaint"),
    [
        ("pyproject.toml", r'"torch>=[^"]+"', '"torch>=2.99"', "has torch"),
        ("pyproject.toml", r'"tqdm>=[^"]+"', '"tqdm>=4", "nowhere-to-be-found"', "has nowhere-to-be-found None"),
        ("requirements.lock", r"^numpy==\S+", "numpy==2.2.0", "environment.yml is not"),
        ("requirements.lock", r"^pandas==.*", "", "has pandas None"),
        ("requirements.lock", r"\A", "--index-url https://example.org/simple\n", "names a place"),
        ("requirements.lock", r"\A", "torch @ file:///opt/torch.whl\n", "names a place"),
        ("environment.yml", r"- fastai==.*", "- fastai==2.0", "environment.yml is not"),
        ("CITATION.cff", r"^version: .*", "version: 9.9", "CITATION.cff has version 9.9"),
        ("cxrlib/__init__.py", r"^__version__ = .*", '__version__ = "9.9"', "cxrlib another"),
    ],
)
def test_every_disagreement_is_found(copy: Path, name: str, pattern: str, replacement: str, complaint: str) -> None:
    spoil(copy / name, pattern, replacement)
    assert any(complaint in sentence for sentence in pins.disagreements(copy))


def test_what_is_installed_is_what_is_declared(project: Path) -> None:
    for name, requirement in pins.direct_requirements(project).items():
        if name != "setuptools":  # builds the package; a virtual environment brings its own
            assert requirement.specifier.contains(version(name), prereleases=True), (
                f"{name} {version(name)} is installed"
            )
    assert Version(version("cxrlib")) == Version(__version__)


def test_torch_and_torchvision_are_a_pair(project: Path) -> None:
    locked = pins.locked_versions(project)
    torch, torchvision = locked["torch"], locked["torchvision"]
    assert Version(torch).minor == Version(torchvision).minor - 15  # 2.11 + 0.26, 2.12 + 0.27
    assert "+" not in torch + torchvision, "a local build cannot be installed elsewhere"


def test_no_source_is_hidden_from_a_clone_by_gitignore(project: Path) -> None:
    command = ["git", "-C", str(project), "ls-files", "--others", "--ignored", "--exclude-standard", "--", *SOURCES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    hidden = [line for line in done.stdout.splitlines() if "__pycache__" not in line and not line.endswith(".pyc")]
    assert hidden == []
