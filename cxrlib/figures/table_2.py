"""Table II on the page: figures with their intervals beside the printed ones, each row linked to its records."""

import html
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML, display

from cxrlib.book.show import framed, show_html
from cxrlib.figures.experiments import provenance_table
from cxrlib.figures.results import COHORTS, MODELS
from cxrlib.records.record import Record

_SHOWN = {
    "sensitivity": ("sensitivity", "paper_sensitivity"),
    "specificity": ("specificity", "paper_specificity"),
    "bacc": ("bACC", "paper_bacc"),
    "accuracy": ("accuracy", "paper_ppcr"),  # what the paper's column PPCR holds
    "ppcr": ("PPCR as defined", None),
    "auroc": ("AUROC", None),
    "auprc": ("AUPRC", None),
}
"""By metric: its title, and the column of the paper's figure that stands beside it."""


def page_table(table: pd.DataFrame) -> pd.DataFrame:
    """`results.study_table` as text, a row a cell: each figure with its 95 % interval, the paper's figures beside it.

    With several seeds the standard deviation over them follows the mean. A cell without a record says so.
    """
    return pd.DataFrame([_page_row(row) for _, row in table.iterrows()])


def show_table_2(table: pd.DataFrame, name: str, source: str) -> None:
    """Display `page_table(table)`, sortable, with links to the records below and the full table as CSV."""
    printed = page_table(table)
    printed["record"] = [_links(row["records"], int(row["older"])) for _, row in table.iterrows()]
    text = printed.drop(columns="record").map(html.escape).assign(record=printed["record"])
    body = text.to_html(index=False, border=0, classes="table sortable", justify="left", escape=False)
    show_html(framed(body, frozen=list(printed).index("protocol") + 1), table, name, source)


def show_records(records: Sequence[Record]) -> None:
    """Display a folded block a record: command, config, data digest, code revision, machine and wall time."""
    blocks = []
    for record in records:
        rows = provenance_table(record)
        changed = "" if record.current else " (older training code)"
        body = rows.to_html(index=False, header=False, border=0, classes="table", justify="left")
        blocks.append(
            f'<details class="cxr-record" id="record-{html.escape(record.key)}">'
            f"<summary>{html.escape(record.key)}{changed}</summary>{body}</details>"
        )
    display(HTML("\n".join(blocks) or "<p>No run has been recorded yet.</p>"))


def _page_row(row: pd.Series) -> dict[str, str]:
    seeds = int(row["seeds"])
    figures = {}
    for name, (title, paper) in _SHOWN.items():
        figures[title] = _figure(row, name) if seeds else "–"
        if paper:
            figures["paper: PPCR" if paper == "paper_ppcr" else f"paper: {title}"] = _printed(row[paper], 4)
    return {
        "training set": COHORTS[row["cohort"]],
        "model": MODELS[row["model"]],
        "pretraining": row["pretraining"],
        "β": "–" if pd.isna(row["beta"]) else f"{row['beta']:g}",
        "protocol": row["protocol"],
        "seeds": str(seeds) if seeds else "no record",
        **figures,
        "gain %": f"{row['gain']:.2f}" if seeds else "–",
        "paper: gain %": _printed(row["paper_gain"], 2),
    }


def _figure(row: pd.Series, name: str) -> str:
    spread = row[f"{name}_sd"]
    several = "" if pd.isna(spread) else f" ± {spread:.3f}"
    if pd.isna(row[f"{name}_low"]):
        return f"{row[name]:.3f}{several}"
    return f"{row[name]:.3f}{several} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _printed(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def _links(keys: str, older: int) -> str:
    links = [f'<a href="#record-{html.escape(key)}">{html.escape(key[-12:])}</a>' for key in keys.split()]
    return " ".join(links) + (f" ({older} by older code)" if older else "")
