"""The figure of chapter 13: everything that was handed in, beside the recorded networks."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from cxrlib.figures.style import PALETTE
from cxrlib.names import name

COLUMNS = ("auroc", "within_source", "source_among_negatives")


def plot_results(table: pd.DataFrame, most: int = 12) -> Figure:
    """AUROC over all images, within source and for the source; `table` as `score.results_table` gives it.

    All submissions and, of the recorded networks, the `most` with the highest AUROC; a line is a 95 % interval.
    """
    rows = pd.concat([table[table["by"] == "submitted"], table[table["by"] == "recorded"].head(most)])[::-1]
    figure, axes = plt.subplots(1, 3, figsize=(10, 1.2 + 0.32 * len(rows)), sharey=True, layout="constrained")
    colours, places = rows["by"].map({"submitted": PALETTE["red"], "recorded": PALETTE["blue"]}), range(len(rows))
    for axis, column in zip(axes, COLUMNS, strict=True):
        axis.hlines(places, rows[f"{column}_low"], rows[f"{column}_high"], colors=colours)
        axis.scatter(rows[column], places, c=colours.tolist())
        axis.axvline(0.5, color=PALETTE["grey"], linestyle=":")
        axis.set(xlabel=name(column), xlim=(0.2, 1.02))
    axes[0].set_yticks(places, rows["name"].str.removeprefix("cpu-open-"), fontsize=8)
    return figure
