"""Which images must stay on one side of a split: connected components of everything that links two of them.

A patient id alone does not keep a split clean: the same radiograph lies in several collections under other
names and other patients. The links are the patient, the publisher's group of duplicates, the file's SHA-256
and our own perceptual hash.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cxrlib.images.hashing import THRESHOLD, near_pairs, pack, perceptual_hashes

REPEAT_LINKS = ("duplicate_group", "sha256")
LINKS = ("patient_id", *REPEAT_LINKS)


def link(images: pd.DataFrame, alike: pd.DataFrame | None = None) -> pd.DataFrame:
    """`images` with the columns `component` (everything linked) and `repeat` (near-duplicates alone), int64.

    A `repeat` is a component that patients do not join: the rows that show one picture. `alike`: pairs of
    image ids (columns first, second) known to show one picture besides those whose hashes are near.
    """
    ordered = images.sort_values("image_id", kind="stable")
    near = _hash_edges(ordered, THRESHOLD)
    if alike is not None:
        place = pd.Index(ordered["image_id"])
        near = np.concatenate([near, np.column_stack([place.get_indexer(alike[k]) for k in ("first", "second")])])
    repeat, component = (_number(ordered, links, near) for links in (REPEAT_LINKS, LINKS))
    return images.assign(component=component, repeat=repeat)


def components(images: pd.DataFrame, links: Sequence[str] = LINKS, threshold: int | None = THRESHOLD) -> pd.Series:
    """Connected component of each row, int64, aligned with `images.index`.

    `links` are columns of which a shared non-null value joins two rows; with `threshold` not None, so does
    a perceptual hash at most that many bits away. A row that nothing links is a component of its own.
    Components are numbered by their first `image_id` in sorted order, whatever the order of the rows.
    """
    ordered = images.sort_values("image_id", kind="stable")
    alike = np.empty((0, 2), np.int64) if threshold is None else _hash_edges(ordered, threshold)
    return _number(ordered, links, alike).rename("component").reindex(images.index)


def _number(ordered: pd.DataFrame, links: Sequence[str], alike: np.ndarray) -> pd.Series:
    """Component numbers of rows sorted by `image_id`, from shared values and the pairs of rows `alike` [P, 2]."""
    i, j = np.concatenate([alike, *(_edges(ordered[name]) for name in links)]).T
    graph = coo_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(len(ordered), len(ordered)))
    _, labels = connected_components(graph, directed=False)
    number, _ = pd.factorize(labels)  # by first appearance
    return pd.Series(number.astype(np.int64), index=ordered.index)


def _edges(values: pd.Series) -> np.ndarray:
    """Each row joined to the first row of its value: int64 [E, 2]; nulls join nothing."""
    codes, _ = pd.factorize(values)
    rows = np.flatnonzero(codes >= 0)
    _, first, inverse = np.unique(codes[rows], return_index=True, return_inverse=True)
    return np.column_stack([rows[first[inverse]], rows]).astype(np.int64)


def _hash_edges(ordered: pd.DataFrame, threshold: int) -> np.ndarray:
    """Pairs of rows whose perceptual hashes are at most `threshold` bits apart: int64 [P, 2]."""
    hashes = perceptual_hashes(ordered)
    position = pd.Index(ordered["image_id"]).get_indexer(pd.Index(hashes["image_id"]))
    return position[near_pairs(pack(hashes["hash"]), threshold)].astype(np.int64)
