"""Table II on the page: figures with their intervals beside the printed ones, and every record's provenance folded below."""

import html
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML, display

from cxrlib.analysis.experiments import provenance_table
from cxrlib.book.show import folded, framed, show_html
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

SHOWN = {
    "within_source": (None, "within source"),
    "source_among_negatives": (None, "source among negatives"),
    "sensitivity": ("paper_sensitivity", "sensitivity"),
    "specificity": ("paper_specificity", "specificity"),
    "bacc": ("paper_bacc", "bACC"),
    "accuracy": ("paper_ppcr", "accuracy"),  # what the paper's column PPCR holds
    "ppcr": (None, "PPCR as defined"),
    "auroc": (None, "AUROC"),
    "auprc": (None, "AUPRC"),
}
"""By metric: the column of the paper's figure that stands beside it, and its title."""
BRIEF = ("bacc", "auroc", "within_source", "source_among_negatives")
"""The columns of the short form, on the index page."""


def page_table(table: pd.DataFrame, metrics: Sequence[str] = tuple(SHOWN)) -> pd.DataFrame:
    """`analysis.experiments.table_2` as text, a row a cell: each figure with its 95 % interval, the paper's figure beside it.

    With several seeds the standard deviation over them follows the mean. A cell that was not run, or whose network learned
    nothing, says so.
    """
    return pd.DataFrame([_page_row(row, metrics) for _, row in table.iterrows()])


def show_table_2(
    table: pd.DataFrame, file: str, source: str, metrics: Sequence[str] = tuple(SHOWN), fold: str = ""
) -> None:
    """Display `page_table(table)`, sortable, with the full table as CSV named `file`; `fold` as in `show_table`."""
    text = page_table(table, metrics)
    body = text.to_html(index=False, border=0, classes="table sortable", justify="left")
    body = framed(body, frozen=list(text).index("protocol") + 1)
    show_html(folded(body, fold), table, file, source)


def show_records(records: Sequence[Record]) -> None:
    """Display a folded block a record: command, config, data digest, code revision, machine and wall time."""
    blocks = []
    for record in records:
        body = provenance_table(record).to_html(index=False, border=0, classes="table", justify="left")
        mark = "" if record.current else " (older training code)"
        mark += f" (learned nothing: {html.escape(record.degenerate)})" if record.degenerate else ""
        blocks.append(
            f'<details class="cxr-record" id="record-{html.escape(record.key)}"><summary>{html.escape(record.key)}{mark}</summary>'
            f'<div class="cxr-table">{body}</div></details>'
        )
    display(HTML(folded("\n".join(blocks), f"All {len(blocks)} records")))


def _page_row(row: pd.Series, metrics: Sequence[str]) -> dict[str, str]:
    sound = int(row["runs"] - row["degenerate"])
    state = str(int(row["runs"])) if sound else "not run" if not row["runs"] else "learned nothing"
    figures = {}
    for metric in metrics:
        paper, title = SHOWN[metric]
        figures[title] = _figure(row, metric) if sound else "–"
        if paper:
            figures["paper: PPCR" if paper == "paper_ppcr" else f"paper: {title}"] = _printed(row[paper], 4)
    return {
        "training set": name(row["cohort"]),
        "model": name(row["model"]) + (" [3]" if row["recipe"] == "deepcovid" else ""),
        "start": name(row["pretraining"]),
        "β": beta_text(row["beta"]),
        "protocol": row["protocol"],
        "seeds": state,
        **figures,
    }


def _figure(row: pd.Series, metric: str) -> str:
    spread = row[f"{metric}_sd"]
    several = "" if pd.isna(spread) else f" ± {spread:.3f}"
    if pd.isna(row[f"{metric}_low"]):
        return _printed(row[metric], 3) + several
    return f"{row[metric]:.3f}{several} [{row[f'{metric}_low']:.3f}, {row[f'{metric}_high']:.3f}]"


def _printed(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"
