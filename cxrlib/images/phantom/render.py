"""Phantoms as pixels, from the text that names each; every image is computed alone, so batches never matter."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.errors import ParameterError
from cxrlib.images.phantom.anatomy import Patient, Pose, Thorax, grid, thorax
from cxrlib.images.phantom.detector import attenuation, expose, window
from cxrlib.images.phantom.findings import Finding, heart_scale, opacity
from cxrlib.images.phantom.site import draw_site, sign
from cxrlib.images.phantom.spec import FINDINGS, PhantomSpec, parse_path

_PATIENT, _IMAGE, _NOISE = 1, 2, 3  # separate random streams


def render(paths: Sequence[str], size: int) -> npt.NDArray[np.uint8]:
    """The phantoms that `paths` name, uint8 [N, size, size]; dense tissue is bright.

    An image depends on its path and the size alone. Raises DataError for a path that names no phantom of
    this generator, ParameterError for a size below 16.
    """
    if size < 16:
        raise ParameterError(f"size = {size} is not allowed: a phantom needs at least 16 pixels a side.")
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        images = list(pool.map(lambda path: _render_one(path, size), paths))
    return np.stack(images) if images else np.empty((0, size, size), np.uint8)


def masks(paths: Sequence[str], size: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The truth: the lungs and the finding of each phantom, two arrays bool [N, size, size]."""
    parts = [_patient_parts(path, size)[:2] for path in paths]
    if not parts:
        empty = np.empty((0, size, size), bool)
        return empty, empty.copy()
    return np.stack([chest.lung_mask for chest, _ in parts]), np.stack([finding.mask for _, finding in parts])


def montage(
    spec: PhantomSpec, findings: Sequence[str] = FINDINGS, columns: int = 4, size: int = 256
) -> tuple[npt.NDArray[np.uint8], pd.DataFrame]:
    """A grid of phantoms, a row a finding: uint8 [rows x size, columns x size], and the path in each place."""
    places = pd.DataFrame(
        [
            {
                "row": r,
                "column": c,
                "finding": finding,
                "path": spec.path(finding, 90_000 + 100 * r + c, 90_000 + 100 * r + c),
            }
            for r, finding in enumerate(findings)
            for c in range(columns)
        ]
    )
    tiles = render(places["path"].tolist(), size).reshape(len(findings), columns, size, size)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(len(findings) * size, columns * size), places


def _render_one(path: str, size: int) -> npt.NDArray[np.uint8]:
    chest, finding, spec, kind, number = _patient_parts(path, size)
    rng = np.random.default_rng([spec.seed, number, _NOISE])
    exposure = float(np.exp(rng.normal(0, 0.35)))
    low, high = rng.uniform(4.0, 12.0), rng.uniform(93.0, 98.5)
    site = draw_site(kind == "covid", spec.confounding, rng)
    marks = np.random.default_rng([spec.seed, number, _NOISE, site])
    image = sign(window(expose(attenuation(chest, finding.opacity), exposure, rng), low, high), site, marks)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)


def _patient_parts(path: str, size: int) -> tuple[Thorax, Finding, PhantomSpec, str, int]:
    spec, kind, patient_number, number = parse_path(path)
    patient = Patient.draw(np.random.default_rng([spec.seed, patient_number, _PATIENT]))
    rng = np.random.default_rng([spec.seed, number, _IMAGE])
    pose = Pose.draw(rng)
    chest = thorax(patient, pose, size, heart_scale(kind, rng))
    x, z = grid(size, pose)
    return chest, opacity(kind, chest, x, z, rng), spec, kind, number
