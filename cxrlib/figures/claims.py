"""Figures of chapter 6: the paper's claims as paired differences, printed and recorded."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.claims import AS_PRINTED, CLAIMS
from cxrlib.figures.style import PAPER_COLOUR, PROTOCOL_COLOURS


def plot_differences(table: pd.DataFrame) -> Figure:
    """Paired differences by claim: one point a pair, coloured by origin (as printed, or a protocol of our records)."""
    order = [claim.name for claim in CLAIMS]
    labels = {
        claim.name: f"{claim.metric}: {claim.field} {claim.treated} − {_name(claim.control)}{_where(claim.where)}"
        for claim in CLAIMS
    }
    colours = {AS_PRINTED: PAPER_COLOUR} | PROTOCOL_COLOURS
    origins = [name for name in colours if name in set(table["origin"])]
    figure, axis = plt.subplots(figsize=(8.0, 0.7 * len(order) + 1.2))
    shown = table[table["origin"].isin(origins)]
    sns.stripplot(
        shown, x="difference", y="claim", order=order, hue="origin", hue_order=origins, dodge=True, jitter=False, size=7,
        palette=colours, alpha=0.75, ax=axis,
    )  # fmt: skip
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(range(len(order)), [labels[name] for name in order])
    axis.set(xlabel="difference in the metric", ylabel="")
    axis.legend(title="", loc="lower left")
    return figure


def _name(value: object) -> str:
    return "none" if value is None else str(value)


def _where(where: object) -> str:
    return f" ({', '.join(map(str, dict(where).values()))})" if where else ""  # type: ignore[call-overload]
