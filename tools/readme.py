"""The README's table of parameters, written from the model of a run's parameters (`python -m tools.readme`)."""

from pathlib import Path

from cxrlib.config import RunParameters, declarations
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


def update(readme: Path) -> None:
    """Write the table into `readme`."""
    text = with_table(readme.read_text(encoding="utf-8"))
    with atomic_path(readme) as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update(project_root() / "README.md")
