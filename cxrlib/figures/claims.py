"""Figure of chapter 6: the paper's claims as paired differences, printed and recorded."""

import pandas as pd
from matplotlib.figure import Figure

from cxrlib.analysis.claims import AS_PRINTED, CLAIMS
from cxrlib.figures.style import PAPER_COLOUR, PROTOCOL_COLOURS, strip_panels
from cxrlib.names import beta_text, name


def plot_differences(table: pd.DataFrame) -> Figure:
    """Paired differences by claim: one point a pair, coloured by origin (as printed, or a protocol of our records)."""
    labels = {}
    for claim in CLAIMS:
        sides = [beta_text(v) if claim.field == "beta" else name(v) for v in (claim.treated, claim.control)]
        where = f" ({', '.join(map(name, claim.where.values()))})" if claim.where else ""
        labels[claim.name] = f"{name(claim.metric)}: {claim.field.replace('beta', 'β')} {' − '.join(sides)}{where}"
    colours = {AS_PRINTED: PAPER_COLOUR} | PROTOCOL_COLOURS
    shown = table[table["origin"].isin(colours)]
    figure = strip_panels({"": shown}, labels, "claim", "origin", colours)
    figure.set_figwidth(8.0)
    figure.axes[0].set_xlabel("difference in the metric")
    return figure
