"""Tables and figures of the chapter on data: what there is, what was left out, what gives the label away."""

from textwrap import shorten

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from sklearn.metrics import balanced_accuracy_score

from cxrlib.data.cohorts import COHORTS
from cxrlib.data.draws import disputed
from cxrlib.data.editions import COLLECTIONS, Edition
from cxrlib.data.readers import catalogue_table
from cxrlib.data.schema import LABELS
from cxrlib.figures.style import CLASS_COLOURS, PALETTE, PAPER_COLOUR, WIDE
from cxrlib.images.hashing import THRESHOLD
from cxrlib.images.store import ImageStore, open_store
from cxrlib.protocols import PROTOCOLS

PER_SOURCE = 150  # images of each class and source that grey levels are measured on
CLASS_NAMES = {"covid": "COVID-19", "non_covid": "non-COVID"}
_KINDS = {"linked by the publisher": PALETTE["green"], "same patient": PALETTE["orange"], "unlinked": PALETTE["grey"]}


def collections() -> pd.DataFrame:
    """The published collections that have a reader: publisher, licence, the edition that uses each, whether it is here."""
    edition_of = {name: edition for edition, names in COLLECTIONS.items() for name in names}
    table = catalogue_table()
    table.insert(2, "edition", table["collection"].map(edition_of).fillna("reader only"))
    table["at hand"] = table["at hand"].map({True: "yes", False: "no"})
    return table.drop(columns=["collection", "layout"])


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """A table with a row a protocol, rows that differ in nothing else joined: 'all' stands for every protocol."""
    keys = [name for name in table if name != "protocol"]
    joined = table.groupby(keys, sort=False, dropna=False)["protocol"].agg(list).reset_index()
    named = joined["protocol"].map(lambda names: "all" if len(names) == len(PROTOCOLS) else ", ".join(names))
    return joined.assign(protocol=named)[list(table)]


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table for the page: spaces for the underscores of its headers, so that they wrap."""
    gaps = table.select_dtypes("Int64")
    whole = table.assign(**{name: gaps[name].astype(object).where(gaps[name].notna(), np.nan) for name in gaps})
    return whole.rename(columns=lambda name: name.replace("_", " "))


def overlap_spread(by_seed: pd.DataFrame) -> pd.DataFrame:
    """Least and most, over the seeds of `cohorts.overlap_by_seed`, of each count, a row a protocol."""
    counted = ["train_covid", "train_non_covid", "shared_patients", "near_repeats", "covid_overlap"]
    spread = by_seed.groupby("protocol", sort=False)[counted].agg(["min", "max"])
    spread.columns = [f"{name} {end}" for name, end in spread.columns]
    return spread.reset_index()


def exclusions(edition: Edition, store: ImageStore) -> pd.DataFrame:
    """What was left out, by collection and reason: by the readers, the licences and the decoder."""
    rows = pd.concat([edition.excluded.assign(by="reader or licence"), store.quarantined.assign(by="decoder")])
    table = rows.groupby(["collection", "by", "reason"]).size().rename("images").reset_index()
    return table.sort_values("images", ascending=False, ignore_index=True)


def sources(edition: Edition) -> pd.DataFrame:
    """Images of each source by label, and what the source states: patients, population, view, CT slices."""
    stated = edition.images.groupby("source").agg(
        patients=("patient_id", "nunique"),
        without_patient_id=("patient_id", lambda ids: int(ids.isna().sum())),
        paediatric=("population", lambda population: int((population == "paediatric").sum())),
        population_unknown=("population", lambda population: int((population == "unknown").sum())),
        ct_slices=("modality", lambda modality: int((modality == "CT").sum())),
    )
    return _by_label(edition, "source").join(stated).reset_index().rename_axis(columns=None)


def licences(edition: Edition) -> pd.DataFrame:
    """Images under each licence text, by label."""
    table = _by_label(edition, "licence")
    table.insert(0, "images", table.sum(axis=1))
    return table.sort_values("images", ascending=False).reset_index().rename_axis(columns=None)


def _by_label(edition: Edition, column: str) -> pd.DataFrame:
    """Images by a column (index) and label (columns, those without a label last)."""
    table = pd.crosstab(edition.images[column], edition.images["label"].fillna("unlabelled"))
    return table.reindex(columns=[*LABELS, "unlabelled"], fill_value=0)


def label_from_source(edition: Edition) -> float:
    """Balanced accuracy, on the edition's labelled images, of guessing each image's label from its source alone.

    The rule answers 'covid' where COVID-19 is more frequent in the source than in the whole edition.
    """
    labelled = edition.images.dropna(subset="label")
    covid = labelled["label"] == "covid"
    guess = covid.groupby(labelled["source"]).transform("mean") > covid.mean()
    return float(balanced_accuracy_score(covid, guess))


def disputed_images(edition: Edition) -> pd.DataFrame:
    """Pictures that occur twice under statements that contradict each other: images by source and statement."""
    images = edition.images
    rows = images[disputed(images)].assign(healthy=lambda frame: frame["healthy"].map({True: "yes", False: "no"}))
    keys = ["source", "label", "healthy", "population"]
    table = rows.fillna({"label": "unlabelled", "healthy": "unknown"}).groupby(keys)
    return table.agg(images=("image_id", "size"), pictures=("repeat", "nunique")).reset_index()


def open_images(edition: Edition, size: int, seed: int = 0, per_source: int = PER_SOURCE) -> ImageStore:
    """The edition's image store; of generated images, which cannot be unreadable, only as many as are shown.

    `per_source`: generated images of each class and source.
    """
    images = edition.images
    if edition.name == "phantom":
        images = _shuffled(images, seed).groupby(["label", "source"]).head(per_source)
    return open_store(images, size)


def sample_rows(edition: Edition, store: ImageStore, per_source: int = 5, seed: int = 0) -> pd.DataFrame:
    """Up to `per_source` images of each class and source, drawn with `seed`: X-rays that could be decoded."""
    drawn = _shuffled(edition.images, seed)
    drawn = drawn[drawn["image_id"].isin(store.table["image_id"])].groupby(["label", "source"]).head(per_source)
    columns = ["label", "source", "image_id", "finding", "view", "licence"]
    return drawn.sort_values(["label", "source", "image_id"])[columns].reset_index(drop=True)


def _shuffled(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Labelled X-rays in an order drawn with `seed`."""
    return images[images["label"].notna() & (images["modality"] != "CT")].sample(frac=1, random_state=seed)


def plot_samples(rows: pd.DataFrame, store: ImageStore) -> Figure:
    """Fig. 1: a row of images for each class and source of `rows`, titled with class, source and licence."""
    groups = list(rows.groupby(["label", "source"], sort=True))
    width = max(len(group) for _, group in groups)
    figure, axes = plt.subplots(len(groups), width, figsize=(1.7 * width, 2.05 * len(groups)), squeeze=False)
    for line, ((label, source), group) in zip(axes, groups, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, image in zip(line, store.take(group["image_id"]), strict=False):
            axis.imshow(image, vmin=0, vmax=255)
        names = sorted(group["licence"].unique())
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        line[0].set_title(
            f"{CLASS_NAMES[label]} · {source} · {shorten(names[0], 70, placeholder=' …')}{more}", fontsize=9, loc="left"
        )
    figure.subplots_adjust(wspace=0.04, hspace=0.22, left=0, right=1, top=0.97, bottom=0)
    return figure


def image_sizes(edition: Edition, store: ImageStore) -> pd.DataFrame:
    """Width and height, in pixels, of every image as published, or as decoded where that is not stated."""
    columns = ["image_id", "source", "label", "width", "height"]
    decoded = store.table.set_index("image_id")[["width", "height"]].astype("Int64")
    return (
        edition.images[columns].set_index("image_id").fillna(decoded).reset_index().dropna(subset=["width", "height"])
    )


def plot_image_sizes(sizes: pd.DataFrame) -> Figure:
    """Width against height, both logarithmic, a colour a source; the diagonal is a square image."""
    figure, axis = plt.subplots(figsize=(7.0, 5.0))
    points = sizes.astype({"width": float, "height": float})
    sns.scatterplot(points, x="width", y="height", hue="source", style="source", s=22, alpha=0.6, linewidth=0, ax=axis)
    low, high = points[["width", "height"]].to_numpy().min(), points[["width", "height"]].to_numpy().max()
    axis.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="width [px]", ylabel="height [px]")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        scale.set_major_formatter(ScalarFormatter())
        scale.set_minor_locator(NullLocator())
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1.01, 1), title="", frameon=False)
    return figure


def intensities(
    edition: Edition, store: ImageStore, per_source: int = PER_SOURCE, seed: int = 0, bins: int = 32
) -> pd.DataFrame:
    """Mean grey-level histogram of up to `per_source` preprocessed images of each source and class (`bins` divides 256).

    Columns: source, label, level (centre of the bin, in [0, 1]), share (of pixels, mean over images), images.
    """
    rows = sample_rows(edition, store, per_source, seed)
    tables = []
    for (label, source), group in rows.groupby(["label", "source"]):
        counts = np.bincount(store.take(group["image_id"]).ravel(), minlength=256).reshape(bins, -1).sum(axis=1)
        share, level = counts / counts.sum(), (np.arange(bins) + 0.5) / bins
        tables.append(
            pd.DataFrame({"source": source, "label": label, "level": level, "share": share, "images": len(group)})
        )
    return pd.concat(tables, ignore_index=True)


def plot_intensities(table: pd.DataFrame) -> Figure:
    """Mean histograms, a line a source, a panel a class."""
    grid = sns.relplot(
        table.assign(label=table["label"].map(CLASS_NAMES)),
        x="level",
        y="share",
        hue="source",
        style="source",
        col="label",
        kind="line",
        dashes=True,
        height=3.6,
        aspect=1.1,
    )
    grid.set(xlabel="grey level after min-max", ylabel="share of pixels")
    grid.set_titles("{col_name}")
    return grid.figure


def class_balance(table_1: pd.DataFrame) -> pd.DataFrame:
    """Training images per class, long form, of `cohorts.table_1_beside_ours`: the paper's and each protocol's."""
    paper = table_1.drop_duplicates("cohort").assign(protocol="paper's Table I")
    paper[["train_covid", "train_non_covid"]] = paper[["paper_train_covid", "paper_train_non_covid"]]
    both = pd.concat([paper, table_1], ignore_index=True)
    long = both.melt(["cohort", "protocol"], ["train_covid", "train_non_covid"], "label", "images")
    return long.assign(label=long["label"].str.removeprefix("train_"))


def plot_class_balance(balance: pd.DataFrame) -> Figure:
    """Images per class, logarithmic; bars are the first protocol's counts, black marks the paper's."""
    cohorts = [name for name in COHORTS if name in set(balance["cohort"])]
    ours = balance[balance["protocol"] != "paper's Table I"]
    figure, axis = plt.subplots(figsize=(WIDE[0], 4.2))
    shown = ours[ours["protocol"] == ours["protocol"].iloc[0]].astype({"images": int})
    sns.barplot(
        shown, x="cohort", y="images", hue="label", order=cohorts, hue_order=LABELS, palette=CLASS_COLOURS, ax=axis
    )
    printed = balance[balance["protocol"] == "paper's Table I"].set_index(["cohort", "label"])["images"]
    for shift, label in ((-0.2, "covid"), (0.2, "non_covid")):
        heights = [int(printed[name, label]) for name in cohorts]
        axis.scatter(np.arange(len(cohorts)) + shift, heights, marker="_", s=500, color=PAPER_COLOUR, zorder=3)
    axis.set(yscale="log", xlabel="", ylabel="training images")
    axis.set_xticks(
        range(len(cohorts)),
        [COHORTS[name].title.replace(" + ", " +\n").replace(", ", ",\n") for name in cohorts],
        fontsize=8,
    )
    handles, _ = axis.get_legend_handles_labels()
    mark = plt.Line2D([], [], color=PAPER_COLOUR, marker="_", markersize=12, linestyle="")
    axis.legend(
        [*handles, mark],
        ["COVID-19 / diseased", "non-COVID / healthy", "the paper"],
        frameon=False,
        ncols=3,
        loc="upper left",
    )
    axis.set_ylim(top=axis.get_ylim()[1] * 4)
    return figure


def plot_distances(distribution: pd.DataFrame) -> Figure:
    """Pairs of images at each Hamming distance, logarithmic, a line a kind; the threshold is marked."""
    figure, axis = plt.subplots(figsize=WIDE)
    for kind, colour in _KINDS.items():
        part = distribution[(distribution["kind"] == kind) & (distribution["pairs"] > 0)]
        axis.plot(part["distance"], part["pairs"], ".-", color=colour, label=kind, markersize=4, linewidth=1)
    axis.axvline(THRESHOLD, color="black", linewidth=1, linestyle="--", label=f"threshold: {THRESHOLD} bits")
    axis.set(yscale="log", xlabel="Hamming distance of two 256-bit perceptual hashes", ylabel="pairs of images")
    axis.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    return figure
