"""One shared style: seaborn, a colour-blind-safe palette, sizes that fit the page."""

import matplotlib
import seaborn as sns

PALETTE = dict(
    zip(
        ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "yellow", "sky"),
        sns.color_palette("colorblind"),
        strict=True,
    )
)
CLASS_COLOURS = {"covid": PALETTE["red"], "non_covid": PALETTE["blue"]}
PROTOCOL_COLOURS = {"released": PALETTE["orange"], "paper": PALETTE["purple"], "clean": PALETTE["green"]}
PAPER_COLOUR = "black"  # whatever the paper printed
WIDE, NARROW = (8.0, 4.0), (5.0, 4.0)  # inches


def use_style() -> None:
    """Set seaborn's and matplotlib's defaults for every figure of the book."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font="DejaVu Sans")
    matplotlib.rcParams.update(
        {
            "figure.figsize": WIDE,
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "image.cmap": "gray",
            "svg.hashsalt": "cxrlib",
        }
    )
