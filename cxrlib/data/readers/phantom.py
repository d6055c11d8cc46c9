"""The built-in collection: phantoms need no folder and no download.

Their table mimics the open edition's: COVID-19 images come from one source, most others from another, and the
candidates for the test set lie inside the collection that the combined cohort adds, as in reality.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.readers.base import EXCLUSIONS, Collection, validate_images
from cxrlib.images.phantom import PhantomSpec, default_spec
from cxrlib.storage import digest

NAME = "phantom"

_BLOCKS: tuple[tuple[str, str, int, float, bool, bool], ...] = (
    # source, finding, images at scale 1, images per patient (mean), covidx_candidate, in_july2020_metadata
    ("phantom_a", "covid", 218, 1.6, True, True),
    ("phantom_a", "covid", 294, 1.6, False, True),
    ("phantom_a", "normal", 17, 1.2, False, True),
    ("phantom_b", "normal", 6300, 1.15, False, False),
    ("phantom_b", "consolidation", 900, 1.15, False, False),
    ("phantom_b", "effusion", 900, 1.15, False, False),
    ("phantom_b", "cardiomegaly", 700, 1.15, False, False),
)


def read(root: Path | None = None) -> Collection:
    """The phantoms of the default spec; `root` is not used."""
    nothing = pd.DataFrame(columns=[*EXCLUSIONS], dtype=str)
    return Collection(NAME, "synthetic phantoms", images(default_spec()), nothing)


def images(spec: PhantomSpec) -> pd.DataFrame:
    """The phantoms of a spec as an image table (`readers.base.IMAGE_TABLE`), at once: no pixel is computed.

    Several images of one patient share the anatomy and differ in pose, exposure and extent of the finding.
    Extra columns: `covidx_candidate`, `in_july2020_metadata` (bool), as in the open edition.
    """
    rng, rows, patient = np.random.default_rng([spec.seed, 7]), [], 0
    for source, finding, count, per_patient, candidate, july in _BLOCKS:
        left = max(round(count * spec.scale), 8 if finding == "covid" else 3)
        while left:
            here = min(left, int(rng.geometric(1 / per_patient)))
            patient, left = patient + 1, left - here
            rows += [(source, finding, patient, candidate, july)] * here
    table = pd.DataFrame(rows, columns=["source", "finding", "patient", "covidx_candidate", "in_july2020_metadata"])
    paths = [spec.path(row.finding, row.patient, row.Index) for row in table.itertuples()]
    names = {"covid": "COVID-19", "normal": "No Finding"}
    made = table.assign(
        image_id=[f"phantom/s{spec.seed}-c{spec.confounding:g}/{n:05d}" for n in range(len(rows))],
        path=paths,
        sha256=[digest(path) for path in paths],
        collection=NAME,
        label=np.where(table["finding"] == "covid", "covid", "non_covid"),
        healthy=table["finding"] == "normal",
        finding=table["finding"].map(names).fillna(table["finding"].str.capitalize()),
        patient_id=[f"phantom:{spec.seed}:{patient}" for patient in table["patient"]],
        view="PA",
        modality="X-ray",
        population="adult",
        licence="CC0 1.0 (generated)",
        **dict.fromkeys(("width", "height", "duplicate_group", "split")),
    )
    return validate_images(made.drop(columns="patient"))
