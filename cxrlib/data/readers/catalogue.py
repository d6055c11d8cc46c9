"""The collections as their publishers offer them: where, under what licence, how many images, how they must lie.

One declarative table; the readers' errors, `python -m cxrlib fetch` and the chapter on data sets all read it.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrlib.errors import DataError, ParameterError
from cxrlib.paths import data_root


@dataclass(frozen=True)
class Publication:
    """One collection as published.

    `images`: how many its publisher states (None: it changes between versions). `access`: what it takes to get it.
    `folders`: where it may lie
    under the data root, the first that holds a file or folder matching `marker` counts. `layout`: what lies
    in it. `fetchable`: `python -m cxrlib fetch` can get it. `citation`: keys of the bibliography, with commas.
    """

    name: str
    title: str
    publisher: str
    url: str
    licence: str
    images: int | None
    access: str
    fetchable: bool
    folders: tuple[str, ...]
    marker: str
    layout: str
    citation: str


CATALOGUE = {
    publication.name: publication
    for publication in (
        Publication(
            name="covidx_ray_5k",
            title="COVIDX-Ray-5K",
            publisher="Minaee et al., DeepCovid",
            url="https://github.com/shervinmin/DeepCovid",
            licence="COVID-19: per image, as in covid-chestxray-dataset; non-COVID: CheXpert research use agreement",
            images=5071,
            access="a link in the README; the negatives fall under CheXpert's agreement",
            fetchable=False,
            folders=(
                "covidx_ray_5k",
                *(f"covidx_ray_5k/{name}" for name in ("data", "data_covid5k", "data_upload_v3")),
            ),
            marker="train/covid",
            layout="train/covid, train/non, test/covid and test/non, as in the archive that the repository's README links",
            citation="minaee2020",
        ),
        Publication(
            name="covid-chestxray-dataset",
            title="COVID-ChestXray",
            publisher="Cohen et al.",
            url="https://github.com/ieee8023/covid-chestxray-dataset",
            licence="per image, in the column license of metadata.csv; many state none",
            images=None,
            access="open",
            fetchable=True,
            folders=("covid-chestxray-dataset",),
            marker="metadata.csv",
            layout="metadata.csv beside the folders images and volumes, as in the repository",
            citation="cohen2020",
        ),
        Publication(
            name="CheXpert",
            title="CheXpert",
            publisher="Stanford ML Group",
            url="https://stanfordmlgroup.github.io/competitions/chexpert/",
            licence="Stanford University Dataset Research Use Agreement",
            images=223_648,
            access="registration and a use agreement",
            fetchable=False,
            folders=("CheXpert-v1.0-small", "CheXpert-v1.0"),
            marker="train.csv",
            layout="train.csv and valid.csv beside the folders train and valid, as in CheXpert-v1.0-small.zip",
            citation="irvin2019",
        ),
        Publication(
            name="COVIDx",
            title="COVIDx",
            publisher="Wang et al., COVID-Net",
            url="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
            licence="per source; see the publisher's documentation",
            images=None,
            access="a Kaggle account",
            fetchable=False,
            folders=("COVIDx",),
            marker="train*.txt",
            layout="one train*.txt and one test*.txt beside the folders train and test",
            citation="wang2020covidnet",
        ),
        Publication(
            name="ChestX-ray14",
            title="NIH ChestX-ray14",
            publisher="NIH Clinical Center",
            url="https://nihcc.app.box.com/v/ChestXray-NIHCC",
            licence="no restriction on use; attribution to the NIH Clinical Center required",
            images=112_120,
            access="open, by hand",
            fetchable=False,
            folders=("ChestX-ray14",),
            marker="Data_Entry_2017*.csv",
            layout="Data_Entry_2017.csv (or Data_Entry_2017_v2020.csv) beside the folder images or images_001 to images_012",
            citation="wang2017chestxray14",
        ),
        Publication(
            name="cxr-open",
            title="open radiographs",
            publisher="eight public collections",
            url="https://github.com",
            licence="per image, in the column licence of manifest.csv",
            images=9960,
            access="open",
            fetchable=True,
            folders=("cxr-open",),
            marker="manifest.csv",
            layout="manifest.csv beside the folder images",
            citation="cohen2020,winther2020hannover,actualmed2020,wang2017chestxray14,kermany2018,jaeger2014",
        ),
    )
}


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
