"""Figures of the whole study: Table II by configuration, with intervals and the paper's value."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrlib.figures.style import PAPER_COLOUR, PROTOCOL_COLOURS

COHORTS = {"augmented": "augmented", "combined": "combined", "covidx_ray_5k": "COVIDX-Ray-5K"}
MODELS = {"resnet50": "ResNet-50", "acnn": "ACNN", "squeezenet": "SqueezeNet"}


def configuration_name(row: pd.Series) -> str:
    """A configuration in one short line, for an axis."""
    beta = "–" if np.isnan(row["beta"]) else f"{row['beta']:g}"
    return f"{COHORTS[row['cohort']]} · {MODELS[row['model']]} · {row['pretraining']} · β {beta}"


def plot_table_2(table: pd.DataFrame) -> Figure:
    """Sensitivity, specificity and bACC by configuration: points by protocol, crosses as printed.

    `table` comes from `results.table_2`. Sensitivity and specificity carry pooled Clopper-Pearson
    intervals; bACC carries the standard deviation over seeds where there are several.
    """
    names = list(dict.fromkeys(configuration_name(row) for _, row in table.iterrows()))
    place = {name: len(names) - 1 - k for k, name in enumerate(names)}
    figure, axes = plt.subplots(1, 3, figsize=(11.0, 0.42 * len(names) + 1.4), sharey=True, layout="constrained")
    y = np.array([place[configuration_name(row)] for _, row in table.iterrows()], float)
    for axis, metric in zip(axes, ("sensitivity", "specificity", "bacc"), strict=True):
        for k, (protocol, colour) in enumerate(PROTOCOL_COLOURS.items()):
            mask = ((table["protocol"] == protocol) & (table["seeds"] > 0)).to_numpy()
            value = table[metric].to_numpy()[mask]
            axis.errorbar(
                value, y[mask] + 0.22 * (1 - k), xerr=_errors(table[mask], metric, value), fmt="o", color=colour, label=protocol,
                markersize=5, elinewidth=1,
            )  # fmt: skip
        first = table.drop_duplicates(list(table.columns[:4]))
        axis.plot(
            first[f"paper_{metric}"],
            [place[configuration_name(row)] for _, row in first.iterrows()],
            "x",
            color=PAPER_COLOUR,
            label="as printed",
        )
        axis.set_title({"bacc": "balanced accuracy"}.get(metric, metric))
    axes[0].set_yticks(list(place.values()), list(place))
    axes[2].legend(loc="lower left")
    return figure


def _errors(part: pd.DataFrame, metric: str, value: np.ndarray) -> np.ndarray:
    if metric == "bacc":
        spread = part["bacc_sd"].fillna(0).to_numpy()
        return np.vstack([spread, spread])
    # With several seeds the mean of rates need not lie in the pooled interval's centre; clip at zero length.
    return np.clip(np.vstack([value - part[f"{metric}_low"], part[f"{metric}_high"] - value]), 0, None)
