"""What a run's parameters say of themselves, written where people read it: `python -m tools.readme`.

The README's table, and the parameters cell of every chapter, from the models in `config` and `book.chapter`.
"""

from pathlib import Path

import nbformat

from cxrlib.book.chapter import CHAPTERS
from cxrlib.config import Parameters, RunParameters, declarations
from cxrlib.paths import project_root
from cxrlib.storage import atomic_path

BEGIN, END = "<!-- parameters: written by python -m tools.readme -->", "<!-- end of parameters -->"


def parameter_table() -> str:
    """The parameters of a run as a Markdown table: name, default, allowed, meaning."""
    rows = [f"| `{p.name}` | `{p.default}` | {p.allowed} | {p.description} |" for p in declarations(RunParameters)]
    return "\n".join(["| parameter | default | allowed | meaning |", "|---|---|---|---|", *rows])


def with_table(text: str) -> str:
    """`text` (a README) with the table between its two markers; raises ValueError if it has no markers."""
    head, _, rest = text.partition(BEGIN)
    _, marker, tail = rest.partition(END)
    if not marker:
        raise ValueError(f"the README must hold the two markers {BEGIN} and {END}.")
    return f"{head}{BEGIN}\n\n{parameter_table()}\n\n{END}{tail}"


def parameter_cell(model: type[Parameters]) -> str:
    """A chapter's parameters cell, an annotated assignment a line, in the form that papermill's reader understands."""
    lines = []
    for p in declarations(model):
        annotation = f'"{p.annotation}"' if p.annotation.startswith("Optional") else p.annotation
        default = f'"{p.default}"' if isinstance(p.default, str) else repr(p.default)
        lines.append(f"{p.name}: {annotation} = {default}  # {p.description}")
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    if text != path.read_text(encoding="utf-8"):
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the README's table and every chapter's parameters cell."""
    readme = project_root() / "README.md"
    _write(readme, with_table(readme.read_text(encoding="utf-8")))
    for name, model in CHAPTERS.items():
        path = project_root() / "chapters" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        if cell.source != parameter_cell(model):
            cell.source = parameter_cell(model)
            _write(path, nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    main()
