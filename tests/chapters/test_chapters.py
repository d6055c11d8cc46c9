"""The notebooks themselves: their form, their parameters, nbval over each of them, and papermill's command line.

They run on the phantom edition with few phantoms, with no data, no weights and no results of the user's in sight.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from cxrlib.book.chapter import CHAPTERS
from cxrlib.parameters import Parameter
from cxrlib.paths import project_root
from tests.book import pages as book

NOTEBOOKS = sorted((project_root() / "chapters").glob("*.ipynb"))
EXPERIMENTS = project_root() / "chapters" / "05_experiments.ipynb"
SMALL = ("-p", "model", "squeezenet", "-p", "pretraining", "none", "-p", "image_size", "32", "-p", "epochs", "1")
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def parameters_cell(notebook: Path) -> nbformat.NotebookNode:
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1, f"{notebook.name} needs one cell tagged parameters"
    assert tagged[0] is cells[1], "it is the second cell, below the opening prose"
    return tagged[0]


def declaration(parameter: Parameter) -> tuple[str, str, object, str]:
    """Name, annotation, default and help as a notebook must write them.

    papermill's reader of parameters knows neither `float | None` nor a second equals sign in a line.
    """
    assert "=" not in parameter.help
    annotation = f"'Optional[{parameter.type.__name__}]'" if parameter.optional else parameter.type.__name__
    return parameter.name, annotation, parameter.default, parameter.help


def declared(source: str) -> list[tuple[str, str, object, str]]:
    """The annotated assignments of a parameters cell, each with the comment behind it."""
    lines = source.splitlines()
    found = []
    for node in ast.parse(source).body:
        assert isinstance(node, ast.AnnAssign), f"only annotated assignments may stand there: {ast.unparse(node)}"
        assert node.value is not None
        comment = lines[node.lineno - 1][node.value.end_col_offset :]
        assert comment.startswith("  # ")
        found.append(
            (ast.unparse(node.target), ast.unparse(node.annotation), ast.literal_eval(node.value), comment[4:])
        )
    return found


def test_the_table_of_contents_holds_every_notebook_and_no_other() -> None:
    assert NOTEBOOKS
    assert book.notebooks(project_root()) == NOTEBOOKS
    assert [path.stem for path in NOTEBOOKS] == sorted(CHAPTERS)
    missing = [page for page in book.toc_files(project_root()) if not list(project_root().glob(f"{page}.*"))]
    assert not missing


@every_notebook
def test_the_front_page_leads_to_the_chapter(notebook: Path) -> None:
    label = re.match(r"\((sec-[\w-]+)\)=\n# ", nbformat.read(notebook, as_version=4).cells[0].source)
    assert label, "the first cell begins with a label and the title"
    assert f"{{ref}}`{label[1]}`" in (project_root() / "index.md").read_text()


@every_notebook
def test_the_parameters_are_those_of_the_chapter(notebook: Path) -> None:
    assert declared(parameters_cell(notebook).source) == [declaration(p) for p in CHAPTERS[notebook.stem]]


@every_notebook
def test_a_notebook_is_thin_clean_and_starts_with_the_check_of_its_parameters(notebook: Path) -> None:
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
    assert re.search(rf'^study = chapter\.start\("{notebook.stem}", globals\(\)\)$', code[1].source, re.MULTILINE)
    assert any(isinstance(node, ast.Assert) for cell in code for node in ast.walk(ast.parse(cell.source))), (
        "assert something"
    )
    assert re.match(r"(\([\w-]+\)=\n)?# \S", content.cells[0].source)


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
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without data, weights or results of the user's; its cache serves every test of this file."""
    scratch = tmp_path_factory.mktemp("phantom")
    places = {f"CXR_{name.upper()}": str(scratch / name) for name in ("data", "weights", "cache", "results")}
    return {**os.environ, **places, "CXR_PHANTOM_SCALE": "0.05", "OMP_NUM_THREADS": "1"}


def run(command: list[str], shell: dict[str, str], cwd: Path, seconds: float = 600) -> subprocess.CompletedProcess[str]:
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


def nbval(notebook: Path, shell: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = [
        "--nbval-lax",
        "--nbval-cell-timeout=600",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        str(notebook.parent),
    ]
    return run([sys.executable, "-m", "pytest", "-c", os.devnull, *options, str(notebook)], shell, notebook.parent)


@pytest.mark.slow
@every_notebook
def test_nbval_runs_every_cell(notebook: Path, shell: dict[str, str]) -> None:
    done = nbval(notebook, shell)
    assert done.returncode == 0, done.stdout[-4000:]
    cells = sum(cell.cell_type == "code" for cell in nbformat.read(notebook, as_version=4).cells)
    assert f"{cells} passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["assert 1 == 2, 'on purpose'", "raise ValueError('on purpose')", "no_such_name"])
def test_nbval_fails_on_a_broken_copy(broken: str, shell: dict[str, str], tmp_path: Path) -> None:
    content = nbformat.read(project_root() / "chapters" / "04_wce.ipynb", as_version=4)
    content.cells = [*content.cells[:3], new_code_cell(broken)]
    nbformat.write(content, tmp_path / "broken.ipynb")
    done = nbval(tmp_path / "broken.ipynb", shell)
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "2 passed" in done.stdout, "the cells before it are sound"


def papermill(shell: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run([str(Path(sys.executable).with_name("papermill")), *arguments], shell, cwd)


def records(shell: dict[str, str]) -> set[Path]:
    return set(Path(shell["CXR_RESULTS"]).glob("runs/*/config.json"))


@pytest.mark.slow
def test_papermill_trains_what_it_is_told_and_leaves_a_record(shell: dict[str, str], tmp_path: Path) -> None:
    before = records(shell)
    command = (str(EXPERIMENTS), "out.ipynb", *SMALL, "-p", "beta", "1.25", "-p", "train_limit", "64")
    done = papermill(shell, tmp_path, *command)
    assert done.returncode == 0, done.stderr[-4000:]
    (record,) = records(shell) - before
    config = json.loads(record.read_text())["config"]
    assert (config["beta"], config["epochs"], config["image_size"], config["edition"]) == (1.25, 1, 32, "phantom")
    assert {"metrics.json", "history.csv", "provenance.json", "predictions.parquet"} <= {
        p.name for p in record.parent.iterdir()
    }
    started = json.loads((record.parent / "provenance.json").read_text())["started"]
    assert "synthetic" in (tmp_path / "out.ipynb").read_text(), "the phantom edition says what it is"

    again = papermill(shell, tmp_path, *command)
    assert again.returncode == 0, again.stderr[-4000:]
    assert records(shell) == before | {record}
    assert json.loads((record.parent / "provenance.json").read_text())["started"] == started, "read, not trained again"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-p", "bata", "0.75"), "unknown parameter 'bata'; did you mean 'beta'?"),
        (("-p", "beta", "-1"), "beta must be a number above 0"),
        (("-p", "beta", "high"), "beta = 'high' is not allowed"),
        (("-p", "model", "resnet5"), "model must be one of resnet50, acnn, squeezenet"),
        (("-p", "seed", "1e-3"), "seed must be a whole number"),
        (("-p", "rerun", "perhaps"), "rerun must be True or False"),
        (("-p", "protocol", "paper+checkpoint=middle"), "checkpoint = 'middle'"),
    ],
)
def test_papermill_stops_at_a_wrong_parameter(
    arguments: tuple[str, ...], sentence: str, shell: dict[str, str], tmp_path: Path
) -> None:
    before = records(shell)
    done = papermill(shell, tmp_path, str(EXPERIMENTS), "out.ipynb", *arguments)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert records(shell) == before, "nothing may be trained"


@pytest.mark.slow
@every_notebook
def test_every_chapter_knows_its_parameters_by_name(notebook: Path, shell: dict[str, str], tmp_path: Path) -> None:
    done = papermill(shell, tmp_path, str(notebook), "out.ipynb", "-p", "sede", "1")
    assert done.returncode != 0
    assert "unknown parameter 'sede'" in done.stderr


@every_notebook
def test_papermill_help_reads_as_documentation(notebook: Path, shell: dict[str, str], tmp_path: Path) -> None:
    done = papermill(shell, tmp_path, "--help-notebook", str(notebook))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for name, annotation, default, meaning in map(declaration, CHAPTERS[notebook.stem]):
        value = f'"{default}"' if isinstance(default, str) else repr(default)
        assert f"{name}: {annotation.strip(chr(39))} (default {value})" in text
        assert meaning in text


@pytest.mark.slow
def test_without_an_output_path_piped_output_is_the_notebook(shell: dict[str, str], tmp_path: Path) -> None:
    """The README's table: a pipe on standard output; the chapter itself must stay as it is."""
    before = EXPERIMENTS.read_bytes()
    command = f'exec "{Path(sys.executable).with_name("papermill")}" "{EXPERIMENTS}" {" ".join(SMALL)} -p train_limit 64 -p beta 1.25'
    read, write = os.openpty()
    try:
        done = subprocess.run(
            command,
            shell=True,
            stdin=write,
            env=shell,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        os.close(read)
        os.close(write)
    assert EXPERIMENTS.read_bytes() == before
    assert done.returncode == 0, done.stderr[-2000:]
    assert nbformat.reads(done.stdout, as_version=4).cells
    assert records(shell)


@pytest.mark.slow
def test_the_book_builds_on_phantoms(shell: dict[str, str], tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(project_root()),
        "--path-output",
        str(tmp_path),
    ]
    done = run([*command, "-W", "-n", "--keep-going"], shell, tmp_path, 1500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    book.check_book(tmp_path / "_build" / "html")
    page = (tmp_path / "_build" / "html" / "chapters" / "01_datasets.html").read_text()
    assert "synthetic" in page
