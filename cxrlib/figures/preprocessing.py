"""Figures and tables of the preprocessing chapter: each `plot_` function has a function that makes its data."""

import io
import textwrap
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from cxrlib.figures.style import CLASS_COLOURS, PALETTE
from cxrlib.images.augmentation import ANGLES, COPIES, ROTATIONS, augment, total_angles, variant_table
from cxrlib.images.decoding import (
    PHANTOM,
    PHANTOM_SIZE,
    QuarantineError,
    decode,
    min_max,
    preprocess,
    read_raw,
    render_phantoms,
    resize,
)
from cxrlib.images.store import ImageStore

if TYPE_CHECKING:
    from cxrlib.data.editions import Edition

STEPS = ("decoded", "min-max", "resized")
CLASS_NAMES = {"covid": "COVID-19", "non_covid": "non-COVID"}
RELEASED_BYTES = 256 * 256 * 3 * 8  # of an image in the released code: float64, three channels
_NOT_TO_SHOW = r"\bND\b|not stated|no licence|no metadata|research purposes"  # licences under which none is drawn
_BINS = 64


def pick_examples(edition: "Edition", store: ImageStore, per_class: int, seed: int) -> pd.DataFrame:
    """Labelled X-rays to show, at most `per_class` of each class, each from another source; rows of the image table.

    Images whose licence does not clearly allow an altered copy to be shown are passed over, unless there
    is no other.
    """
    rows = edition.images[edition.images["image_id"].isin(store.table["image_id"]) & edition.images["label"].notna()]
    rows = rows[rows["modality"] != "CT"]
    free = rows[~rows["licence"].str.contains(_NOT_TO_SHOW, case=False, regex=True)]
    shuffled = (rows if free.empty else free).sample(frac=1, random_state=seed)
    first = shuffled.assign(n=shuffled.groupby(["label", "source"]).cumcount()).sort_values("n", kind="stable")
    return (
        first.groupby("label").head(per_class).drop(columns="n").sort_values("label", kind="stable", ignore_index=True)
    )


def covid_ids(edition: "Edition", store: ImageStore, most: int = 31) -> list[str]:
    """Identifiers of the first `most` COVID images that are in the store (31: as many as the paper augments)."""
    rows = edition.images[edition.images["label"] == "covid"]
    return rows.loc[rows["image_id"].isin(store.table["image_id"]), "image_id"].head(most).tolist()


def step_images(path: str, size: int) -> dict[str, np.ndarray]:
    """One image after each step of `STEPS`: the first in the file's units, the others in [0, 1]."""
    raw = read_raw(path)
    scaled = min_max(raw)
    return dict(zip(STEPS, (raw, scaled, resize(scaled, size)), strict=True))


def step_table(examples: pd.DataFrame, size: int) -> pd.DataFrame:
    """Size, type and range of each example after each step."""
    rows = []
    for example in examples.itertuples():
        for step, image in step_images(str(example.path), size).items():
            low, mean, high = float(image.min()), float(image.mean()), float(image.max())
            shape = f"{image.shape[1]} x {image.shape[0]}"
            rows.append((example.image_id, example.source, step, shape, str(image.dtype), low, mean, high))
    return pd.DataFrame(rows, columns=["image_id", "source", "step", "pixels", "dtype", "min", "mean", "max"])


def plot_steps(examples: pd.DataFrame, size: int) -> Figure:
    """A row an example, a column a step; decoded images are drawn over the full range of their type."""
    figure, axes = plt.subplots(
        len(examples), len(STEPS), figsize=(8, 2.7 * len(examples)), squeeze=False, layout="constrained"
    )
    for row, example in zip(axes, examples.itertuples(), strict=True):
        for axis, (step, image) in zip(row, step_images(str(example.path), size).items(), strict=True):
            top = full_range(image) if step == "decoded" else 1.0
            axis.imshow(image, cmap="gray", vmin=0, vmax=top, aspect="equal")
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{step}, {image.shape[1]} x {image.shape[0]}", fontsize="small")
        licence = textwrap.shorten(str(example.licence), 34, placeholder=" …")
        row[0].set_ylabel(f"{CLASS_NAMES[str(example.label)]}\n{example.source}\n{licence}", fontsize="x-small")
    return figure


def full_range(image: np.ndarray) -> float:
    """Largest value of an integer image's type; of a floating-point image, its own maximum."""
    return float(np.iinfo(image.dtype).max) if image.dtype.kind in "ui" else float(image.max())


def sample_rows(edition: "Edition", store: ImageStore, per_source: int, seed: int) -> pd.DataFrame:
    """A seeded sample of labelled X-rays, at most `per_source` of each source and class."""
    rows = edition.images[edition.images["image_id"].isin(store.table["image_id"]) & edition.images["label"].notna()]
    rows = rows[rows["modality"] != "CT"].sample(frac=1, random_state=seed)
    return rows.groupby(["source", "label"]).head(per_source).sort_values("image_id", ignore_index=True)


def intensity_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Histogram of every image before and after its own min-max: a row an image, step and level.

    Levels are shares of the file's full range (before) or of [0, 1] (after); `density` integrates to 1 over
    the levels of an image.
    """
    parts, edges = [], np.linspace(0, 1, _BINS + 1)
    for row, raw in zip(rows.itertuples(), _raw_images(rows["path"]), strict=True):
        for step, image in (("before", raw / full_range(raw)), ("after", min_max(raw))):
            density, _ = np.histogram(image, bins=edges, density=True)
            facts = {"image_id": row.image_id, "source": row.source, "label": row.label, "step": step}
            parts.append(pd.DataFrame({**facts, "level": (edges[:-1] + edges[1:]) / 2, "density": density}))
    return pd.concat(parts, ignore_index=True)


def mean_intensity(table: pd.DataFrame) -> pd.DataFrame:
    """`intensity_table` averaged over the images of a class, each with equal weight."""
    return table.groupby(["step", "label", "level"], as_index=False)["density"].mean()


def plot_intensity(means: pd.DataFrame) -> Figure:
    """Mean histogram of each class, before and after the per-image min-max."""
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.5), sharey=True, layout="constrained")
    for axis, step in zip(axes, ("before", "after"), strict=True):
        for label, part in means[means["step"] == step].groupby("label"):
            axis.plot(part["level"], part["density"], color=CLASS_COLOURS[label], label=CLASS_NAMES[label])
        axis.set(
            xlabel="grey level" + (" (share of the file's range)" if step == "before" else ""), title=f"{step} min-max"
        )
    axes[0].set(ylabel="density")
    axes[0].set_ylim(bottom=0)
    axes[1].legend()
    return figure


def range_facts(rows: pd.DataFrame) -> pd.DataFrame:
    """Per image: the share of the file's range that it uses and, after min-max, the span from the 1st to the
    99th percentile and the mean level; with `image_id`, `source`, `label`."""
    facts = []
    for row, raw in zip(rows.itertuples(), _raw_images(rows["path"]), strict=True):
        scaled = min_max(raw)
        low, high = np.percentile(scaled, (1, 99))
        used = (float(raw.max()) - float(raw.min())) / full_range(raw)
        facts.append((row.image_id, row.source, row.label, used, high - low, float(scaled.mean())))
    names = ["image_id", "source", "label", "range used", "1st to 99th percentile", "mean level"]
    return pd.DataFrame(facts, columns=names)


def range_table(facts: pd.DataFrame) -> pd.DataFrame:
    """Medians of `range_facts` by source and class, and the number of images."""
    grouped = facts.drop(columns="image_id").groupby(["source", "label"])
    return grouped.median().assign(images=grouped.size()).reset_index()


def plot_variants(pixels: np.ndarray, rotation: str, seed: int) -> Figure:
    """The 32 variants of one image (uint8 [S, S]), four rows of eight, named by what was done."""
    figure, axes = plt.subplots(4, 8, figsize=(10, 5.9), layout="constrained")
    names = variant_table()["name"]
    for axis, name, image in zip(axes.flat, names, augment(pixels[None], rotation, seed), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(name, fontsize=6.5, loc="center")
        axis.axis("off")
    return figure


def angle_table(count: int, seed: int) -> pd.DataFrame:
    """Total rotation of each variant of `count` images under both readings: rotation, image, variant, angle."""
    parts = []
    for rotation in ROTATIONS:
        variant, image = np.indices((COPIES, count))
        angle = total_angles(count, rotation, seed)
        parts.append(pd.DataFrame({"variant": variant.ravel(), "image": image.ravel(), "angle": angle.ravel()}))
        parts[-1].insert(0, "rotation", rotation)
    return pd.concat(parts, ignore_index=True)


def plot_angles(table: pd.DataFrame) -> Figure:
    """Left: how many of the 32 variants share each total angle; right: totals with random angles."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.3), sharex=True, layout="constrained")
    first = table[table["image"] == 0].groupby("rotation")["angle"]
    counts = first.get_group("fixed").round().astype(int).value_counts().sort_index()
    left.bar(counts.index, counts, width=0.8, color=PALETTE["blue"])
    left.set(xlabel="total angle, degrees", ylabel="variants of an image", title="fixed angles (text)")
    drawn = table[(table["rotation"] == "random") & (table["variant"] > 1)]
    reach = sum(abs(angle) for angle in ANGLES)
    sns.histplot(drawn["angle"], bins=np.arange(-reach, reach + 1).tolist(), color=PALETTE["orange"], ax=right)
    right.set(xlabel="total angle, degrees", ylabel="rotated variants", title="random angles (released code)")
    return figure


def sharpness_table(pixels: np.ndarray, rotation: str, seed: int) -> pd.DataFrame:
    """Mean gradient of each variant over that of its original: image, variant, resampled (times), sharpness.

    The gradient is measured on the central half of the image, away from the repeated edges.
    """
    variants = augment(pixels, rotation, seed).reshape(COPIES, *pixels.shape)
    margin = pixels.shape[-1] // 4
    centre = variants[:, :, margin:-margin, margin:-margin].astype(np.float32)
    gradient = np.hypot(*np.gradient(centre, axis=(2, 3))).mean(axis=(2, 3))
    relative = gradient / gradient[0]
    variant, image = np.indices(relative.shape)
    table = pd.DataFrame({"image": image.ravel(), "variant": variant.ravel(), "sharpness": relative.ravel()})
    return table.merge(variant_table()[["variant", "resampled"]], on="variant")


def plot_sharpness(table: pd.DataFrame) -> Figure:
    """Sharpness of the variants by how often they were resampled."""
    figure, axis = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
    sns.boxplot(table, x="resampled", y="sharpness", color=PALETTE["sky"], width=0.6, fliersize=2, ax=axis)
    axis.axhline(1, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlabel="rotations the copy went through", ylabel="mean gradient, original = 1")
    return figure


def quarantine_table(edition: "Edition", store: ImageStore) -> pd.DataFrame:
    """Images that no training set can hold, counted by stage, collection and reason."""
    stages = {"reader": edition.excluded, "decoder": store.quarantined}
    rows = pd.concat([frame.assign(stage=stage) for stage, frame in stages.items()], ignore_index=True)
    counts = rows.groupby(["stage", "collection", "reason"]).size()
    return counts.rename("images").reset_index().sort_values(["stage", "images"], ascending=False, ignore_index=True)


def damage_table() -> pd.DataFrame:
    """What becomes of files damaged on purpose: one noise image, saved and spoiled in several ways."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    png, jpeg = _encoded(noise, "PNG"), _encoded(noise, "JPEG")
    files = {
        "PNG, whole": png,
        "PNG, second half missing": png[: len(png) // 2],
        "JPEG, second half missing": jpeg[: len(jpeg) // 2],
        "PNG, 400 bytes overwritten": png[:400] + bytes(400) + png[800:],
        "text named .jpg": b"no image here",
        "empty file": b"",
        "one grey level": _encoded(np.full((96, 96), 7, np.uint8), "PNG"),
    }
    return pd.DataFrame([(name, _outcome(content)) for name, content in files.items()], columns=["file", "outcome"])


def surround_table(edition: "Edition", store: ImageStore) -> pd.DataFrame:
    """How well a dark surround on all four sides tells CT slices from X-rays: counts for three strictnesses.

    A side is dark where a share of at least `dark side` of its outermost pixels lies below a tenth of the range.
    """
    table = store.table[["image_id"]].merge(edition.images, on="image_id", validate="one_to_one")
    ct, pixels = (table["modality"] == "CT").to_numpy(), store.pixels
    sides = np.stack([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]])
    least = (sides < 25.5).mean(axis=2).min(axis=0)  # dark share of the least dark side of each image
    found = [(share, int((least >= share)[ct].sum()), int((least >= share)[~ct].sum())) for share in (0.25, 0.5, 0.75)]
    counts = pd.DataFrame(found, columns=["dark side", "CT slices found", "X-rays flagged"])
    return counts.assign(**{"CT slices": int(ct.sum()), "X-rays": int((~ct).sum())})


def surround_sentence(table: pd.DataFrame) -> str:
    """What `surround_table` says, in one sentence."""
    row = table.drop(columns="dark side").iloc[0]
    if row["CT slices"] == 0:
        return "The edition shown here holds no CT slice to try the rule on."
    return (
        f"At its most lenient the rule finds {row['CT slices found']} of the {row['CT slices']} CT slices "
        f"and flags {row['X-rays flagged']:,} of {row['X-rays']:,} other images."
    )


def storage_table(store: ImageStore) -> pd.DataFrame:
    """Bytes of an image and of the whole store, beside the released code's float64 arrays of three channels."""
    ours = store.size**2
    rows = [
        ("released code: float64, 3 channels, 256 px", RELEASED_BYTES),
        (f"here: uint8, 1 channel, {store.size} px", ours),
    ]
    table = pd.DataFrame(rows, columns=["format", "bytes an image"])
    table["MiB an image"] = table["bytes an image"] / 2**20
    table["GiB in all"] = table["bytes an image"] * len(store) / 2**30
    return table


def _raw_images(paths: pd.Series) -> list[np.ndarray]:
    """Raw images, the generated ones rendered together."""
    if paths.str.startswith(PHANTOM).all():
        return list(render_phantoms(paths.tolist(), PHANTOM_SIZE))
    return [read_raw(path) for path in paths]


def _encoded(image: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format)
    return buffer.getvalue()


def _outcome(content: bytes) -> str:
    try:
        return f"accepted, {preprocess(decode(content), 64).shape[0]} px"
    except QuarantineError as error:
        return f"quarantined: {error.reason}"
