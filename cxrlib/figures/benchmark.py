"""The figure of chapter 13: everything that was handed in, beside the recorded networks."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from cxrlib.figures.style import PALETTE, intervals
from cxrlib.names import name

SHOWN = 12  # recorded networks


def plot_results(table: pd.DataFrame) -> Figure:
    """AUROC over all images, within source and for the source, with 95 % intervals; `table` as `score.results_table` gives it.

    All submissions (red) and, of the recorded networks (blue), those with the highest AUROC.
    """
    rows = pd.concat([table[table["by"] == "submitted"], table[table["by"] == "recorded"].head(SHOWN)])
    rows = rows.assign(place=range(len(rows)))
    figure, axes = plt.subplots(1, 3, figsize=(13, 1.2 + 0.32 * len(rows)), sharey=True, layout="constrained")
    for axis, column in zip(axes, ("auroc", "within_source", "source_among_negatives"), strict=True):
        for by, part in rows.groupby("by"):
            intervals(axis, part, column, part["place"], color=PALETTE["red" if by == "submitted" else "blue"])
        axis.axvline(0.5, color=PALETTE["grey"], linestyle=":")
        axis.set_title(name(column), fontsize=10)
        axis.set_xlim(0.2, 1.02)
    axes[0].set_yticks(rows["place"], rows["name"].str.removeprefix("cpu-open-"), fontsize=8)
    axes[0].invert_yaxis()
    return figure
