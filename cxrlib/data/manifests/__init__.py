"""Three small tables that travel with the package: names, digests, findings and licences, no image; all columns text.

`cxr-open.csv.gz` also holds the SHA-256 of each original file and of the packaged JPEG (`sha256`), and this study's
perceptual hash of that JPEG (`phash`, 64 hexadecimal digits): with it the open edition is read without its images.
"""

from functools import cache
from pathlib import Path

import pandas as pd


def cxr_open() -> pd.DataFrame:
    """A row an image of the open edition: what its publisher states, where it lies in public; '' where unknown."""
    return _read("cxr-open.csv.gz").copy()


def covid_chestxray() -> pd.DataFrame:
    """The metadata of covid-chestxray-dataset of 7 July 2020, the state that gives the paper's Table I: 758 rows."""
    return _read("covid-chestxray-dataset-2020-07-07.csv").copy()


def covid_chestxray_states() -> pd.DataFrame:
    """Five states of that metadata: state (date), patientid, finding, view, modality, folder."""
    return _read("covid-chestxray-dataset-states.csv.gz").copy()


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(Path(__file__).parent / name, dtype=str, keep_default_na=False)
