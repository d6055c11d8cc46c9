"""Readers: each published data set in its published layout, as one table of images with a stated remainder.

`READERS` holds them by name, `CATALOGUE` what their publishers say; `read_data` finds the reader that a folder is for.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cxrlib.data.readers import cxr_open, original, own, phantom
from cxrlib.data.readers.base import CATALOGUE, Collection, Publication, locate, problem, where_to_get
from cxrlib.errors import DataError, ParameterError

__all__ = ["CATALOGUE", "READERS", "Collection", "Publication", "locate", "read_collection",
           "read_data", "where_to_get"]  # fmt: skip


READERS: dict[str, Callable[[Path], Collection]] = {
    original.COVIDX: original.read_covidx,
    original.CHESTXRAY: original.read_chestxray,
    original.CHEXPERT: original.read_chexpert,
    cxr_open.NAME: cxr_open.read,
    phantom.NAME: phantom.read,
}
"""Readers by the name of their collection."""


def read_collection(name: str, root: Path | None = None) -> Collection:
    """The collection `name`, from its folder under the data root or from the folder `root`.

    Raises ParameterError for an unknown name; DataError, with where to get it, if it is missing or not as published.
    """
    if name not in READERS:
        raise ParameterError(f"unknown collection '{name}': choose one of {', '.join(READERS)}.")
    folder = root or locate(name)
    if name != phantom.NAME and (folder is None or not folder.is_dir()):
        raise problem(name, f"there is no folder {folder}" if folder else "the collection is not there")
    return READERS[name](folder or Path())


def read_data(data: str | Path, positive: str | None = None) -> Collection:
    """The collection behind `data`: a folder, a table beside its images, or the name of a collection.

    A folder is read as the first published layout that its files fit, else, and wherever `positive` is given, as a
    table of one's own (`readers.own`). Raises DataError if nothing fits.
    """
    path = Path(data).expanduser()
    if not path.exists():
        if str(data) in READERS:
            return read_collection(str(data))
        known = ", ".join(READERS)
        raise DataError(f"there is no folder {path}: give a folder of images with a CSV table, or one of {known}.")
    published = [name for name, entry in CATALOGUE.items() if path.is_dir() and any(path.glob(entry.marker))]
    readers = [partial(read_collection, name, path) for name in published if positive is None]
    refused: list[DataError] = []
    for read in [*readers, partial(own.read, path, positive)]:
        try:
            return read()
        except DataError as error:  # the file name of another layout
            refused.append(error)
    raise refused[0]
