"""Figures of the chapter on preprocessing; they draw the tables of `analysis.preprocessing`."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from cxrlib.analysis.preprocessing import STEPS, full_range, step_images
from cxrlib.figures.style import CLASS_COLOURS, PALETTE
from cxrlib.images.augmentation import ANGLES, augment, variant_table
from cxrlib.names import name


def plot_steps(examples: pd.DataFrame, size: int) -> Figure:
    """A row an example, a column a step; decoded images are drawn over the full range of their type."""
    size_in = (8, 2.7 * len(examples))
    figure, axes = plt.subplots(len(examples), len(STEPS), figsize=size_in, squeeze=False, layout="constrained")
    for row, example in zip(axes, examples.itertuples(), strict=True):
        for axis, (step, image) in zip(row, step_images(str(example.path), size).items(), strict=True):
            axis.imshow(image, vmin=0, vmax=full_range(image) if step == "decoded" else 1.0)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{step}, {image.shape[1]} x {image.shape[0]}", fontsize="small")
        licence = textwrap.shorten(str(example.licence), 34, placeholder=" …")
        row[0].set_ylabel(f"{name(example.label)}\n{example.source}\n{licence}", fontsize="x-small")
    return figure


def plot_intensity(means: pd.DataFrame) -> Figure:
    """Mean histogram of each class, before and after the per-image min-max (`grey_before_after`)."""
    shown = means.assign(label=means["label"].map(name), step=means["step"] + " min-max")
    lines = {"hue": "label", "palette": {name(label): colour for label, colour in CLASS_COLOURS.items()}}
    grid = sns.relplot(shown, kind="line", x="level", y="density", col="step", **lines, height=3.5, aspect=1.1)
    grid.set_titles("{col_name}").set_axis_labels("grey level (share of the file's range)").set(ylim=(0, None))
    return grid.figure


def plot_variants(pixels: np.ndarray, rotation: str, seed: int) -> Figure:
    """The 32 variants of one image (uint8 [S, S]), four rows of eight, named by what was done."""
    figure, axes = plt.subplots(4, 8, figsize=(10, 5.9), layout="constrained")
    variants = augment(pixels[None], rotation, seed)
    for axis, title, image in zip(axes.flat, variant_table()["name"], variants, strict=True):
        axis.imshow(image, vmin=0, vmax=255)
        axis.set_title(title, fontsize=6.5, loc="center")
        axis.axis("off")
    return figure


def plot_angles(table: pd.DataFrame) -> Figure:
    """Left: how many of the 32 variants share each total angle; right: totals with random angles (`angle_table`)."""
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


def plot_sharpness(table: pd.DataFrame) -> Figure:
    """Sharpness of the variants by how often they were resampled (`sharpness`)."""
    figure, axis = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
    sns.boxplot(table, x="resampled", y="sharpness", color=PALETTE["sky"], width=0.6, fliersize=2, ax=axis)
    axis.axhline(1, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlabel="rotations the copy went through", ylabel="mean gradient, original = 1")
    return figure
