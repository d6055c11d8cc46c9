"""`python -m cxrlib own DATA`: chapter 11 on a folder of images, kept as a report that reads without a notebook."""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib import errors
from cxrlib.cli.check import STATUS
from cxrlib.config import RunParameters, checked
from cxrlib.errors import CxrError, ParameterError
from cxrlib.paths import project_root
from cxrlib.storage import atomic_path

CHAPTER = "11_your_own"
BOOK_ONLY = "book-only"  # tag of the cells that explain the chapter and are left out of a report


def own(data: str, report: Path, positive: str | None, parameters: list[str]) -> int:
    """Check what can be checked in seconds, execute the chapter, write the report; the status of the data's worst verdict."""
    given, path = read_parameters(parameters), Path(data).expanduser()
    from cxrlib.analysis.new_data.run import MARKER, new_config, output_folder  # torch: no wrong parameter waits for it

    target = output_folder(str(report), data)
    new_config(**given)
    place = str(path.resolve()) if path.exists() else data
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "report"
        page = execute({**given, "data": place, "positive": positive, "output": str(made)}, Path(scratch))
        with atomic_path(target, MARKER) as part:
            shutil.copytree(made, part, ignore=shutil.ignore_patterns(MARKER))
            (part / "index.html").write_text(page, encoding="utf-8")
        verdicts = set(pd.read_csv(made / "check.csv")["verdict"])
    print(f"report: {report / 'index.html'}")
    return next(STATUS[name] for name in ("error", "warning", "OK") if name in verdicts)


def read_parameters(texts: list[str]) -> dict[str, Any]:
    """The values of `-p NAME=VALUE`, read as papermill reads them and checked; ParameterError for anything else."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in ("data", "positive", "output"):
            raise ParameterError(f"-p {text} is not allowed: write NAME=VALUE with a parameter of a run.")
        values[name] = _value(value)
    checked(RunParameters, values)
    return values


def _value(text: str) -> Any:
    """`text` as None, a truth value, a whole number, a number or itself."""
    for kind in ({"None": None, "True": True, "False": False}.__getitem__, int, float):
        try:
            return kind(text)
        except (KeyError, ValueError):
            continue
    return text


def execute(values: dict[str, Any], scratch: Path) -> str:
    """Run the chapter without its explanations under `values`; its page as HTML. Raises what the chapter raised on purpose."""
    import nbformat
    import papermill
    from docutils.core import publish_string
    from myst_nb.docutils_ import Parser

    def tagged(cell: Any, tag: str) -> bool:
        return tag in cell.metadata.get("tags", [])

    notebook = nbformat.read(project_root() / "chapters" / f"{CHAPTER}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not tagged(cell, BOOK_ONLY)]
    nbformat.write(notebook, scratch / "chapter.ipynb")
    try:
        done = papermill.execute_notebook(
            scratch / "chapter.ipynb", scratch / "done.ipynb", values, kernel_name="python3", progress_bar=False,
            stderr_file=sys.stderr, cwd=str(project_root() / "chapters"),
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        kind = getattr(errors, error.ename, None)
        if isinstance(kind, type) and issubclass(kind, CxrError):
            raise kind(error.evalue) from None
        raise
    glued = {}
    for output in (output for cell in done.cells for output in cell.get("outputs", [])):
        name = output.get("metadata", {}).get("scrapbook", {}).get("name", "")
        glued[name.split("__")[-1]] = str(next(iter(output.get("data", {}).values()), "")).strip("'\"")
    done.cells = [cell for cell in done.cells if not tagged(cell, "remove-cell")]
    for cell in done.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, glued)
        else:
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
    settings = {
        "nb_execution_mode": "off", "nb_remove_code_source": True, "nb_output_folder": str(scratch), "image_loading": "embed",
        "output_encoding": "unicode", "report_level": 4, "_disable_config": True,
    }  # fmt: skip
    source, name = nbformat.writes(done), str(scratch / "done.ipynb")
    return str(publish_string(source, name, parser=Parser(), writer_name="html5", settings_overrides=settings))


def plain(text: str, glued: dict[str, str]) -> str:
    """Markdown of the book as any reader of Markdown takes it: glued values put in, labels and references taken out."""
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    text = re.sub(r"\{glue:text\}`([\w-]+)(?::[^`]*)?`", lambda hit: glued.get(hit[1], ""), text)
    return re.sub(r" ?\(?\{(?:ref|numref|eq|cite:[tp])\}`[^`]*`\)?", "", text)
