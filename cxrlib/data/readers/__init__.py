"""Readers: each published data set in its published layout, as one table of images with a stated remainder."""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from cxrlib.data.readers import chestxray14, chexpert, covid_chestxray, covidx, covidx_ray_5k, cxr_open
from cxrlib.data.readers.base import Collection
from cxrlib.data.readers.catalogue import CATALOGUE, Publication, catalogue_table, locate, problem, where_to_get
from cxrlib.errors import ParameterError

__all__ = [
    "CATALOGUE",
    "READERS",
    "Collection",
    "Publication",
    "Reader",
    "catalogue_table",
    "locate",
    "read_collection",
    "where_to_get",
]


class Reader(Protocol):
    """What every reader module offers."""

    NAME: str
    TITLE: str

    def read(self, root: Path) -> Collection:
        """The collection in the folder `root`."""


class _Phantoms:
    """The generator of phantoms as a reader; imported when it is asked for, since it needs no folder."""

    NAME = "phantom"
    TITLE = "synthetic phantoms"

    def read(self, root: Path | None = None) -> Collection:
        """The generated collection; `root` is not used."""
        collection: Collection = import_module("cxrlib.data.readers.phantom").read(root)
        return collection


READERS: dict[str, Reader] = {
    reader.NAME: reader
    for reader in (covidx_ray_5k, covid_chestxray, chexpert, covidx, chestxray14, cxr_open, _Phantoms())
}
"""Readers by the name of their collection."""


def read_collection(name: str, root: Path | None = None) -> Collection:
    """The collection `name`, from its folder under the data root or from the folder `root`.

    Raises ParameterError for an unknown name; DataError, with where to get it, if it is missing or not laid out
    as published.
    """
    if name not in READERS:
        raise ParameterError(f"unknown collection '{name}': choose one of {', '.join(READERS)}.")
    folder = root or locate(name)
    if name == "phantom":
        return READERS[name].read(folder)  # type: ignore[arg-type]
    if folder is None or not folder.is_dir():
        raise problem(name, f"there is no folder {folder}" if folder else "the collection is not there")
    return READERS[name].read(folder)
