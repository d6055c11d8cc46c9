"""The notebooks themselves: their form, their parameters, papermill's command line, and the book of a machine without data.

Each notebook is executed once, by the build of the book, as a fresh clone without data, weights or network builds it.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

from cxrlib.book.chapter import CHAPTERS
from cxrlib.config import declarations
from cxrlib.paths import project_root
from cxrlib.storage import lock
from tests.book import pages as book
from tests.conftest import make_cache
from tools import readme

NOTEBOOKS = sorted((project_root() / "chapters").glob("*.ipynb"))
INDEX = project_root() / "index.ipynb"
EXPERIMENTS = project_root() / "chapters" / "05_experiments.ipynb"
SMALL = ("-p", "model", "squeezenet", "-p", "pretraining", "none", "-p", "image_size", "32", "-p", "epochs", "1")
PAPERMILL = Path(sys.executable).with_name("papermill")
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def parameters_cell(notebook: Path) -> nbformat.NotebookNode:
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1, f"{notebook.name} needs one cell tagged parameters"
    assert tagged[0] is cells[1], "it is the second cell, below the opening prose"
    return tagged[0]


def test_the_table_of_contents_holds_every_notebook_and_no_other() -> None:
    assert NOTEBOOKS
    assert book.notebooks(project_root()) == [INDEX, *NOTEBOOKS]
    assert [path.stem for path in NOTEBOOKS] == sorted(CHAPTERS)
    missing = [page for page in book.toc_files(project_root()) if not list(project_root().glob(f"{page}.*"))]
    assert not missing


@every_notebook
def test_the_front_page_leads_to_the_chapter(notebook: Path) -> None:
    label = re.match(r"\((sec-[\w-]+)\)=\n# ", nbformat.read(notebook, as_version=4).cells[0].source)
    assert label, "the first cell begins with a label and the title"
    assert re.search(rf"\{{ref\}}`(?:[^`<]+<)?{label[1]}>?`", INDEX.read_text(encoding="utf-8"))


@every_notebook
def test_the_parameters_are_those_of_the_chapter_and_papermill_reads_them(notebook: Path) -> None:
    """What `papermill --help-notebook` prints; a description with an equals sign, for example, it cannot read."""
    model = CHAPTERS[notebook.stem]
    assert parameters_cell(notebook).source == readme.parameter_cell(model), "run python -m tools.readme"
    found = papermill.inspect_notebook(str(notebook))
    for p in declarations(model):
        default = f'"{p.default}"' if isinstance(p.default, str) else repr(p.default)
        read = found[p.name]
        kind = read["inferred_type_name"].strip("'\"")
        assert (kind, read["default"], read["help"]) == (p.annotation, default, p.description)


@every_notebook
def test_a_notebook_is_thin_and_clean_and_checks_its_parameters_before_it_imports(notebook: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    assert (content.nbformat, content.nbformat_minor) >= (4, 5)
    assert content.metadata.kernelspec.name == "python3"
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    for cell in code:
        assert not cell.outputs, "commit without outputs: nbstripout"
        assert cell.execution_count is None
        definitions = [
            node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert not definitions, "functions belong in cxrlib"
    head = f'from cxrlib.book import chapter\n\nstudy = chapter.start("{notebook.stem}", globals())'
    assert code[1].source.replace("\n\n", "\n").startswith(head.replace("\n\n", "\n"))
    assert any(isinstance(node, ast.Assert) for cell in code for node in ast.walk(ast.parse(cell.source))), "assert"


@every_notebook
def test_the_head_shows_one_folded_bar(notebook: Path) -> None:
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert set(code[0].metadata["tags"]) == {"parameters", "remove-cell"}
    assert "hide-input" in code[1].metadata["tags"]


@every_notebook
def test_figures_have_a_name_a_caption_and_alternative_text(notebook: Path) -> None:
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and "show_figure(" in cell.source:
            options = cell.metadata.get("mystnb", {})
            figure = options.get("figure", {})
            assert figure.get("name", "").startswith("fig-"), cell.source
            assert len(figure.get("caption", "")) > 20
            assert len(options.get("image", {}).get("alt", "")) > 10


def test_figures_are_named_once() -> None:
    names = [name for notebook in NOTEBOOKS for name in book.expected_outputs(notebook).figures]
    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def shell(shared: Path) -> dict[str, str]:
    """An environment without data and weights, with a copy of the committed records; all tests of this file share it."""
    scratch = shared / "bare"
    with lock(scratch):
        if not scratch.is_dir():
            for name in ("data", "weights", "cache"):
                (scratch / name).mkdir(parents=True)
            make_cache(scratch / "cache", shared)
            keep = shutil.ignore_patterns("quick-*", "*.lock")
            shutil.copytree(project_root() / "results", scratch / "results", ignore=keep)
    places = {f"CXR_{name.upper()}": str(scratch / name) for name in ("data", "weights", "cache", "results")}
    return {**os.environ, **places, "CXR_PHANTOM_SCALE": "0.05", "OMP_NUM_THREADS": "1"}


def run(command: list[str], shell: dict[str, str], cwd: Path, seconds: float = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=shell,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def records(shell: dict[str, str]) -> set[Path]:
    return set(Path(shell["CXR_RESULTS"]).glob("local/*/record.json"))


@pytest.mark.slow
def test_papermill_trains_what_it_is_told_and_leaves_a_record(shell: dict[str, str], tmp_path: Path) -> None:
    before = records(shell)
    small = [*SMALL, "-p", "beta", "1.25", "-p", "train_limit", "64"]
    done = run([str(PAPERMILL), str(EXPERIMENTS), "out.ipynb", *small], shell, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    (record,) = (path for path in records(shell) - before if "beta1.25" in path.parent.name)
    config = json.loads(record.read_text())["config"]
    assert (config["beta"], config["epochs"], config["image_size"], config["edition"]) == (1.25, 1, 32, "phantom")
    names = {path.name for path in record.parent.iterdir()}
    assert names == {"record.json", "history.csv", "predictions.parquet"}
    started = json.loads(record.read_text())["provenance"]["started"]
    assert "synthetic" in (tmp_path / "out.ipynb").read_text(), "the phantom edition says what it is"

    # The README's table: without an output path, input a terminal, a pipe on standard output; the chapter stays as it is.
    chapter = EXPERIMENTS.read_bytes()
    read, write = os.openpty()
    try:
        command = [str(PAPERMILL), str(EXPERIMENTS), *small]
        options = {"stdin": write, "capture_output": True, "text": True, "timeout": 900, "check": False}
        again = subprocess.run(command, env=shell, cwd=tmp_path, **options)  # type: ignore[call-overload]
    finally:
        os.close(read)
        os.close(write)
    assert again.returncode == 0, again.stderr[-4000:]
    assert EXPERIMENTS.read_bytes() == chapter
    assert nbformat.reads(again.stdout, as_version=4).cells
    assert json.loads(record.read_text())["provenance"]["started"] == started, "read, not trained again"


@pytest.mark.slow
def test_papermill_stops_at_a_wrong_parameter_in_seconds(shell: dict[str, str], tmp_path: Path) -> None:
    """The other sentences are tested with the model of the parameters, by which every chapter checks its own."""
    before = records(shell)
    seconds = []
    for name, value, sentence in (
        ("bata", "0.75", "unknown parameter 'bata'; did you mean 'beta'?"),
        ("beta", "-1", "beta must be a number above 0"),
    ):
        start = time.monotonic()
        done = run([str(PAPERMILL), str(EXPERIMENTS), "out.ipynb", "-p", name, value], shell, tmp_path)
        seconds.append(time.monotonic() - start)
        assert done.returncode != 0
        assert sentence in done.stderr.strip().splitlines()[-1], done.stderr[-1000:]
    assert records(shell) == before, "nothing may be trained"
    assert min(seconds) < 5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), seconds


@pytest.fixture(scope="module")
def html(shell: dict[str, str], shared: Path) -> Path:
    """The book as a machine without data, weights and network builds it."""
    target = shared / "book"
    with lock(target):
        if not (target / "_build" / book.REPORT).is_file():
            tool = str(Path(sys.executable).with_name("jupyter-book"))
            command = [tool, "build", str(project_root()), "--path-output", str(target), "-W", "-n", "--keep-going"]
            done = run(command, shell, shared, 1500)
            assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return target / "_build" / "html"


@pytest.mark.slow
def test_the_book_of_a_bare_machine_is_whole_and_nothing_in_it_is_hollow(html: Path) -> None:
    book.check_book(html)
    assert "synthetic" in (html / "chapters" / "01_datasets.html").read_text()
    assert sorted(json.loads((html.parent / book.REPORT).read_text())["executed"]) == [
        *(f"chapters/{notebook.stem}" for notebook in NOTEBOOKS),
        "index",
    ]


@pytest.mark.slow
def test_nbval_runs_a_chapter_as_it_is_committed(shell: dict[str, str]) -> None:
    """`pytest --nbval-lax chapters/…` works for whoever works on one chapter; the book's build executes them all."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", "chapters/04_wce.ipynb"]
    done = subprocess.run(command, cwd=project_root(), env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout[-3000:]
