"""The collections as their publishers offer them: where, under what licence, how many images, how they must lie.

One declarative table; the readers' errors, `python -m cxrlib fetch` and the chapter on data sets all read it.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd

from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root


@dataclass(frozen=True)
class Publication:
    """One collection as published.

    `access`: what it takes to get it. `fetchable`: `python -m cxrlib fetch` can get it. `folders`: where it may lie
    under the data root, the first that holds a file or folder matching `marker` counts. `layout`: what lies in it.
    `citation`: keys of the bibliography, with commas. `images`: how many its publisher states (None: it changes).
    """

    name: str
    title: str
    publisher: str
    url: str
    licence: str
    access: str
    fetchable: bool
    folders: tuple[str, ...]
    marker: str
    layout: str
    citation: str
    images: int | None = None


CATALOGUE = {
    name: Publication(name, **{**entry, "folders": tuple(entry["folders"])})
    for name, entry in tomllib.loads((files(__package__) / "catalogue.toml").read_text(encoding="utf-8")).items()
}
"""The published collections by name, from `catalogue.toml`."""


def publication(name: str) -> Publication:
    """The entry of a collection; ParameterError for an unknown name or the built-in phantoms."""
    if name == "phantom":
        raise ParameterError("the phantoms are built in: they lie in no folder and need not be fetched.")
    if name not in CATALOGUE:
        raise ParameterError(f"unknown collection '{name}': choose one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def where_to_get(name: str) -> str:
    """Where to get a collection and how it must lie, as the second half of a sentence."""
    if name == "phantom":
        return "it is built in"
    entry = publication(name)
    place = f"under {data_root() / entry.folders[0]} ({entry.layout})"
    if entry.fetchable:
        return f"fetch it with `python -m cxrlib fetch {name}`, or lay it {place}"
    return f"download it from {entry.url} ({entry.access}) and lay it {place}"


def locate(name: str, root: Path | None = None) -> Path | None:
    """Folder of a collection under the data root (or `root`), or None if it does not lie there."""
    if name == "phantom":
        return None
    entry = publication(name)
    for folder in entry.folders:
        candidate = (data_root() if root is None else root) / folder
        if candidate.is_dir() and next(candidate.glob(entry.marker), None) is not None:
            return candidate
    return None


def problem(name: str, text: str) -> DataError:
    """The error for a collection that is missing or not as published: what is wrong, and where to get it."""
    return DataError(f"{publication(name).title}: {text}; {where_to_get(name)}.")


def catalogue_table() -> pd.DataFrame:
    """The catalogue as a table, a row a collection, with whether it is at hand."""
    rows = [
        {
            "collection": entry.name,
            "title": entry.title,
            "publisher": entry.publisher,
            "images": entry.images,
            "licence": entry.licence,
            "access": entry.access,
            "at hand": locate(entry.name) is not None,
            "url": entry.url,
            "layout": entry.layout,
        }
        for entry in CATALOGUE.values()
    ]
    return pd.DataFrame(rows).astype({"images": "Int64"})
