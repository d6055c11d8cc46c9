"""Phantoms: synthetic chest-radiograph-like images with a known truth, in place of radiographs not at hand.

A path of text stands for a phantom's file: spec, finding, patient and number decide it. From the path lengths through
its thorax (`phantom_anatomy`) to the radiograph: I = I0 exp(-sum mu_t L_t), scatter, quantum noise, display. The
attenuation coefficients are those of a beam of about 60 keV effective energy, after the tables of Hubbell and Seltzer
(NIST Standard Reference Database 126): water 0.206 / cm; cortical bone 0.315 cm^2/g at 1.92 g/cm^3, taken at five
sixths of that density; lung at 0.26 times the density of soft tissue.

Two acquisition sites differ in contrast curve, collimation border and marker letter. With confounding c an image of a
COVID patient comes from site 1 with probability (1 + c) / 2 and any other with (1 - c) / 2: at 0 the site says nothing
of the label, at 1 it is the label.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from cxrlib.errors import DataError, ParameterError
from cxrlib.images.phantom_anatomy import FIELD, Field, Thorax, draw_patient, draw_pose, heart_scale, opacity, thorax

VERSION = 3
"""Raised whenever a change of the generator changes a pixel: the digests of all phantoms change with it."""

FINDINGS = ("covid", "normal", "consolidation", "effusion", "cardiomegaly")
SOFT, LUNG, BONE = 0.206, 0.054, 0.50  # 1/cm
QUANTA = 4.0e4  # detected quanta per square centimetre behind the mean patient, before exposure varies
SCATTER_RANGE, SCATTER_SHARE = 3.0, 0.45  # cm, standard deviation of its spread; part of the detected signal
GAMMA = (0.85, 1.2)  # contrast curve of each site
BORDER = ((0.0, 0.012), (0.02, 0.05))  # width of the collimation border, as a share of the side: least, most
LETTER = ("R", "L")
_MARK = 0.075  # height of the letter, as a share of the side
_SCATTER_GRID = 64  # pixels a side
_PATIENT, _IMAGE, _EXPOSURE = 1, 2, 3  # separate random streams
_PATH = re.compile(rf"phantom:v{VERSION},seed=(\d+),confounding=([\d.]+):({'|'.join(FINDINGS)}):(\d+):(\d+)")


@dataclass(frozen=True)
class PhantomSpec:
    """What decides an edition of phantoms.

    `confounding` in [0, 1]: how far the label decides the acquisition site (0: not at all, so that only the finding
    tells COVID-19; 1: entirely). `scale`: number of images relative to the default edition's, at least 0.01.
    """

    seed: int = 0
    confounding: float = 0.0
    scale: float = 1.0

    def path(self, finding: str, patient: int, number: int) -> str:
        """The text that names one phantom; `render` needs nothing else."""
        return f"phantom:v{VERSION},seed={self.seed},confounding={self.confounding:g}:{finding}:{patient}:{number}"


def default_spec() -> PhantomSpec:
    """The spec of the phantom edition; the variable `CXR_PHANTOM_SCALE` scales its number of images."""
    text = os.environ.get("CXR_PHANTOM_SCALE", "1")
    if not re.fullmatch(r"\d*\.?\d+", text) or not 0.01 <= float(text) <= 10:
        raise ParameterError(f"CXR_PHANTOM_SCALE = '{text}' is not a number from 0.01 to 10.")
    return PhantomSpec(scale=float(text))


def parse_path(path: str) -> tuple[PhantomSpec, str, int, int]:
    """Spec, finding, patient and number that a path names; raises DataError for another text or version."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise DataError(f"'{path}' names no phantom of this generator: read the phantom edition again.")
    seed, confounding, finding, patient, number = match.groups()
    return PhantomSpec(int(seed), float(confounding)), finding, int(patient), int(number)


def render(paths: Sequence[str], size: int) -> npt.NDArray[np.uint8]:
    """The phantoms that `paths` name, uint8 [N, size, size]; dense tissue is bright.

    Raises DataError for a path that names no phantom of this generator, ParameterError for a size below 16.
    """
    if size < 16:
        raise ParameterError(f"size = {size} is not allowed: a phantom needs at least 16 pixels a side.")
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        images = list(pool.map(lambda path: _render_one(path, size), paths))
    return np.stack(images) if images else np.empty((0, size, size), np.uint8)


def masks(paths: Sequence[str], size: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The truth: the lungs and the finding of each phantom, two arrays bool [N, size, size]."""
    found = np.empty((2, len(paths), size, size), bool)
    for k, path in enumerate(paths):
        chest, (_, found[1, k]) = _patient(path, size)
        found[0, k] = chest.mask
    return found[0], found[1]


def sites(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Acquisition site, 0 or 1, of each phantom named, int64 [N]."""
    return np.array([_exposure(path)[3] for path in paths], np.int64)


def attenuation(chest: Thorax, filled: Field) -> Field:
    """Line integral of mu over the ray, dimensionless, float32 [S, S]; the `filled` part of a lung counts as tissue."""
    tissue = chest.lung * filled
    return SOFT * (chest.soft + tissue) + LUNG * (chest.lung - tissue) + (BONE - SOFT) * chest.bone


def expose(line_integral: Field, exposure: float, rng: np.random.Generator) -> Field:
    """The displayed radiograph before windowing: minus the log of the detected signal, float32 [S, S].

    `exposure` scales the number of quanta. Noise is Poisson for the quanta a pixel's area collects, so a smaller image
    of the same exposure is less noisy a pixel. Scatter is spread on a coarse grid: nothing finer survives the blur.
    """
    primary = np.exp(-line_integral)
    size = len(primary)
    grid = min(size, _SCATTER_GRID)
    coarse = np.asarray(Image.fromarray(primary).resize((grid, grid), Image.Resampling.BOX))
    blurred = gaussian_filter(coarse, SCATTER_RANGE / FIELD * grid, mode="nearest")
    scatter = np.asarray(Image.fromarray(blurred).resize((size, size), Image.Resampling.BICUBIC))
    signal = (1 - SCATTER_SHARE) * primary + SCATTER_SHARE * scatter
    inside = signal[signal < 0.5]
    mean = float(inside.mean() if inside.size else signal.mean())
    quanta = QUANTA * exposure * (FIELD / size) ** 2 / mean * signal
    return -np.log(np.maximum(rng.poisson(np.minimum(quanta, 1e9)), 1).astype(np.float32))


def _patient(path: str, size: int) -> tuple[Thorax, tuple[Field, npt.NDArray[np.bool_]]]:
    spec, kind, patient, number = parse_path(path)
    rng = np.random.default_rng([spec.seed, number, _IMAGE])
    pose, scale = draw_pose(rng), heart_scale(kind, rng)
    chest = thorax(draw_patient(np.random.default_rng([spec.seed, patient, _PATIENT])), pose, size, scale)
    return chest, opacity(kind, chest, rng)


def _exposure(path: str) -> tuple[float, float, float, int, np.random.Generator]:
    """Exposure, the two percentiles of the display window, site, and the stream that its signature continues."""
    spec, kind, _, number = parse_path(path)
    rng = np.random.default_rng([spec.seed, number, _EXPOSURE])
    drawn = float(np.exp(rng.normal(0, 0.35))), rng.uniform(4.0, 12.0), rng.uniform(93.0, 98.5)
    share = 0.5 * (1 + spec.confounding * (1 if kind == "covid" else -1))  # of such images that come from site 1
    return *drawn, int(rng.uniform() < share), rng


def _render_one(path: str, size: int) -> npt.NDArray[np.uint8]:
    chest, (filled, _) = _patient(path, size)
    exposure, low, high, site, rng = _exposure(path)
    noise = rng.spawn(1)[0]  # its own stream: how many quanta are drawn depends on the size
    image = expose(attenuation(chest, filled), exposure, noise)
    bottom, top = np.percentile(image, (low, high)).astype(np.float32)
    image = np.clip((image - bottom) / max(top - bottom, np.float32(1e-6)), 0, 1)
    return np.rint(255 * _sign(image, site, rng)).astype(np.uint8)


def _sign(image: Field, site: int, rng: np.random.Generator) -> Field:
    """`image` [S, S] in [0, 1] with the signature of `site`; same shape and range."""
    size = len(image)
    out = image ** (GAMMA[site] * rng.normal(1, 0.06))
    mark = _letter(LETTER[site], size)
    left = int(size * (rng.uniform(0.04, 0.10) if site == 0 else rng.uniform(0.82, 0.88)))
    top = int(size * rng.uniform(0.05, 0.12))
    patch = out[top : top + mark.shape[0], left : left + mark.shape[1]]
    np.maximum(patch, 0.95 * mark[: patch.shape[0], : patch.shape[1]], out=patch)
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32)
    inside = np.clip(edge + 1 - size * rng.uniform(*BORDER[site]), 0, 1)  # a fraction of a pixel darkens in part
    return np.clip(out * np.minimum(inside[:, None], inside), 0, 1)


@lru_cache(maxsize=32)
def _letter(letter: str, size: int) -> Field:
    """A bold letter on black, float32 [h, w] in [0, 1], drawn large and reduced so that every size agrees."""
    canvas = Image.new("L", (96, 112))
    ImageDraw.Draw(canvas).text((12, 0), letter, fill=255, font=ImageFont.load_default(96))
    height = max(round(_MARK * size), 3)
    small = canvas.resize((max(round(height * 96 / 112), 2), height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255
