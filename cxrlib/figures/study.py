"""Figure of the chapter on the whole study: what a cell takes, and the grid on several workers."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.figures.style import PALETTE
from cxrlib.names import name


def plot_cost(costs: pd.DataFrame, hours: pd.DataFrame) -> Figure:
    """Minutes of every recorded cell by network (`scaling.costs`), and hours of the grid by workers (`scaling.hours`)."""
    figure, (cells, grid) = plt.subplots(1, 2, figsize=(10.0, 3.8), layout="constrained")
    if len(costs):
        shown = costs.assign(minutes=costs["seconds"] / 60, network=costs["model"].map(name))
        cells.set_yscale("log")
        sns.swarmplot(shown, x="network", y="minutes", hue="machine", ax=cells, size=3, warn_thresh=1)
        sns.move_legend(cells, "lower center", bbox_to_anchor=(0.5, 1.1), title=None, fontsize="x-small")
        even = hours["hours"].iloc[0] * hours["workers"].iloc[0] / hours["workers"]
        grid.plot(hours["workers"], even, color=PALETTE["grey"], linestyle="--", label="work shared evenly")
        grid.plot(hours["workers"], hours["hours"], color=PALETTE["blue"], marker="o", label="and the longest chain")
        grid.set(xscale="log", yscale="log", xticks=hours["workers"], xticklabels=hours["workers"])
        grid.minorticks_off()
        grid.legend(fontsize="small")
    else:
        for axis in (cells, grid):
            axis.text(0.5, 0.5, "no run recorded", transform=axis.transAxes, ha="center")
    cells.set(xlabel="", ylabel="minutes", title="one recorded cell")
    grid.set(xlabel="workers, each as fast as the machines left", ylabel="hours", title="the whole grid, computed")
    return figure
