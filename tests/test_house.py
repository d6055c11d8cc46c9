"""The shape of the package: few rooms, imports that only point downwards, no circle, short modules."""

import shutil
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

from tools.book.imports import imported, modules

MOST_ENTRIES, MOST_FLOORS, MOST_LINES = 18, 14, 300


@pytest.fixture(scope="module")
def house(project: Path) -> nx.DiGraph:
    """An arrow from each module to each that it imports, within functions too; `__main__` only starts the command line."""
    known = {name: path for name, path in modules(project).items() if path.name != "__main__.py"}
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    for name, path in known.items():
        graph.add_edges_from((name, other) for other in _statements(path, known, name))
    return graph


def _statements(path: Path, known: dict[str, Path], name: str) -> set[str]:
    return imported(path.read_text(encoding="utf-8"), known, name, strings=False)


def test_the_package_has_few_rooms(project: Path) -> None:
    aside = ("__init__.py", "__main__.py", "__pycache__", "py.typed")
    entries = sorted(path.name for path in (project / "cxrlib").iterdir() if path.name not in aside)
    assert len(entries) <= MOST_ENTRIES, entries


def test_no_import_runs_in_a_circle(house: nx.DiGraph) -> None:
    assert [sorted(part) for part in nx.strongly_connected_components(house) if len(part) > 1] == []


def test_the_house_has_few_floors(house: nx.DiGraph) -> None:
    longest = nx.dag_longest_path(nx.condensation(house))
    assert len(longest) <= MOST_FLOORS, f"{len(longest)} floors"


def test_modules_are_short_and_rooms_say_what_they_are(project: Path) -> None:
    lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in modules(project).items()}
    assert {name: len(text) for name, text in lines.items() if len(text) > MOST_LINES} == {}
    assert [name for name, text in lines.items() if not text or not text[0].startswith('"""')] == []


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_imports_between_rooms_point_downwards(project: Path) -> None:
    done = lint_imports(project)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "from cxrlib.figures import style",
        "def late():\n    from cxrlib.figures.style import use_style\n    use_style()",
    ],
    ids=["at the top", "within a function"],
)
def test_a_planted_upward_import_breaks_the_contract(project: Path, tmp_path: Path, line: str) -> None:
    shutil.copytree(project / "cxrlib", tmp_path / "cxrlib", ignore=shutil.ignore_patterns("__pycache__", "*.csv*"))
    shutil.copy(project / "pyproject.toml", tmp_path)
    with (tmp_path / "cxrlib" / "paths.py").open("a") as module:
        module.write(f"\n\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "cxrlib.paths -> cxrlib.figures.style" in done.stdout
