"""One bootstrap over components and training seeds together, for figures that are means over runs.

Runs of one draw of the images share their test set, so their counts are never pooled as if independent: each draw of the
bootstrap takes the same components for all of them, and seeds with replacement within each draw of the images.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.evaluation.ranking import Bools, Floats

Run = tuple[int, int]  # draw of the images, seed of the training


class Bootstrap:
    """Weighted samples of components and of runs: the data as they are, then `draws` of the bootstrap.

    components, positive: [N], over all test images of all runs; components with a positive image and those without are
    drawn separately. runs: (draw of the images, seed) of every run.
    """

    def __init__(
        self, components: npt.ArrayLike, positive: Bools, runs: Iterable[Run], draws: int = 300, seed: int = 0
    ):
        names, code = np.unique(np.asarray(components), return_inverse=True)
        stratum = np.bincount(code, weights=positive, minlength=len(names)) > 0
        generator = np.random.default_rng(seed)
        self.index = pd.Series(np.arange(len(names)), names)
        self.counts = np.ones((1 + draws, len(names)), np.float32)
        for part in filter(np.any, (stratum, ~stratum)):
            self.counts[1:, part] = generator.multinomial(part.sum(), np.full(part.sum(), 1 / part.sum()), size=draws)
        self.runs: dict[Run, Floats] = {}
        for draw, group in pd.DataFrame(sorted(set(runs)), columns=["draw", "seed"]).groupby("draw"):
            drawn = generator.multinomial(len(group), np.full(len(group), 1 / len(group)), size=draws)
            for k, training in enumerate(group["seed"]):
                self.runs[int(str(draw)), training] = np.concatenate([[1.0], drawn[:, k]])

    def images(self, components: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """How often each image is drawn, [1 + draws, N], from its component."""
        return self.counts[:, self.index.loc[np.asarray(components)].to_numpy()]

    def mean(self, values: Mapping[Any, Floats]) -> Floats:
        """The mean of values [1 + draws] by run, over the runs drawn; a pair of runs (draw, a, b) counts as often as both."""
        weights = {run: np.prod([self.runs[run[0], s] for s in run[1:]], axis=0) for run in values}
        total, summed = sum(weights.values()), sum(weights[run] * values[run] for run in values)
        return np.divide(summed, total, out=np.full(len(self.counts), np.nan), where=total > 0)

    def estimate(self, values: Mapping[Any, Floats]) -> tuple[float, float, float]:
        """The mean over the runs as they are, with the middle 95 % of the bootstrap's."""
        return interval_of(self.mean(values))


def interval_of(values: Floats) -> tuple[float, float, float]:
    """The value of the data, which comes first, and the middle 95 % of the others; NaN where none is defined."""
    known = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(values[0]), float(low), float(high)


def rates(labels: Bools, positive: Bools, weights: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Sensitivity and specificity in weighted samples [D, N] of decisions bool [N, K]: [D, K] each."""
    found = []
    for rows, right in ((labels, positive), (~labels, ~positive)):
        total = weights[:, rows].sum(axis=1, keepdims=True)
        won = weights[:, rows] @ right[rows].astype(np.float32)
        found.append(np.divide(won, total, out=np.full(won.shape, np.nan, np.float64), where=total > 0))
    return found[0], found[1]
