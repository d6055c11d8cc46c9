"""How much of log beta a linear model shows while it is trained without a penalty: dimension, data, early stopping.

Where the model cannot separate its training set the log-odds settle log beta apart, as theory says. Where it can, no
minimum exists, the log-odds grow without bound and the weight fades (Soudry et al., 2018; Byrd and Lipton, 2019).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from cxrlib.analysis.beta.experiment import Thumbnails, folds_of, standardised
from cxrlib.losses.weighted import weighted_cross_entropy

COARSE = 4  # pixels a side of the thumbnails that a linear model cannot separate the classes by


def coarse(data: Thumbnails, side: int = COARSE) -> Thumbnails:
    """The same images at side x side pixels, averaged in blocks."""
    now = round(data.features.shape[1] ** 0.5)
    blocks = data.features.reshape(-1, side, now // side, side, now // side)
    return Thumbnails(blocks.mean(axis=(2, 4)).reshape(len(blocks), -1), data.labels, data.table)


def training_course(
    data: Thumbnails,
    few: int = 150,
    betas: Sequence[float] = (0.25, 4.0),
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 800,
    rate: float = 0.03,
) -> pd.DataFrame:
    """The courses of three training sets a seed, by Adam on full batches from zero, a row a shown step.

    Sets: "coarse" pixels with all images outside the test fold; "fine" pixels with the same images; "fine, few" with
    `few` of them, fewer than there are pixels and so always separable. Columns: set, pixels, images, seed, beta, step,
    `share` (mean over the unseen images of z_beta - z_1, over log beta; 1 by theory), `differently` (share of unseen
    images that the weighted model and the plain one at threshold 1 / (1 + beta) call differently), `training_errors`
    (share of training images that the plain model gets wrong).
    """
    shown = np.unique(np.geomspace(1, steps, 24).round().astype(int))
    rows = []
    for seed in seeds:
        rest, test = folds_of(data, 4, seed)[0]
        train, unseen = data.select(rest), data.select(test)
        sets = {
            "coarse": (coarse(train), coarse(unseen)),
            "fine": (train, unseen),
            "fine, few": (_few(train, few, seed), unseen),
        }
        for name, (part, held_out) in sets.items():
            settings = {"set": name, "pixels": part.features.shape[1], "images": len(part.labels), "seed": seed}
            rows += [settings | row for row in _course(part, held_out, betas, shown, rate)]
    return pd.DataFrame(rows)


def course_end(course: pd.DataFrame) -> pd.DataFrame:
    """The last step of each course, averaged over seeds and betas: one row a set."""
    last = course[course["step"] == course["step"].max()]
    grouped = last.groupby("set", sort=False)
    sizes = grouped[["pixels", "images"]].first()
    ends = grouped[["share", "differently", "training_errors"]].mean()
    spread = grouped["share"].agg(share_low="min", share_high="max")
    return sizes.join(ends).join(spread).reset_index()


def _course(
    train: Thumbnails, unseen: Thumbnails, betas: Sequence[float], shown: npt.NDArray[np.int64], rate: float
) -> list[dict[str, float]]:
    wide, y, mean, scale = standardised(train)
    x = wide.float()
    new = torch.as_tensor((unseen.features - mean) / scale).float()
    weights = (1.0, *betas)
    w = torch.zeros(x.shape[1] + 1, len(weights), requires_grad=True)
    solver = torch.optim.Adam([w], lr=rate)
    rows: list[dict[str, float]] = []
    for step in range(1, int(shown[-1]) + 1):
        solver.zero_grad()
        z = x @ w[:-1] + w[-1]
        torch.stack([weighted_cross_entropy(z[:, k], y, beta) for k, beta in enumerate(weights)]).sum().backward()
        solver.step()
        if step in shown:
            with torch.no_grad():
                seen, there = (features @ w[:-1] + w[-1] for features in (x, new))
            errors = float(((seen[:, 0] > 0) != (y == 1)).double().mean())
            for k, beta in enumerate(betas, start=1):
                shift = float(np.log(beta))
                share = float((there[:, k] - there[:, 0]).mean()) / shift
                differ = float(((there[:, k] > 0) != (there[:, 0] + shift > 0)).double().mean())
                rows.append(
                    {"beta": beta, "step": step, "share": share, "differently": differ, "training_errors": errors}
                )
    return rows


def _few(data: Thumbnails, images: int, seed: int) -> Thumbnails:
    """A stratified draw of at most `images` rows."""
    generator = np.random.default_rng(seed)
    share = min(images / len(data.labels), 1.0)
    drawn = [
        generator.choice(np.flatnonzero(data.labels == c), max(2, round(share * int((data.labels == c).sum()))), False)
        for c in (0, 1)
    ]
    return data.select(np.sort(np.concatenate(drawn)))
