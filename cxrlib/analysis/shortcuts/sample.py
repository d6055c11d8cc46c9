"""The images of the probes: a seeded draw with a stated number of images of each origin and class."""

import numpy as np
import pandas as pd

from cxrlib.data.cohorts import LATERAL_VIEWS, disputed
from cxrlib.data.editions import Edition
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError
from cxrlib.images.phantom import sites
from cxrlib.images.store import ImageStore


def eligible(edition: Edition) -> pd.DataFrame:
    """Labelled X-rays that are not lateral, one a picture, whose repeats agree: image rows with an `origin`.

    The origin is the source, or for phantoms the acquisition site, which the generator knows. Needs no pixels.
    """
    table = edition.images
    frontal = (table["modality"] == "X-ray") & ~table["view"].isin(LATERAL_VIEWS)
    table = table[table["label"].notna() & frontal & ~disputed(table)].sort_values("image_id")
    table = table.drop_duplicates("repeat").reset_index(drop=True)
    generated = table["path"].str.startswith("phantom:").fillna(False).to_numpy(bool)
    origin = table["source"].to_numpy(dtype=object)
    if generated.any():
        origin[generated] = [f"site {site}" for site in sites(table.loc[generated, "path"].tolist())]
    return table.assign(origin=origin)


def adults(table: pd.DataFrame) -> np.ndarray:
    """Which rows are not known to be of children, bool [N]."""
    return (table["population"] != "paediatric").to_numpy(bool)


def patients(rows: pd.DataFrame) -> pd.DataFrame:
    """How many components of each class an origin has, a row an origin: columns covid and non_covid."""
    counts = rows.pivot_table("component", "origin", "label", aggfunc="nunique", fill_value=0)
    return counts.reindex(columns=["covid", "non_covid"], fill_value=0)


def draw(rows: pd.DataFrame, per_origin: int, seed: int) -> pd.DataFrame:
    """At most `per_origin` of `rows` (`eligible`) of each origin and class, drawn with `seed`.

    Raises DataError where a class has no image.
    """
    shuffled = rows.sort_values("image_id").sample(frac=1, random_state=seed)
    table = shuffled.groupby(["origin", "label"], sort=False).head(per_origin).sort_values("image_id")
    if table["label"].nunique() < 2:
        raise DataError("the images at hand are all of one class: the probes need COVID-19 and other radiographs.")
    return table.reset_index(drop=True)


def load(rows: pd.DataFrame, store: ImageStore) -> Samples:
    """The rows whose image can be read, with their pixels from `store`; `table` holds all columns of `rows`."""
    table = rows[~rows["image_id"].isin(store.quarantined["image_id"])].reset_index(drop=True)
    return Samples(store.take(table["image_id"]), (table["label"] == "covid").to_numpy(np.int64), table)


def composition(rows: pd.DataFrame) -> pd.DataFrame:
    """Images and components by origin and class: origin, label, images, components."""
    grouped = rows.groupby(["origin", "label"])["component"]
    return grouped.agg(images="size", components="nunique").reset_index()
