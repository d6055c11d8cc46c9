"""From path lengths to a radiograph: attenuation, scatter, quantum noise, display, and the site's signature.

I = I0 exp(-sum mu_t L_t). The attenuation coefficients are those of a beam of about 60 keV effective energy,
after the tables of Hubbell and Seltzer (NIST Standard Reference Database 126): water 0.206 / cm; cortical bone
0.315 cm^2/g at 1.92 g/cm^3, taken at five sixths of that density; lung at 0.26 times the density of soft tissue.

Two acquisition sites differ in contrast curve, collimation border and marker letter. With confounding c an image
of a COVID patient comes from site 1 with probability (1 + c) / 2 and any other with (1 - c) / 2: at 0 the site
says nothing of the label, at 1 it is the label.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from cxrlib.errors import ParameterError
from cxrlib.images.phantom.anatomy import FIELD, Field, Patient, Pose, Thorax, heart_scale, opacity, thorax
from cxrlib.images.phantom.spec import parse_path

SOFT, LUNG, BONE = 0.206, 0.054, 0.50  # 1/cm
QUANTA = 4.0e4  # detected quanta per square centimetre behind the mean patient, before exposure varies
SCATTER_RANGE, SCATTER_SHARE = 3.0, 0.45  # cm, standard deviation of its spread; part of the detected signal
GAMMA = (0.85, 1.2)  # contrast curve of each site
BORDER = ((0.0, 0.012), (0.02, 0.05))  # width of the collimation border, as a share of the side: least, most
LETTER = ("R", "L")
_MARK = 0.075  # height of the letter, as a share of the side
_SCATTER_GRID = 64  # pixels a side
_PATIENT, _IMAGE, _EXPOSURE = 1, 2, 3  # separate random streams


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
    found = np.empty((2, len(paths), size, size), bool)
    for k, path in enumerate(paths):
        chest, (_, found[1, k]) = _patient(path, size)
        found[0, k] = chest.mask
    return found[0], found[1]


def sites(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Acquisition site, 0 or 1, of each phantom named, int64 [N]."""
    return np.array([_exposure(path)[3] for path in paths], np.int64)


def draw_site(covid: bool, confounding: float, rng: np.random.Generator) -> int:
    """0 or 1: the site of an image, given its label and the degree of confounding."""
    return int(rng.uniform() < 0.5 * (1 + confounding * (1 if covid else -1)))


def attenuation(chest: Thorax, filled: Field) -> Field:
    """Line integral of mu over the ray, dimensionless, float32 [S, S]; the `filled` part of a lung counts as tissue."""
    tissue = chest.lung * filled
    return SOFT * (chest.soft + tissue) + LUNG * (chest.lung - tissue) + (BONE - SOFT) * chest.bone


def expose(line_integral: Field, exposure: float, rng: np.random.Generator) -> Field:
    """The displayed radiograph before windowing: minus the log of the detected signal, float32 [S, S].

    `exposure` scales the number of quanta. Noise is Poisson for the quanta a pixel's area collects, so a
    smaller image of the same exposure is less noisy a pixel.
    """
    primary = np.exp(-line_integral)
    signal = (1 - SCATTER_SHARE) * primary + SCATTER_SHARE * _spread(primary)
    inside = signal[signal < 0.5]
    mean = float(inside.mean() if inside.size else signal.mean())
    quanta = QUANTA * exposure * (FIELD / len(signal)) ** 2 / mean * signal
    return -np.log(np.maximum(rng.poisson(np.minimum(quanta, 1e9)), 1).astype(np.float32))


def _spread(primary: Field) -> Field:
    """`primary` blurred over `SCATTER_RANGE`, on a coarse grid: nothing finer survives the blur."""
    size = len(primary)
    grid = min(size, _SCATTER_GRID)
    coarse = np.asarray(Image.fromarray(primary).resize((grid, grid), Image.Resampling.BOX))
    blurred = gaussian_filter(coarse, SCATTER_RANGE / FIELD * grid, mode="nearest")
    return np.asarray(Image.fromarray(blurred).resize((size, size), Image.Resampling.BICUBIC))


def _patient(path: str, size: int) -> tuple[Thorax, tuple[Field, npt.NDArray[np.bool_]]]:
    spec, kind, patient, number = parse_path(path)
    rng = np.random.default_rng([spec.seed, number, _IMAGE])
    pose, scale = Pose.draw(rng), heart_scale(kind, rng)
    chest = thorax(Patient.draw(np.random.default_rng([spec.seed, patient, _PATIENT])), pose, size, scale)
    return chest, opacity(kind, chest, rng)


def _exposure(path: str) -> tuple[float, float, float, int, np.random.Generator]:
    """Exposure, the two percentiles of the display window, site, and the stream that its signature continues."""
    spec, kind, _, number = parse_path(path)
    rng = np.random.default_rng([spec.seed, number, _EXPOSURE])
    drawn = float(np.exp(rng.normal(0, 0.35))), rng.uniform(4.0, 12.0), rng.uniform(93.0, 98.5)
    return *drawn, draw_site(kind == "covid", spec.confounding, rng), rng


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
