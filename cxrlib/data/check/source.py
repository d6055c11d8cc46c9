"""Which reader a folder is for: a published layout that fits, else a folder with a table of one's own."""

from pathlib import Path

from cxrlib.data.readers import CATALOGUE, READERS, Collection, own, read_collection
from cxrlib.errors import DataError, ParameterError


def read_data(data: str | Path, layout: str | None = None, positive: str | None = None) -> Collection:
    """The collection behind `data`: a folder, a CSV table beside its images, or the name of a collection.

    A folder is read as the first published layout that its files fit, else as a table of one's own (`readers.own`);
    `layout` names the reader instead. Raises ParameterError for an unknown layout, DataError if nothing fits.
    """
    if layout is not None and layout not in (*READERS, own.NAME):
        raise ParameterError(f"unknown layout '{layout}': choose one of {', '.join((*READERS, own.NAME))}.")
    path = Path(data).expanduser()
    if not path.exists():
        if str(data) in READERS:
            return read_collection(str(data))
        if str(data) != own.NAME or (found := own.locate()) is None:
            known = f"{', '.join(READERS)} or {own.NAME}"
            raise DataError(f"there is no folder {path}: give a folder of images with a CSV table, or one of {known}.")
        path = found
    if layout == own.NAME or positive is not None or path.is_file():
        return own.read(path, positive)
    if layout is not None:
        return read_collection(layout, path)
    for name, entry in CATALOGUE.items():
        if next(path.glob(entry.marker), None) is not None:
            try:
                return read_collection(name, path)
            except DataError:
                continue  # another layout's file name; the table of one's own is tried last
    return own.read(path)
