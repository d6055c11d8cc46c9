"""What the chapter on data of one's own shows besides the report: its data, the examples' code, the cost."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from cxrlib.analysis.own import extensions
from cxrlib.analysis.own.example import PLANTED, write_example
from cxrlib.records.record import Record

EXAMPLE = "example"


def data_folder(data: str) -> Path:
    """What the chapter reads: `data` as it is, or for 'example' a new folder of phantoms with problems planted."""
    if data == EXAMPLE:
        return write_example(Path(tempfile.mkdtemp(prefix="cxr-")) / EXAMPLE, PLANTED)
    return Path(data)


def clean_example() -> Path:
    """A new folder of phantoms without a planted problem, on which the extensions are run."""
    return write_example(Path(tempfile.mkdtemp(prefix="cxr-")) / "clean", patients=18)


def report_folder(output: str | None) -> Path:
    """The folder that the report goes to: `output`, or a new temporary one."""
    return Path(output).expanduser() if output else Path(tempfile.mkdtemp(prefix="cxr-")) / "report"


def banner(data: str) -> Markdown:
    """One line that says what the page's numbers are about."""
    if data == EXAMPLE:
        return Markdown(
            "**Data: the built-in example** · **all images are synthetic phantoms: no number here says anything about patients**"
        )
    return Markdown(f"**Data: {Path(data).name}**")


def files(folder: Path) -> pd.DataFrame:
    """The files of a report: file, KiB."""
    found = sorted(path for path in folder.iterdir() if path.is_file())
    return pd.DataFrame({"file": [path.name for path in found], "KiB": [path.stat().st_size / 1024 for path in found]})


def code(name: str) -> Markdown:
    """An example's code, to be shown on the page."""
    return Markdown(f"```python\n{extensions.source(name)}\n```")


def cost_table(records: Sequence[Record]) -> pd.DataFrame:
    """What the recorded runs took: model, px, machine, runs, median minutes and images a second, peak MiB."""
    columns = ["model", "px", "machine", "minutes", "images/s", "peak MiB"]
    rows = [
        (
            record.config.model,
            record.config.image_size,
            record.provenance["machine"],
            record.provenance["wall_s"] / 60,
            record.provenance["train_images_per_s"],
            record.provenance["peak_memory_mib"],
        )
        for record in records
    ]
    table = pd.DataFrame(rows, columns=columns)
    grouped = table.groupby(columns[:3])
    return grouped.median().assign(runs=grouped.size()).reset_index()[[*columns[:3], "runs", *columns[3:]]]
