"""What decides a phantom: a spec, a finding, a patient and a number, all in one text that stands for its file."""

import os
import re
from dataclasses import dataclass

from cxrlib.errors import DataError, ParameterError

VERSION = 3
"""Raised whenever a change of the generator changes a pixel: the digests of all phantoms change with it."""

FINDINGS = ("covid", "normal", "consolidation", "effusion", "cardiomegaly")
_PATH = re.compile(r"phantom:v(\d+),seed=(\d+),confounding=([\d.]+):(\w+):(\d+):(\d+)")


@dataclass(frozen=True)
class PhantomSpec:
    """What decides an edition of phantoms.

    `confounding` in [0, 1]: how far the label decides the acquisition site (0: not at all, so that only the finding
    tells COVID-19; 1: entirely). `scale`: number of images relative to the default edition's, at least 0.01.
    """

    seed: int = 0
    confounding: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (("seed", 0, 2**63), ("confounding", 0, 1), ("scale", 0.01, 10)):
            if not low <= getattr(self, name) <= high:
                raise ParameterError(f"{name} = {getattr(self, name)} is not allowed: from {low} to {high}.")

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
