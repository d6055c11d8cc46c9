"""What is done to an image before a network sees it, and which side effects tell the classes apart?"""

import numpy as np
import pandas as pd

from cxrlib.analysis.datasets import exclusions, sample_rows
from cxrlib.analysis.sentences import percent
from cxrlib.data.editions import Edition
from cxrlib.images.augmentation import COPIES, ROTATIONS, augment, total_angles, variant_table
from cxrlib.images.decoding import min_max, read_raw, resize
from cxrlib.images.store import open_store
from cxrlib.records.analyses import recorded_analysis

STEPS = ("decoded", "min-max", "resized")
RELEASED_BYTES = 256 * 256 * 3 * 8  # of an image in the released code: float64, three channels
_NOT_TO_SHOW = r"\bND\b|not stated|no licence|no metadata|research purposes"  # licences under which none is drawn


def answer(sharpness: pd.DataFrame, ranges: pd.DataFrame, size: int) -> str:
    """The chapter's answer in two sentences."""
    four = sharpness.loc[sharpness["resampled"] == 4, "sharpness"].median()
    level = ranges.groupby("source")["mean level"].median()
    return (
        f"The steps are simple and are reproduced here with {RELEASED_BYTES / size**2:.0f} times fewer bytes an image, but "
        "scaling by two extreme pixels does not make images from different sources alike: the median grey level of a source "
        f"lies between {level.min():.2f} and {level.max():.2f}. The augmentation blurs: a copy rotated four times keeps "
        f"{percent(four, 0)} of its original's mean gradient, and since only COVID-19 images are augmented, the blur itself "
        "tells the classes apart."
    )


def examples(edition: Edition, per_class: int = 2, seed: int = 0) -> pd.DataFrame:
    """Labelled X-rays to show, each from another source; rows of the image table.

    Images whose licence does not clearly allow an altered copy to be shown are passed over, unless there is no other.
    """
    rows = sample_rows(edition, 5, seed)
    free = rows[~rows["licence"].str.contains(_NOT_TO_SHOW, case=False, regex=True)]
    rows = rows if free.empty else free
    order = rows.assign(n=rows.groupby(["label", "source"]).cumcount()).sort_values(["n", "label"], kind="stable")
    chosen = order.drop(columns="n").groupby("label").head(per_class)
    return chosen.sort_values("label", kind="stable", ignore_index=True)


def step_images(path: str, size: int) -> dict[str, np.ndarray]:
    """One image after each step of `STEPS`: the first in the file's units, the others in [0, 1]."""
    raw = read_raw(path)
    return dict(zip(STEPS, (raw, scaled := min_max(raw), resize(scaled, size)), strict=True))


def step_table(rows: pd.DataFrame, size: int) -> pd.DataFrame:
    """Size, type and range of each example after each step: image_id, source, step, pixels, dtype, min, mean, max."""
    return pd.DataFrame(
        {"image_id": row.image_id, "source": row.source, "step": step, "pixels": f"{x.shape[1]} x {x.shape[0]}",
         "dtype": str(x.dtype), "min": float(x.min()), "mean": float(x.mean()), "max": float(x.max())}
        for row in rows.itertuples() for step, x in step_images(str(row.path), size).items()
    )  # fmt: skip


def full_range(image: np.ndarray) -> float:
    """Largest value of an integer image's type; of a floating-point image, its own maximum."""
    return float(np.iinfo(image.dtype).max) if image.dtype.kind in "ui" else float(image.max())


@recorded_analysis("grey_ranges")
def grey_ranges(edition: Edition, per_source: int = 20, seed: int = 0) -> pd.DataFrame:
    """Per sampled X-ray: source, label, `range used` (share of the file's range) and, after min-max, two more.

    `1st to 99th percentile`: their span; `mean level`: the mean grey.
    """
    found = []
    for row in sample_rows(edition, per_source, seed).itertuples():
        raw = read_raw(str(row.path))
        scaled = min_max(raw)
        used, span = (float(raw.max()) - float(raw.min())) / full_range(raw), np.ptp(np.percentile(scaled, (1, 99)))
        found.append((row.source, row.label, used, float(span), float(scaled.mean())))
    return pd.DataFrame(found, columns=["source", "label", "range used", "1st to 99th percentile", "mean level"])


@recorded_analysis("grey_before_after")
def grey_before_after(edition: Edition, per_source: int = 20, seed: int = 0, bins: int = 64) -> pd.DataFrame:
    """Mean histogram of each class before and after the per-image min-max: step, label, level, density.

    Levels are shares of the file's full range (before) or of [0, 1] (after); each image has the same weight.
    """
    edges, parts = np.linspace(0, 1, bins + 1), []
    for label, paths in sample_rows(edition, per_source, seed).groupby("label")["path"]:
        total = np.zeros((2, bins))
        for raw in map(read_raw, paths):
            total += [np.histogram(x, bins=edges, density=True)[0] for x in (raw / full_range(raw), min_max(raw))]
        for step, density in zip(("before", "after"), total / len(paths), strict=True):
            level = (edges[:-1] + edges[1:]) / 2
            parts.append(pd.DataFrame({"step": step, "label": label, "level": level, "density": density}))
    return pd.concat(parts, ignore_index=True)


@recorded_analysis("undecodable")
def undecodable(edition: Edition, size: int = 64) -> pd.DataFrame:
    """Images that the decoder quarantined, counted: collection, reason, images."""
    quarantined = open_store(edition.images, size).quarantined
    return quarantined.groupby(["collection", "reason"]).size().reset_index(name="images")


def left_out(edition: Edition, undecoded: pd.DataFrame) -> pd.DataFrame:
    """Images that no training set can hold: stage (reader, decoder), collection, reason, images."""
    table = pd.concat([exclusions(edition).assign(stage="reader"), undecoded.assign(stage="decoder")])
    columns = ["stage", "collection", "reason", "images"]
    return table[columns].sort_values(["stage", "images"], ascending=False, ignore_index=True)


@recorded_analysis("dark_surround")
def dark_surround(edition: Edition, size: int = 64) -> pd.DataFrame:
    """How well a dark surround on all four sides tells CT slices from X-rays, for three strictnesses.

    Columns: dark side (least share of a side's pixels below a tenth of the range), CT slices found, X-rays flagged, of each.
    """
    store = open_store(edition.images, size)
    modality = edition.images.set_index("image_id")["modality"]
    ct, pixels = (modality[store.table["image_id"]] == "CT").to_numpy(), store.pixels
    sides = np.stack([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]])
    least = (sides < 25.5).mean(axis=2).min(axis=0)  # dark share of the least dark side of each image
    counts = pd.DataFrame({"dark side": (0.25, 0.5, 0.75)})
    for column, rows in (("CT slices found", ct), ("X-rays flagged", ~ct)):
        counts[column] = [int((least[rows] >= share).sum()) for share in counts["dark side"]]
    return counts.assign(**{"CT slices": int(ct.sum()), "X-rays": int((~ct).sum())})


def surround_sentence(table: pd.DataFrame) -> str:
    """What `dark_surround` says, in one sentence."""
    row = table.iloc[0]
    if row["CT slices"] == 0:
        return "The edition shown here holds no CT slice to try the rule on."
    return (
        f"At its most lenient the rule finds {row['CT slices found']:.0f} of the {row['CT slices']:.0f} CT slices "
        f"and flags {row['X-rays flagged']:,.0f} of {row['X-rays']:,.0f} other images."
    )


@recorded_analysis("sharpness", tolerance=1e-4)
def sharpness(edition: Edition, size: int = 256, images: int = 20, seed: int = 0) -> pd.DataFrame:
    """Mean gradient of each augmented variant over that of its original: image, variant, resampled (times), sharpness.

    The gradient is measured on the central half of the image, away from the repeated edges; angles are random.
    """
    rows = sample_rows(edition, 5, seed).sample(frac=1, random_state=seed).head(images)
    pixels = np.asarray(open_store(rows, size).pixels)
    margin = size // 4
    variants = augment(pixels, "random", seed).reshape(COPIES, *pixels.shape)
    centre = variants[:, :, margin:-margin, margin:-margin].astype(np.float32)
    gradient = np.hypot(*np.gradient(centre, axis=(2, 3))).mean(axis=(2, 3), dtype=np.float64)
    variant, image = (index.ravel() for index in np.indices(gradient.shape))
    table = pd.DataFrame({"image": image, "variant": variant, "sharpness": (gradient / gradient[0]).ravel()})
    return table.merge(variant_table()[["variant", "resampled"]], on="variant")


def angle_table(count: int, seed: int) -> pd.DataFrame:
    """Total rotation of each variant of `count` images under both readings: rotation, variant, image, angle (degrees)."""
    angles = np.stack([total_angles(count, rotation, seed) for rotation in ROTATIONS])
    names = ["rotation", "variant", "image"]
    rows = pd.MultiIndex.from_product([ROTATIONS, range(COPIES), range(count)], names=names)
    return pd.DataFrame({"angle": angles.ravel()}, rows).reset_index()


def storage_table(size: int, images: int) -> pd.DataFrame:
    """Bytes of an image and of so many images, beside the released code's float64 arrays of three channels."""
    formats = ["released code: float64, 3 channels, 256 px", f"here: uint8, 1 channel, {size} px"]
    table = pd.DataFrame({"format": formats, "bytes an image": [RELEASED_BYTES, size**2]})
    table["MiB an image"] = table["bytes an image"] / 2**20
    return table.assign(**{"GiB in all": table["bytes an image"] * images / 2**30})
