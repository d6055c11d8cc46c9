"""The three editions of the study: which collections each joins, what links its images, one digest of its content.

A patient id alone does not link: the same radiograph lies in several collections under other names and patients. The
open edition can be read on every machine: without its images, from the package's manifest, with the same digest.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cxrlib.data import manifests
from cxrlib.data.readers import Collection, cxr_open, locate, read_collection
from cxrlib.data.readers.base import problem
from cxrlib.errors import ParameterError
from cxrlib.images.hashing import image_identity, near_pairs, pack, perceptual_hashes
from cxrlib.paths import data_root
from cxrlib.storage import digest

COLLECTIONS = {
    "original": ("covidx_ray_5k", "covid-chestxray-dataset", "CheXpert"),
    "open": ("cxr-open",),
    "phantom": ("phantom",),
}
"""The collections of each edition, in the order in which `auto` tries them."""

REPEAT_LINKS = ("duplicate_group", "sha256")
LINKS = ("patient_id", *REPEAT_LINKS)
"""Columns of which a shared value links two images; so does a perceptual hash at most `hashing.THRESHOLD` bits away."""

CHEXPERT_POOL = 3000  # images per class (healthy, diseased) that the original edition keeps: twice what a seed draws
_POOL_SEED = 2020
_DERIVED = ["path", "phash", "component", "repeat"]  # columns that do not enter the digest


@dataclass(frozen=True, eq=False)
class Edition:
    """The images the study works on; treat the frames as read only.

    `images`: `readers.base.IMAGE_TABLE`, index 0..N-1, with `component` and `repeat` (see `link`). `excluded`:
    columns `readers.base.EXCLUSIONS`, what the readers and the accepted licences left out. `digest`: SHA-256 of the rows,
    the same wherever the data lie. `has_images`: whether the pixels are at hand, or can be generated.
    """

    name: str
    images: pd.DataFrame
    excluded: pd.DataFrame
    digest: str
    licences: str = "any"
    versions: tuple[str, ...] = ()  # which published version of each collection, where there are several
    has_images: bool = True

    @classmethod
    def of(
        cls, name: str, images: pd.DataFrame, excluded: pd.DataFrame, alike: pd.DataFrame | None = None, **more: Any
    ) -> "Edition":
        """An edition of these rows, sorted, with their digest and linked components; `more`: the other fields."""
        images = images.sort_values("image_id", ignore_index=True)
        return cls(name, link(images, alike), excluded, images_digest(images), **more)

    @property
    def short(self) -> str:
        """Name and first 12 hexadecimal digits of the digest."""
        return f"{self.name} {self.digest[:12]}"

    def require_images(self) -> None:
        """Raise DataError, with where to get them, if the images are not at hand."""
        if not self.has_images:
            raise problem(cxr_open.NAME, "only the table of its images is at hand, not the images")

    def banner(self) -> str:
        """One line of Markdown that names the edition, its images and its digest."""
        label = self.images["label"]
        covid, other = int((label == "covid").sum()), int((label == "non_covid").sum())
        parts = [
            f"**Data: {self.name} edition** (`{self.digest[:12]}`)",
            f"{len(label):,} images: {covid:,} COVID-19, {other:,} non-COVID, {label.isna().sum():,} without a label",
            *self.versions,
        ]
        if not self.has_images:
            parts.append("read from the package's manifest: its images are not here")
        if self.licences != "any":
            parts.append(f"licences accepted: {self.licences}")
        if self.name == "phantom":
            parts.append("**all images are synthetic phantoms: no number here says anything about patients**")
        return " · ".join(parts)


def find_edition() -> str:
    """The first edition all of whose images lie under `data_root()`; 'phantom' needs no data."""
    complete = (name for name, parts in COLLECTIONS.items() if name != "phantom" and all(map(locate, parts)))
    return next(complete, "phantom")


def load_edition(name: str = "auto", licences: str = "any") -> Edition:
    """The edition `name` ('auto': the first whose images are at hand), narrowed to the licences accepted.

    'open' is read from the package's manifest where its images are missing. `licences`: 'any', or comma-separated parts
    of licence names as whole words: 'CC BY' accepts 'CC BY 4.0' but not 'CC BY-NC-SA'. Raises ParameterError for an
    unknown edition or a part that no licence has, DataError where the data are missing.
    """
    name = find_edition() if name == "auto" else name
    if name not in COLLECTIONS:
        raise ParameterError(f"unknown edition '{name}': choose one of auto, {', '.join(COLLECTIONS)}.")
    return _load(name, licences, data_root(), os.environ.get("CXR_PHANTOM_SCALE", ""))


def recorded_edition() -> Edition:
    """The open edition that the committed records and analyses are of, on any machine.

    It has images where those at hand are the packaged JPEGs; originals as fetched have other pixels.
    """
    at_hand = load_edition("open")
    packaged = at_hand.images["sha256"].isin(manifests.cxr_open()["sha256"]).all()
    return at_hand if packaged else _load("open", "any", data_root(), "", listed=True)


@lru_cache(maxsize=4)
def _load(name: str, licences: str, root: Path, scale: str, listed: bool = False) -> Edition:
    """`root` and `scale` only tell loads apart; `listed`: from the package's manifest, even where the images are."""
    has_images = not listed and (name != "open" or locate(cxr_open.NAME) is not None)
    collections = [read_collection(part) for part in COLLECTIONS[name]] if has_images else [cxr_open.read()]
    images = pd.concat([part.images for part in collections], ignore_index=True)
    gone = [_not_needed_of_chexpert(images), _not_accepted(images, licences)]
    excluded = pd.concat([*(part.excluded for part in collections), *gone], ignore_index=True)
    images = images[~images["image_id"].isin(pd.concat(gone)["image_id"])]
    versions = _versions(collections)
    return Edition.of(name, images, excluded, licences=licences, versions=versions, has_images=has_images)


def edition_of(collection: Collection, alike: pd.DataFrame | None = None) -> Edition:
    """An edition of one collection, whichever it is, under that collection's name; `alike` as `link` takes it."""
    versions = _versions([collection])
    return Edition.of(collection.name, collection.images, collection.excluded, alike, versions=versions)


def _versions(collections: Iterable[Collection]) -> tuple[str, ...]:
    return tuple(f"{part.title}: {part.version}" for part in collections if part.version)


def images_digest(images: pd.DataFrame) -> str:
    """SHA-256 of an image table's rows: their content, labels, patients and licences, not where they lie."""
    identity = images.assign(sha256=image_identity(images)).drop(columns=_DERIVED, errors="ignore")
    rows = identity[sorted(identity)].sort_values("image_id").astype("string").fillna("")
    return digest({"columns": list(rows), "rows": rows.to_numpy().tolist()})


def match_licences(present: pd.Series, licences: str) -> pd.Series:
    """Whether each licence text in `present` is accepted, bool; ParameterError for a part that matches none."""
    accepted = pd.Series(licences.strip() == "any", index=present.index)
    for part in () if accepted.all() else (text.strip() for text in licences.split(",")):
        pattern = rf"(?<![\w-]){re.escape(part)}(?![\w-])"
        matching = present.str.contains(pattern, case=False) & bool(part)
        if not matching.any():
            known = "; ".join(sorted(present.unique()))
            raise ParameterError(f"licences: no licence here is named '{part}'; present are: {known}.")
        accepted |= matching
    return accepted


def _not_accepted(images: pd.DataFrame, licences: str) -> pd.DataFrame:
    gone = images.loc[~match_licences(images["licence"], licences), ["image_id", "collection", "licence"]]
    return gone.assign(reason="licence not accepted: " + gone["licence"]).drop(columns="licence")


def _not_needed_of_chexpert(images: pd.DataFrame) -> pd.DataFrame:
    """Exclusions: the rows of CheXpert beyond a seeded pool, one frontal image a patient, for pretraining.

    Patients whose images COVIDX-Ray-5K already holds are left out of the pool.
    """
    rows = images[images["collection"] == "CheXpert"]
    used = images.loc[images["collection"] != "CheXpert", "patient_id"].dropna()
    frontal = rows[rows["view"].isin(["PA", "AP"]) & rows["healthy"].notna() & ~rows["patient_id"].isin(used)]
    shuffled = frontal.sort_values("image_id").sample(frac=1, random_state=_POOL_SEED)
    pool = shuffled.drop_duplicates("patient_id").groupby("healthy").head(CHEXPERT_POOL)
    gone = rows.loc[~rows["image_id"].isin(pool["image_id"]), ["image_id", "collection"]]
    return gone.assign(reason="not needed: beyond the seeded pretraining pool")


def link(images: pd.DataFrame, alike: pd.DataFrame | None = None) -> pd.DataFrame:
    """`images` with the columns `component` (connected by `LINKS`) and `repeat` (by near-duplicates alone), int64.

    A `repeat` is the rows that show one picture. `alike`: pairs of image ids (first, second) known to show one picture
    besides those whose hashes are near. Numbers follow the sorted `image_id`, whatever the order of the rows.
    """
    ordered = images.sort_values("image_id", kind="stable")
    place, hashes = pd.Index(ordered["image_id"]), perceptual_hashes(ordered)
    near = [place.get_indexer(pd.Index(hashes["image_id"]))[near_pairs(pack(hashes["hash"]))]]
    if alike is not None:
        near.append(np.column_stack([place.get_indexer(alike[end]) for end in ("first", "second")]))
    repeat, component = (_connected(ordered, links, near) for links in (REPEAT_LINKS, LINKS))
    return images.assign(component=component, repeat=repeat)


def _connected(ordered: pd.DataFrame, links: Sequence[str], near: list[np.ndarray]) -> pd.Series:
    """Component numbers of rows sorted by `image_id`, from shared values and the pairs of rows `near` [P, 2]."""
    edges, rows = [*near], np.arange(len(ordered))
    for name in links:  # each row joined to the first row of its value; nulls join nothing
        first = pd.Series(rows).groupby(ordered[name].to_numpy()).transform("min")
        edges.append(np.column_stack([first, rows])[first.notna()].astype(np.int64))
    i, j = np.concatenate(edges).T
    graph = coo_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(len(ordered), len(ordered)))
    labels = connected_components(graph, directed=False)[1]
    return pd.Series(pd.factorize(labels)[0].astype(np.int64), index=ordered.index)  # by first appearance
