"""Figures of the audit: exact intervals, a column against two definitions, test-set sizes, power, wrong digits."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.audit.checks import IMPOSSIBLE, LAST_DIGIT, POSSIBLE
from cxrlib.analysis.audit.lattice import bounds, strip
from cxrlib.analysis.audit.quantities import QUANTITIES
from cxrlib.analysis.audit.report import Report
from cxrlib.analysis.audit.table import Row
from cxrlib.figures.style import PALETTE, PAPER_COLOUR, WIDE

STATUS_COLOURS = {POSSIBLE: PALETTE["blue"], LAST_DIGIT: PALETTE["orange"], IMPOSSIBLE: PALETTE["red"]}
_READINGS = {"nearest": "digits rounded", "truncated": "digits cut off", "either": "digits rounded or cut off"}


def intervals_table(report: Report, level: float = 0.95) -> pd.DataFrame:
    """The rows' proportions with their exact intervals and statuses, for `plot_intervals`.

    Adds `status` and `value` (the printed figure) to `Report.rates_table`, elementary rates only where there are any.
    """
    rates = report.rates_table(level)
    elementary = rates[rates["quantity"].isin(("sensitivity", "specificity"))]
    rates = rates if elementary.empty else elementary
    status = {verdict.row.number: verdict.status for verdict in report.verdicts}
    value = {(v.row.number, h): f.value for v in report.verdicts for h, f in v.row.figures.items()}
    keys = zip(rates["row"], rates["column"], strict=True)
    return rates.assign(status=rates["row"].map(status), value=[value[key] for key in keys]).reset_index(drop=True)


def plot_intervals(table: pd.DataFrame) -> Figure:
    """Printed rates by row with Clopper-Pearson intervals; red rows cannot be true, a cross has no count behind it."""
    columns = list(dict.fromkeys(table["column"]))
    rows = list(dict.fromkeys(zip(table["row"], table["label"], strict=True)))
    place = {number: -i for i, (number, _) in enumerate(rows)}
    size = (11.0, 0.28 * len(rows) + 1.4)
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, column in zip(axes[0], columns, strict=True):
        part = table[table["column"] == column]
        for status, colour in STATUS_COLOURS.items():
            some = part[part["status"] == status]
            y = some["row"].map(place)
            axis.hlines(y, some["low"], some["high"], color=colour, linewidth=2, alpha=0.6)
            known = some["k"].notna()
            axis.plot(some["value"][known], y[known], "o", color=colour, markersize=5, label=status)
            axis.plot(some["value"][~known], y[~known], "x", color=colour, markersize=8, markeredgewidth=2)
        axis.set(xlabel=column, ylim=(-len(rows) + 0.4, 0.6))
    axes[0, 0].set_yticks(
        [place[number] for number, _ in rows], [_short(number, label) for number, label in rows], fontsize=8
    )
    axes[0, -1].legend(loc="lower left", fontsize=9, title="row as printed", title_fontsize=9)
    return figure


def plot_definition(points: pd.DataFrame, column: str, stated: str, found: str) -> Figure:
    """A printed column against its header's definition and the one found, both from the rows' own printed rates."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.4), layout="constrained")
    for axis in (left, right):
        axis.axline((0, 0), slope=1, color=PALETTE["grey"], linewidth=1, linestyle="--")
        if found != stated:
            label = f"{_name(stated)}, as defined"
            axis.plot(points["stated"], points["printed"], "s", color=PALETTE["orange"], label=label)
        axis.plot(
            points["found"], points["printed"], "o", color=PALETTE["blue"], mfc="none", mew=1.5, label=_name(found)
        )
        axis.set(
            xlabel="from the row's own rates", ylabel=f"printed as {column}", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
        )
    left.legend(loc="center")
    for line in points[points["status"] == IMPOSSIBLE].itertuples():
        right.plot(line.found, line.printed, "x", color=STATUS_COLOURS[IMPOSSIBLE], ms=9, mew=2)
        right.annotate(f"row {line.row}", (line.found, line.printed), (9, -4), textcoords="offset points", fontsize=10)
    low, high = (
        float(end) for end in (points[["found", "printed"]].min().min(), points[["found", "printed"]].max().max())
    )
    room = 0.05 * max(high - low, 0.01)
    right.set(xlim=(low - room, high + 5 * room), ylim=(low - room, high + room), title="enlarged")
    return figure


def sizes_table(report: Report) -> pd.DataFrame:
    """Every test set that would explain the first impossible row that has one, for `plot_sizes`.

    Columns: row, reading, stated_positives, stated_negatives and those of `SizeSearch.solutions`; empty if no row is.
    """
    explained = [number for (number, _), search in report.searches.items() if search.nearest is not None]
    columns = ["row", "reading", "positives", "negatives", "matrices", "tp", "tn", "distance"]
    parts = []
    for (number, how), search in report.searches.items():
        if explained and number == explained[0]:
            row = report.table.rows[number - 1]
            parts.append(
                search.solutions.assign(
                    row=number, reading=_READINGS[how], stated_positives=row.positives, stated_negatives=row.negatives
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def plot_sizes(table: pd.DataFrame) -> Figure:
    """Test sets that would explain an impossible row: each point a size, the stated one and the nearest marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    axis.set(xlabel="positive test images", ylabel="negative test images")
    if table.empty:
        axis.text(0.5, 0.5, "no row needs, or has, another test set", ha="center", transform=axis.transAxes)
        return figure
    readings = list(dict.fromkeys(table["reading"]))[::-1]  # the stricter reading on top
    for i, (reading, colour) in enumerate(zip(readings, (PALETTE["sky"], PALETTE["blue"]), strict=False)):
        part = table[table["reading"] == reading]
        label = f"{reading}: {len(part):,} sizes"
        axis.plot(part["positives"], part["negatives"], ".", color=colour, markersize=3, label=label)
        best = part.loc[part["distance"].idxmin()]
        label = f"nearest of these: {best['positives']:,} + {best['negatives']:,}"
        axis.plot(
            best["positives"],
            best["negatives"],
            "os"[i % 2],
            color=colour,
            mfc="none",
            ms=14 - 5 * i,
            mew=2,
            label=label,
        )
    stated = table.iloc[0]
    p, n = int(stated["stated_positives"]), int(stated["stated_negatives"])
    axis.plot(p, n, "x", color=PAPER_COLOUR, ms=10, mew=2, label=f"stated: {p:,} + {n:,}")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def strips_table(report: Report, row: Row) -> pd.DataFrame:
    """The TN that each printed figure of a row allows at each TP: column, tp, first, last (not whole there if empty)."""
    tp = np.arange(row.positives + 1, dtype=np.int64)
    parts = []
    for header, quantity in report.columns.items():
        if header in row.figures:
            limits = bounds(row.figures[header])
            first, last = np.broadcast_arrays(
                *strip(QUANTITIES[quantity], limits, row.positives, row.negatives, tp), tp
            )[:2]
            frame = pd.DataFrame({"column": header, "tp": tp, "first": first, "last": last})
            parts.append(
                frame[(frame["first"] <= frame["last"]) & (frame["last"] >= 0) & (frame["first"] <= row.negatives)]
            )
    table = pd.concat(parts, ignore_index=True)
    return table.assign(first=table["first"].clip(0, row.negatives), last=table["last"].clip(0, row.negatives))


def plot_strips(table: pd.DataFrame, row: Row) -> Figure:
    """Confusion matrices as lattice points: those each printed figure allows; a row is possible where all meet."""
    figure, axis = plt.subplots(figsize=WIDE)
    colours = sns.color_palette("colorblind", table["column"].nunique())
    for i, (column, part) in enumerate(table.groupby("column", sort=False)):
        label = f"{column} {row.figures[str(column)].text}"
        wide = part[part["last"] - part["first"] > row.negatives / 4]
        thin = part.drop(wide.index)
        axis.vlines(wide["tp"], wide["first"], wide["last"], color=colours[i], linewidth=3, alpha=0.5, label=label if len(wide) else "_")  # fmt: skip
        axis.plot(thin["tp"], (thin["first"] + thin["last"]) / 2, "o", color=colours[i], ms=9 - 2 * i, mfc="none", mew=1.5, label="_" if len(wide) else label)  # fmt: skip
    missing = [column for column in row.figures if column not in set(table["column"])]
    bands = table[table["last"] - table["first"] <= row.negatives / 4]
    low, high = (bands["first"].min(), bands["last"].max()) if len(bands) else (0, row.negatives)
    room = max(10.0, 0.05 * (high - low))
    axis.set(xlabel="true positives", ylabel="true negatives", ylim=(low - room, high + room))
    axis.set_title(
        ""
        if not missing
        else "no matrix prints " + ", ".join(f"{c} {row.figures[c].text}" for c in missing if c != "Gain(%)")
    )
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_power(table: pd.DataFrame, detectable: pd.DataFrame, images: Sequence[int]) -> Figure:
    """Power of McNemar's exact test over the difference in rate, for the first of `images` and for others."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.0), sharey=True, layout="constrained")
    first = table[table["images"] == images[0]]
    sns.lineplot(first, x="difference", y="power", hue="against", palette="colorblind", legend="full", ax=left)
    left.legend(title="only the worse is right")
    left.set(title=f"{images[0]} images", xlabel="difference in rate", ylabel="power")
    best = table[table["against"] == 0].assign(images=lambda t: t["images"].astype(str))
    sns.lineplot(best, x="difference", y="power", hue="images", palette="colorblind", ax=right)
    right.set(title="most favourable pairing", xlabel="difference in rate")
    for axis in (left, right):
        axis.axhline(0.8, color=PALETTE["grey"], linestyle="--", linewidth=1)
    found = detectable.set_index("images").loc[images[0], "detectable"]
    left.axvline(found, color=PALETTE["grey"], linestyle=":", linewidth=1)
    return figure


def plot_detection(shares: pd.DataFrame) -> Figure:
    """Share of single-digit errors noticed, by test set, number of decimals and columns printed."""
    table = shares.assign(
        size=[f"{p:,} + {n:,}" for p, n in zip(shares["positives"], shares["negatives"], strict=True)]
    )
    sizes = list(dict.fromkeys(table["size"]))
    figure, axes = plt.subplots(1, len(sizes), figsize=(3.4 * len(sizes), 3.8), sharey=True, layout="constrained")
    for axis, size in zip(np.atleast_1d(axes), sizes, strict=True):
        part = table[table["size"] == size].assign(decimals=lambda t: t["decimals"].astype(str))
        sns.barplot(part, x="decimals", y="noticed", hue="printed", palette="colorblind", ax=axis)
        axis.set(title=f"{size} images", xlabel="decimals printed", ylabel="share noticed", ylim=(0, 1.02))
        legend = axis.get_legend()
        if legend is not None and size != sizes[-1]:
            legend.remove()
        elif legend is not None:
            sns.move_legend(axis, "center left", bbox_to_anchor=(1.02, 0.5), title="columns")
    return figure


def plot_digits(table: pd.DataFrame) -> Figure:
    """Share of wrong digits noticed by figure and digit, one panel for each number of decimals printed."""
    panels = list(dict.fromkeys(table["decimals"]))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.0), sharey=True, layout="constrained")
    for axis, decimals in zip(np.atleast_1d(axes), panels, strict=True):
        part = table[table["decimals"] == decimals]
        shares = part.pivot_table(index="figure", columns="digit", values="noticed", sort=False)
        sns.heatmap(shares, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="Blues", cbar=False, ax=axis)
        axis.set(title=f"{decimals} decimals", xlabel="decimal that is wrong", ylabel="")
        axis.tick_params(axis="y", rotation=0)
    return figure


def _short(number: int, label: str) -> str:
    text = label if len(label) <= 46 else "… " + label[-44:]
    return f"{number}  {text}"


def _name(quantity: str) -> str:
    title = QUANTITIES[quantity].title
    return "PPCR" if quantity == "ppcr" else title.lower()
