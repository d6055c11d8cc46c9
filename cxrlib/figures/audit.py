"""Figures of the audit: the table with its errors marked, strips of one row, a column against two definitions, sizes."""

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.analysis.audit.lattice import Row, strips
from cxrlib.analysis.audit.report import Report
from cxrlib.analysis.audit.rules import IMPOSSIBLE, LAST_DIGIT, POSSIBLE
from cxrlib.figures.style import PALETTE, PAPER_COLOUR, WIDE

STATUS_COLOURS = {POSSIBLE: PALETTE["blue"], LAST_DIGIT: PALETTE["orange"], IMPOSSIBLE: PALETTE["red"]}


def marked_cells(report: Report) -> pd.DataFrame:
    """Every printed figure with the gravest finding that names it: row, label, column, printed, status.

    A column that does not hold what its header says is marked in its header, which is row 0.
    """
    marks: dict[tuple[int, str], str] = {}
    for finding in reversed([finding for finding in report.findings if finding.severity in STATUS_COLOURS]):
        marks |= {(row, column): finding.severity for row in finding.rows or (0,) for column in finding.columns}
    columns = [*report.table.columns, *([report.table.gain] if report.table.gain else [])]
    lines = [(0, "", column, column, marks.get((0, column), POSSIBLE)) for column in columns]
    for row in report.table.rows:
        for column in columns:
            text = row.figures[column].text if column in row.figures else "–"
            lines.append((row.number, row.label, column, text, marks.get((row.number, column), POSSIBLE)))
    return pd.DataFrame(lines, columns=["row", "label", "column", "printed", "status"])


def plot_marked(cells: pd.DataFrame) -> Figure:
    """The table as printed; orange figures fit only with digits cut off, red ones (or headers) cannot be true."""
    columns = list(dict.fromkeys(cells["column"]))
    figure, axis = plt.subplots(figsize=(11.0, 0.27 * (cells["row"].max() + 3)))
    for cell in cells.itertuples():
        colour, marked = STATUS_COLOURS[cell.status], cell.status != POSSIBLE
        fill, line = ((*colour, 0.35), "-") if cell.status == IMPOSSIBLE else ("none", "--")
        box = {"facecolor": fill, "edgecolor": colour, "linestyle": line, "pad": 2} if marked else None
        style = {"fontsize": 9, "weight": "normal" if cell.row else "bold"}
        axis.text(columns.index(cell.column), -cell.row, cell.printed, style, ha="center", va="center", bbox=box)
    _label_rows(axis, cells[cells["row"] > 0])
    axis.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-cells["row"].max() - 0.6, 0.6), xticks=[])
    axis.grid(False)
    for status, fill in ((IMPOSSIBLE, STATUS_COLOURS[IMPOSSIBLE]), (LAST_DIGIT, "none")):
        axis.plot([], [], "s", color=STATUS_COLOURS[status], mfc=fill, label=status)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize=9)
    sns.despine(figure, left=True, bottom=True)
    return figure


def plot_intervals(rates: pd.DataFrame) -> Figure:
    """Rates of `Report.rates_table` by row with exact intervals; a cross marks a figure that no count gives."""
    columns = list(dict.fromkeys(rates["column"]))
    size = (11.0, 0.28 * rates["row"].nunique() + 1.4)
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, column in zip(axes[0], columns, strict=True):
        for status, colour in STATUS_COLOURS.items():
            part = rates[(rates["column"] == column) & (rates["status"] == status)]
            axis.hlines(-part["row"], part["low"], part["high"], color=colour, linewidth=2, alpha=0.6)
            for some, marker, label in ((part[part["k"].notna()], "o", status), (part[part["k"].isna()], "X", "_")):
                axis.plot(some["value"], -some["row"], marker, color=colour, markersize=6, label=label)
        axis.set(xlabel=column, ylim=(-rates["row"].max() - 0.6, -0.4))
    _label_rows(axes[0, 0], rates)
    axes[0, -1].legend(loc="lower left", fontsize=9, title="row as printed", title_fontsize=9)
    return figure


def strips_table(row: Row, columns: Mapping[str, str]) -> pd.DataFrame:
    """The TN that each printed figure of a row allows at each TP: column, tp, first, last; empty if first > last."""
    parts = []
    for header, (first, last) in strips(row, columns).items():
        ends = {"tp": np.arange(len(first)), "first": first.clip(0), "last": last.clip(None, row.negatives)}
        parts.append(pd.DataFrame({"column": f"{header} {row.figures[header].text}", **ends}))
    return pd.concat(parts, ignore_index=True)


def plot_strips(table: pd.DataFrame, row: Row) -> Figure:
    """Confusion matrices as lattice points: those each printed figure allows; a row is possible where all meet."""
    figure, axis = plt.subplots(figsize=WIDE)
    allowed = table[table["first"] <= table["last"]]
    bands = allowed[allowed["last"] - allowed["first"] < row.negatives / 4]
    low, high = (bands["first"].min(), bands["last"].max()) if len(bands) else (0, row.negatives)
    for i, column in enumerate(table["column"].unique()):
        part = allowed[allowed["column"] == column]
        if part.empty:
            axis.plot([], [], "x", color=f"C{i}", label=f"{column}: no matrix")
        elif (part["last"] - part["first"]).max() >= row.negatives / 4:
            axis.vlines(part["tp"], part["first"], part["last"], color=f"C{i}", linewidth=3, alpha=0.5, label=column)
        else:
            middle = (part["first"] + part["last"]) / 2
            axis.plot(part["tp"], middle, "o", color=f"C{i}", markersize=9 - 2 * i, mfc="none", mew=1.5, label=column)
    room = max(10.0, 0.05 * (high - low))
    axis.set(xlabel="true positives", ylabel="true negatives", ylim=(low - room, high + room))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_definition(points: pd.DataFrame, labels: Mapping[str, str], marked: Iterable[int] = ()) -> Figure:
    """A printed column (`printed`) against other columns of `points`, by name in `labels`; rows to mark by number."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.4), layout="constrained")
    for axis in (left, right):
        axis.axline((0, 0), slope=1, color=PALETTE["grey"], linewidth=1, linestyle="--")
        for (name, label), colour, marker in zip(labels.items(), ("orange", "blue"), "so", strict=True):
            axis.plot(points[name], points["printed"], marker, color=PALETTE[colour], mfc="none", mew=1.5, label=label)
        axis.set(xlabel="from the row's own rates", ylabel="as printed", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    left.legend(loc="center")
    nearest = list(labels)[-1]
    for line in points[points["row"].isin(list(marked))].to_dict("records"):
        right.plot(line[nearest], line["printed"], "x", color=STATUS_COLOURS[IMPOSSIBLE], markersize=9, mew=2)
        where = {"xy": (line[nearest], line["printed"]), "xytext": (9, -4), "textcoords": "offset points"}
        right.annotate(f"row {line['row']}", **where, fontsize=10)
    low, high = points[[nearest, "printed"]].min().min(), points[[nearest, "printed"]].max().max()
    room = 0.05 * max(high - low, 0.01)
    right.set(xlim=(low - room, high + 5 * room), ylim=(low - room, high + room), title="enlarged")
    return figure


def plot_sizes(table: pd.DataFrame, row: Row | None) -> Figure:
    """Test sets that would explain an impossible row, by `reading`; the stated size and the nearest are marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    axis.set(xlabel="positive test images", ylabel="negative test images")
    if row is None or table.empty:
        axis.text(0.5, 0.5, "no row needs, or has, another test set", ha="center", transform=axis.transAxes)
        return figure
    for i, (reading, part) in enumerate(reversed(list(table.groupby("reading", sort=False)))):  # the stricter on top
        colour, best = PALETTE[("sky", "blue")[i % 2]], part.loc[part["distance"].idxmin()]
        label = f"{reading}: {len(part):,} sizes"
        axis.plot(part["positives"], part["negatives"], ".", color=colour, markersize=3, label=label)
        style = {"color": colour, "mfc": "none", "ms": 14 - 5 * i, "mew": 2}
        label = f"nearest of these: {best['positives']:,} + {best['negatives']:,}"
        axis.plot(best["positives"], best["negatives"], "os"[i % 2], label=label, **style)
    label = f"stated: {row.positives:,} + {row.negatives:,}"
    axis.plot(row.positives, row.negatives, "x", color=PAPER_COLOUR, markersize=10, mew=2, label=label)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _label_rows(axis: Axes, table: pd.DataFrame) -> None:
    rows = table.drop_duplicates("row")
    short = [label if len(label) <= 60 else f"… {label[-58:]}" for label in rows["label"]]
    axis.set_yticks(-rows["row"], [f"{row}  {text}" for row, text in zip(rows["row"], short, strict=True)], fontsize=8)
