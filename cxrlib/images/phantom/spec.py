"""Which phantoms there are: a spec and a number name one, and a table lists a whole edition without a pixel.

The default edition mimics the open one: COVID images come from one source, most others from another, and the
candidates for the test set lie inside the collection that the combined cohort adds, as in reality.
"""

import os
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.data.schema import validate_images
from cxrlib.errors import DataError, ParameterError
from cxrlib.storage import digest

VERSION = 1
"""Raised whenever a change of the generator changes a pixel: the digests of all phantoms change with it."""

LICENCE = "CC0 1.0 (generated)"
DEFAULT_CONFOUNDING = 0.5
FINDINGS = ("covid", "normal", "consolidation", "effusion", "cardiomegaly")

_BLOCKS: tuple[tuple[str, str, int, float, set[str]], ...] = (
    # source, finding, images at scale 1, images per patient (mean), flags
    ("phantom_a", "covid", 218, 1.6, {"covidx_candidate", "in_july2020_metadata"}),
    ("phantom_a", "covid", 294, 1.6, {"in_july2020_metadata"}),
    ("phantom_a", "normal", 17, 1.2, {"in_july2020_metadata"}),
    ("phantom_b", "normal", 6300, 1.15, set()),
    ("phantom_b", "consolidation", 900, 1.15, set()),
    ("phantom_b", "effusion", 900, 1.15, set()),
    ("phantom_b", "cardiomegaly", 700, 1.15, set()),
)
_PATH = re.compile(r"phantom:v(\d+),seed=(\d+),confounding=([\d.]+):(\w+):(\d+):(\d+)")


@dataclass(frozen=True)
class PhantomSpec:
    """What decides an edition of phantoms.

    `confounding` in [0, 1]: how far the label decides the acquisition site (0: not at all, 1: entirely).
    `scale`: number of images relative to the default edition's 9,329, at least 0.01.
    """

    seed: int = 0
    confounding: float = DEFAULT_CONFOUNDING
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ParameterError(f"seed = {self.seed} is not allowed: a phantom's seed must be at least 0.")
        if not 0 <= self.confounding <= 1:
            raise ParameterError(f"confounding = {self.confounding} is not allowed: it must be between 0 and 1.")
        if not 0.01 <= self.scale <= 10:
            raise ParameterError(f"scale = {self.scale} is not allowed: it must be between 0.01 and 10.")

    def path(self, finding: str, patient: int, number: int) -> str:
        """The text that names one phantom; `render` needs nothing else."""
        return f"phantom:v{VERSION},seed={self.seed},confounding={self.confounding:g}:{finding}:{patient}:{number}"


def default_spec() -> PhantomSpec:
    """The spec of the phantom edition; the variable `CXR_PHANTOM_SCALE` scales its number of images."""
    text = os.environ.get("CXR_PHANTOM_SCALE", "1")
    try:
        return PhantomSpec(scale=float(text))
    except ValueError as error:
        raise ParameterError(f"CXR_PHANTOM_SCALE = '{text}' is not a number from 0.01 to 10.") from error


def parse_path(path: str) -> tuple[PhantomSpec, str, int, int]:
    """Spec, finding, patient and number that a path names; raises DataError for another text or version."""
    match = _PATH.fullmatch(path)
    if match is None or match[4] not in FINDINGS:
        raise DataError(f"'{path}' does not name a phantom: read the phantom edition again.")
    if int(match[1]) != VERSION:
        raise DataError(
            f"'{path}' belongs to version {match[1]} of the generator, this is {VERSION}: read the edition again."
        )
    return PhantomSpec(int(match[2]), float(match[3])), match[4], int(match[5]), int(match[6])


def images(spec: PhantomSpec) -> pd.DataFrame:
    """The phantoms of a spec as an image table (`schema.IMAGE_TABLE`), at once: no pixel is computed.

    Several images of one patient share the anatomy and differ in pose, exposure and extent of the finding.
    Extra columns: `covidx_candidate`, `in_july2020_metadata` (bool), as in the open edition.
    """
    rng = np.random.default_rng([spec.seed, 7])
    rows: list[dict[str, object]] = []
    patient = 0
    for source, finding, count, per_patient, flags in _BLOCKS:
        left = max(round(count * spec.scale), 8 if finding == "covid" else 3)
        while left:
            here = min(left, int(rng.geometric(1 / per_patient)))
            patient += 1
            for _ in range(here):
                number = len(rows)
                rows.append(_row(spec, source, finding, patient, number, flags))
            left -= here
    return validate_images(pd.DataFrame(rows))


def _row(spec: PhantomSpec, source: str, finding: str, patient: int, number: int, flags: set[str]) -> dict[str, object]:
    path = spec.path(finding, patient, number)
    covid = finding == "covid"
    return {
        "image_id": f"phantom/s{spec.seed}-c{spec.confounding:g}/{number:05d}",
        "path": path,
        "sha256": digest(path),
        "collection": "phantom",
        "source": source,
        "label": "covid" if covid else "non_covid",
        "finding": {"covid": "COVID-19", "normal": "No Finding"}.get(finding, finding.capitalize()),
        "healthy": finding == "normal",
        "patient_id": f"phantom:{spec.seed}:{patient}",
        "view": "PA",
        "modality": "X-ray",
        "population": "adult",
        "licence": LICENCE,
        "width": None,
        "height": None,
        "duplicate_group": None,
        "split": None,
        "covidx_candidate": "covidx_candidate" in flags,
        "in_july2020_metadata": "in_july2020_metadata" in flags,
    }
