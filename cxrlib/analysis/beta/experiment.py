"""A live experiment, small enough to run with the book: logistic regression on thumbnails of the edition's images.

It is not the study's networks. It shows on real images, within seconds and with everything else held fixed, what a
weight does when the fit is converged, when the training set can be separated, and when training stops early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from cxrlib.analysis.beta.scores import COLUMNS, PLAIN, Evidence, method_name
from cxrlib.analysis.toy import BETAS
from cxrlib.errors import DataError, ParameterError
from cxrlib.losses.alternatives import ALTERNATIVES, Loss, Resampling, build_alternative
from cxrlib.losses.weighted import WeightedCrossEntropy

if TYPE_CHECKING:
    from cxrlib.data.editions import Edition

Floats = npt.NDArray[np.float64]
RIDGE = 3e-2  # of the converged fits, on standardised pixels
BALANCING = "WCE, β balancing"
RESAMPLING = "re-sampling"


@dataclass(frozen=True)
class Thumbnails:
    """A small labelled set: features float64 [N, D] in [0, 1], labels int64 [N], a row of `table` each."""

    features: Floats
    labels: npt.NDArray[np.int64]
    table: pd.DataFrame  # image_id, component

    def select(self, index: npt.NDArray[np.int64]) -> "Thumbnails":
        """The rows at `index`."""
        return Thumbnails(self.features[index], self.labels[index], self.table.iloc[index].reset_index(drop=True))


def thumbnails(edition: "Edition", seed: int, images: int = 1000, side: int = 16, size: int = 64) -> Thumbnails:
    """Thumbnails of the combined cohort's training images under protocol clean, a stratified draw of at most `images`.

    Pixels of the store at `size` are averaged in blocks to side x side.
    """
    from cxrlib.data.cohorts import build_cohort
    from cxrlib.data.samples import limit, load_samples
    from cxrlib.images.store import open_store
    from cxrlib.protocols import PROTOCOLS

    if size % side:
        raise ParameterError(f"side = {side} is not allowed: it must divide the image size {size}.")
    rows = build_cohort(edition, "combined", PROTOCOLS["clean"], seed).train
    samples, _ = load_samples(open_store(edition.images, size), rows)
    samples = limit(samples, images, seed)
    blocks = samples.pixels.reshape(len(samples), side, size // side, side, size // side)
    features = blocks.mean(axis=(2, 4), dtype=np.float64).reshape(len(samples), -1) / 255
    return Thumbnails(features, samples.labels, samples.table[["image_id", "component"]])


@dataclass(frozen=True)
class Linear:
    """A linear model on standardised features: log-odds of COVID."""

    mean: Floats
    scale: Floats
    coefficients: Floats  # [D + 1], the intercept last

    def logits(self, features: Floats) -> Floats:
        """Log-odds [N] of features [N, D]."""
        return ((features - self.mean) / self.scale) @ self.coefficients[:-1] + self.coefficients[-1]


def fit(data: Thumbnails, loss: Loss, ridge: float = RIDGE, start: Linear | None = None) -> Linear:
    """Minimise the mean loss plus ridge/2 |slopes|^2 (not the intercept) by L-BFGS in float64.

    loss: (log-odds [N], labels [N]) -> scalar. start: a model to begin from; the minimum of a convex loss does not
    depend on it.
    """
    x, y, mean, scale = standardised(data)
    begin = np.zeros(x.shape[1] + 1) if start is None else start.coefficients.copy()
    w = torch.tensor(begin, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [w], max_iter=200, tolerance_grad=1e-6, tolerance_change=1e-10, history_size=20, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        value = loss(x @ w[:-1] + w[-1], y) + ridge / 2 * w[:-1].square().sum()
        value.backward()
        return value

    solver.step(objective)
    return Linear(mean, scale, w.detach().numpy().copy())


def methods(labels: npt.NDArray[np.int64], betas: Sequence[float] = BETAS) -> dict[str, tuple[float, Loss]]:
    """The losses of the experiment for a training set, by name: (beta or NaN, loss). Plain CE comes first."""
    counts = [int((labels == 0).sum()), int((labels == 1).sum())]
    found: dict[str, tuple[float, Loss]] = {PLAIN: (1.0, WeightedCrossEntropy(1.0))}
    found |= {method_name(beta): (beta, WeightedCrossEntropy(beta)) for beta in betas if beta != 1}
    found[BALANCING] = (np.nan, WeightedCrossEntropy(counts[0] / counts[1]))
    return found | {name: (np.nan, build_alternative(name, counts)) for name in ALTERNATIVES}


def cross_validate(
    data: Thumbnails,
    betas: Sequence[float] = BETAS,
    outer: int = 4,
    inner: int = 3,
    seed: int = 0,
    ridge: float = RIDGE,
) -> pd.DataFrame:
    """Every loss in nested folds that keep components whole: a scores table (`cxrlib.analysis.beta.scores`).

    A fold's "test" rows come from a model fitted to the rest; its "valid" rows are the rest's own inner-fold
    predictions, so no choice made on them has seen the test images or the model's own training images.
    """
    parts = []
    for fold, (rest, test) in enumerate(folds_of(data, outer, seed)):
        train = data.select(rest)
        jobs = [(np.arange(len(rest)), data.select(test), "test")]
        jobs += [(a, train.select(b), "valid") for a, b in folds_of(train, inner, seed + 1 + fold)]
        for index, unseen, split in jobs:
            parts += _fit_all(train.select(index), unseen, split, fold, betas, seed, ridge)
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _fit_all(
    train: Thumbnails, unseen: Thumbnails, split: str, fold: int, betas: Sequence[float], seed: int, ridge: float
) -> list[pd.DataFrame]:
    losses = methods(train.labels, betas)
    plain = fit(train, losses[PLAIN][1], ridge)
    models = {
        name: (beta, plain if name == PLAIN else fit(train, loss, ridge, plain))
        for name, (beta, loss) in losses.items()
    }
    drawn = train.select(Resampling(0.0).draw(train.labels, seed + fold))
    models[RESAMPLING] = (np.nan, fit(drawn, losses[PLAIN][1], ridge, plain))
    return [
        unseen.table.assign(
            fold=fold, method=name, beta=beta, split=split, label=unseen.labels, logit=model.logits(unseen.features)
        )
        for name, (beta, model) in models.items()
    ]


def evidence(edition: "Edition", data: Thumbnails, scores: pd.DataFrame, seed: int) -> Evidence:
    """The experiment's scores as evidence, with its name and provenance."""
    side = round(data.features.shape[1] ** 0.5)
    positive, folds = int(data.labels.sum()), scores["fold"].nunique()
    title = f"logistic regression on {side} × {side} thumbnails (live experiment, not the study's networks)"
    source = (
        f"{edition.short} · cohort combined, protocol clean, training images: {positive} COVID, "
        f"{len(data.labels) - positive} non-COVID · {folds} patient-grouped folds · seed {seed} · ridge {RIDGE:g}"
    )
    return Evidence("experiment", title, source, scores)


def standardised(data: Thumbnails) -> tuple[Tensor, Tensor, Floats, Floats]:
    """Standardised features [N, D] and labels [N] as tensors, and the mean and scale [D] that were used."""
    mean, scale = data.features.mean(axis=0), np.maximum(data.features.std(axis=0), 1e-3)
    return torch.as_tensor((data.features - mean) / scale), torch.as_tensor(data.labels), mean, scale


def folds_of(data: Thumbnails, folds: int, seed: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Stratified folds that keep components whole, as pairs of indices (rest, held out).

    Raises DataError where a class has fewer components than there are folds.
    """
    components = data.table["component"].to_numpy()
    for label, name in ((1, "COVID"), (0, "non-COVID")):
        if len(np.unique(components[data.labels == label])) < folds:
            raise DataError(f"fewer than {folds} patients with a {name} image: use more data or fewer folds.")
    return list(
        StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(data.labels, data.labels, components)
    )
