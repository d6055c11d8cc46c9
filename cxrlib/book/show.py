"""Show a figure or a table with its provenance and its data as a CSV download inside the page; glue numbers into prose."""

import base64
import html
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure
from myst_nb import glue


def show_figure(figure: Figure, data: pd.DataFrame, name: str, source: str) -> None:
    """Display `figure` and, under it, `source` (data, protocol, seeds, image size and machine in one line) and `data` as CSV.

    `name` is the file name of the download without its ending; it travels inside the page, which needs no server.
    """
    display(figure)
    plt.close(figure)
    display(HTML(source_line(data, name, source)))


def glue_all(values: Mapping[str, Any]) -> None:
    """Give every value its name for `{glue:text}` in the prose, without displaying it."""
    for name, value in values.items():
        glue(name, value.item() if isinstance(value, np.generic) else value, display=False)


def show_table(table: pd.DataFrame, name: str, source: str, digits: int = 4, frozen: int = 0, fold: str = "") -> None:
    """Display `table` (sortable by its headers in the rendered page), its provenance and its CSV.

    A figure and its interval share a column; the CSV keeps full precision and every column. `frozen`: of a wide table, the
    number of first columns that stay in view. `fold`: a title under which a long table is folded away.
    """
    with pd.option_context("display.max_colwidth", None):
        body = printed(table, digits).to_html(index=False, border=0, classes="table sortable", justify="left")
    body = framed(body, frozen)
    show_html(folded(body, fold), table, name, source)


def folded(body: str, title: str) -> str:
    """`body` folded away under `title`; as it is where there is no title."""
    return f'<details class="cxr-fold"><summary>{html.escape(title)}</summary>{body}</details>' if title else body


def framed(table: str, frozen: int = 0) -> str:
    """The HTML of a table in a frame in which it scrolls; `frozen` as in `show_table`."""
    wide = f' cxr-wide" data-frozen="{frozen}' if frozen else ""
    return f'<div class="cxr-table{wide}">{table}</div>'


def printed(table: pd.DataFrame, digits: int) -> pd.DataFrame:
    """`table` as text; a column with companions `_low` and `_high` (or ` low`, ` high`) takes them in as [low, high]."""
    text = table.map(lambda value: figure_text(value, digits))
    for name in table.columns:
        for gap in "_ ":
            low, high = f"{name}{gap}low", f"{name}{gap}high"
            if {low, high} <= set(text.columns):
                known = table[[low, high]].notna().all(axis=1)
                text[name] += (" [" + text[low] + ", " + text[high] + "]").where(known, "")
                text = text.drop(columns=[low, high])
    return text.rename(columns=lambda name: str(name).replace("_", " "))


def show_html(body: str, data: pd.DataFrame, name: str, source: str) -> None:
    """Display HTML of one's own and, under it, what it was made from and `data` as CSV, as `show_figure` does."""
    display(HTML(body + source_line(data, name, source)))


def figure_text(value: object, digits: int) -> str:
    """A value of a table as it is printed: a float with `digits` decimals, a missing one as an en dash."""
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def source_line(data: pd.DataFrame, name: str, source: str) -> str:
    """The line under a figure or table: its source, and `data` as a download of this name, whole within the page."""
    text = data.to_csv(index=not isinstance(data.index, pd.RangeIndex))
    payload = base64.b64encode(text.encode()).decode()
    return (
        f'<p class="cxr-source">{html.escape(source)} · '
        f'<a download="{html.escape(name)}.csv" href="data:text/csv;base64,{payload}">data (CSV)</a></p>'
    )
