"""The images of the live probes: a seeded draw with a stated number of images of each origin and class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.analysis.shortcuts.dose import sites
from cxrlib.analysis.shortcuts.overlap import linked
from cxrlib.data.draws import LATERAL_VIEWS, disputed
from cxrlib.data.editions import Edition
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.store import open_store

CHILDREN = "paediatric"


@dataclass(frozen=True)
class Sample:
    """Images drawn: pixels uint8 [N, S, S], and a row each of `table` with `component`, `repeat` and `origin`."""

    pixels: npt.NDArray[np.uint8]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 where COVID-19, int64 [N]."""
        return (self.table["label"] == "covid").to_numpy(np.int64)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Component of each image, int64 [N]."""
        return self.table["component"].to_numpy(np.int64)

    def select(self, rows: npt.NDArray[np.bool_]) -> "Sample":
        """The images where `rows`, bool [N], is true."""
        return Sample(self.pixels[rows], self.table[rows].reset_index(drop=True))


def eligible(edition: Edition) -> pd.DataFrame:
    """Labelled X-rays that are not lateral, one a picture, whose repeats agree; with `component`, `repeat`, `origin`.

    The origin is the source, or for phantoms the acquisition site, which the generator knows.
    """
    table = linked(edition)
    usable = (
        table["label"].notna() & (table["modality"] == "X-ray") & ~table["view"].isin(LATERAL_VIEWS) & ~disputed(table)
    )
    table = table[usable].sort_values("image_id").drop_duplicates("repeat").reset_index(drop=True)
    generated = table["path"].str.startswith("phantom:").to_numpy()
    origin = table["source"].astype(str).to_numpy(dtype=object)
    if generated.any():
        origin[generated] = [f"site {site}" for site in sites(table.loc[generated, "path"].tolist())]
    return table.assign(origin=origin)


def draw_sample(rows: pd.DataFrame, size: int, per_origin: int, seed: int) -> Sample:
    """At most `per_origin` images of each origin and class of `rows` (`eligible`), drawn with `seed`, at size x size.

    Raises ParameterError for fewer than 10 an origin, DataError where a class has no image.
    """
    if per_origin < 10:
        raise ParameterError(
            f"per_origin = {per_origin} is not allowed: draw at least 10 images of each origin and class."
        )
    shuffled = rows.sort_values("image_id").sample(frac=1, random_state=seed)
    table = shuffled.groupby(["origin", "label"], sort=False).head(per_origin).sort_values("image_id")
    if table["label"].nunique() < 2:
        raise DataError("the images at hand are all of one class: the probes need COVID-19 and other radiographs.")
    store = open_store(table, size)
    table = table[~table["image_id"].isin(store.quarantined["image_id"])].reset_index(drop=True)
    return Sample(store.take(table["image_id"]), table)


def composition(sample: Sample) -> pd.DataFrame:
    """Images and components of the sample by origin and class: origin, label, images, components."""
    grouped = sample.table.groupby(["origin", "label"])["component"]
    return grouped.agg(images="size", components="nunique").reset_index()
