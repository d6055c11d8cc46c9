"""Three small tables that travel with the package: names, digests, findings and licences, no image.

`cxr-open.csv.gz` has a row for every image of the open edition: what its publisher states, the public repository
and commit it lies at, the SHA-256 of the original file and of the packaged JPEG (`sha256`), and this study's
perceptual hash of that JPEG (`phash`, 64 hexadecimal digits). With it the edition is read without its images.
`covid-chestxray-dataset-2020-07-07.csv` holds the columns this study needs of the metadata of
covid-chestxray-dataset as of 7 July 2020, the state that gives the paper's Table I, and
`covid-chestxray-dataset-states.csv.gz` those of five states that show how the paper's counts came about.
"""

from functools import cache
from pathlib import Path

import pandas as pd


def cxr_open() -> pd.DataFrame:
    """The open edition, a row an image, all columns text and '' where a value is not known."""
    return _read("cxr-open.csv.gz").copy()


def covid_chestxray() -> pd.DataFrame:
    """The metadata of covid-chestxray-dataset of 7 July 2020, all columns text: 758 rows."""
    return _read("covid-chestxray-dataset-2020-07-07.csv").copy()


def covid_chestxray_states() -> pd.DataFrame:
    """Five states of that metadata, all columns text: state (date), patientid, finding, view, modality, folder."""
    return _read("covid-chestxray-dataset-states.csv.gz").copy()


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(Path(__file__).parent / name, dtype=str, keep_default_na=False)
