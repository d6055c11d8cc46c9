"""Folds of a cross-validation that keep groups (components, patients) whole."""

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from cxrlib.errors import DataError

Indices = npt.NDArray[np.int64]


def grouped_folds(labels: npt.ArrayLike, groups: npt.ArrayLike, folds: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Pairs of positions (rest, held out), int64: no group on both sides, classes in about the same share.

    `labels` and `groups`: [N] of any type. Raises DataError where a class has members of fewer groups than folds.
    """
    y, group = np.asarray(labels), np.asarray(groups)
    for name in np.unique(y):
        there = len(np.unique(group[y == name]))
        if there < folds:
            raise DataError(
                f"class {name} has images of {there} patients only: {folds} are the fewest that can be divided."
            )
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, group))
