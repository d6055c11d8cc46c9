"""From path lengths to a radiograph: Beer-Lambert attenuation, scatter, quantum noise, logarithmic display.

I = I0 exp(-sum mu_t L_t). The attenuation coefficients are those of a beam of about 60 keV effective energy,
after the tables of Hubbell and Seltzer (NIST Standard Reference Database 126): water 0.206 / cm; cortical bone
0.315 cm^2/g at 1.92 g/cm^3, taken at five sixths of that density; lung at 0.26
times the density of soft tissue.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrlib.images.phantom.anatomy import FIELD, Field, Thorax

MU = {"soft": 0.206, "lung": 0.054, "bone": 0.50}  # 1/cm
QUANTA = 4.0e4  # detected quanta per square centimetre behind the mean patient, before exposure varies
SCATTER_RANGE = 3.0  # cm, standard deviation of the scatter's spread
SCATTER_SHARE = 0.45  # of the detected signal
_SCATTER_GRID = 64  # pixels a side


def attenuation(thorax: Thorax, opacity: Field) -> Field:
    """Line integral of mu over the ray, dimensionless, float32 [S, S]; filled lung counts as soft tissue."""
    filled = thorax.lung * opacity
    return (
        MU["soft"] * (thorax.soft + filled)
        + MU["lung"] * (thorax.lung - filled)
        + (MU["bone"] - MU["soft"]) * thorax.bone
    ).astype(np.float32)


def expose(line_integral: Field, exposure: float, rng: np.random.Generator) -> Field:
    """The displayed radiograph before windowing: minus the log of the detected signal, float32 [S, S].

    `exposure` scales the number of quanta. Noise is Poisson for the quanta a pixel's area collects, so a
    smaller image of the same exposure is less noisy a pixel.
    """
    size = line_integral.shape[0]
    primary = np.exp(-line_integral)
    scatter = _spread(primary)
    signal = (1 - SCATTER_SHARE) * primary + SCATTER_SHARE * scatter
    inside = signal < 0.5
    mean = float(signal[inside].mean()) if inside.any() else float(signal.mean())
    quanta = QUANTA * exposure * (FIELD / size) ** 2 * signal / mean
    counts = np.maximum(rng.poisson(np.minimum(quanta, 1e9)), 1.0)
    return -np.log(counts).astype(np.float32)


def window(image: Field, low: float, high: float) -> Field:
    """`image` scaled so that its percentiles `low` and `high` (0 to 100) become 0 and 1, clipped."""
    bottom, top = np.percentile(image, [low, high])
    return np.clip((image - bottom) / max(float(top - bottom), 1e-6), 0, 1).astype(np.float32)


def _spread(primary: Field) -> Field:
    """`primary` blurred over `SCATTER_RANGE`, on a coarse grid: nothing finer survives the blur."""
    size = primary.shape[0]
    grid = min(size, _SCATTER_GRID)
    coarse = np.asarray(Image.fromarray(primary).resize((grid, grid), Image.Resampling.BOX))
    blurred = gaussian_filter(coarse, SCATTER_RANGE / FIELD * grid, mode="nearest")
    return np.asarray(Image.fromarray(blurred).resize((size, size), Image.Resampling.BICUBIC))
