"""The acquisition site's signature: contrast curve, collimation border and a marker letter.

Two sites differ in all three. With confounding c, an image of a COVID patient comes from site 1 with probability
(1 + c) / 2 and any other with (1 - c) / 2: at 0 the site says nothing of the label, at 1 it is the label.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxrlib.images.phantom.anatomy import Field

GAMMA = (0.85, 1.2)  # contrast curve of each site
BORDER = ((0.0, 0.012), (0.02, 0.05))  # width of the collimation border, as a share of the side: least, most
LETTER = ("R", "L")
_MARK = 0.075  # height of the letter, as a share of the side


def draw_site(covid: bool, confounding: float, rng: np.random.Generator) -> int:
    """0 or 1: the site of an image, given its label and the degree of confounding."""
    return int(rng.uniform() < 0.5 * (1 + confounding * (1 if covid else -1)))


def sign(image: Field, site: int, rng: np.random.Generator) -> Field:
    """`image` [S, S] in [0, 1] with the signature of `site`; same shape and range."""
    size = image.shape[0]
    out = image ** (GAMMA[site] * rng.normal(1, 0.06))
    mark = _letter(LETTER[site], size)
    left = int(size * (rng.uniform(0.04, 0.10) if site == 0 else rng.uniform(0.82, 0.88)))
    top = int(size * rng.uniform(0.05, 0.12))
    patch = out[top : top + mark.shape[0], left : left + mark.shape[1]]
    np.maximum(patch, 0.95 * mark[: patch.shape[0], : patch.shape[1]], out=patch)
    width = rng.uniform(*BORDER[site])
    _frame(out, width * size)
    return out


def _frame(image: Field, width: float) -> None:
    """Darken a border of `width` pixels in place; a fraction of a pixel darkens in part."""
    size = image.shape[0]
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32)
    keep = np.clip(edge + 1 - width, 0, 1)
    image *= np.minimum(keep[:, None], keep[None, :])


def _letter(letter: str, size: int) -> Field:
    """A bold letter on black, float32 [h, w] in [0, 1], drawn large and reduced so that every size agrees."""
    canvas = Image.new("L", (96, 112))
    ImageDraw.Draw(canvas).text((12, 0), letter, fill=255, font=ImageFont.load_default(96))
    height = max(round(_MARK * size), 3)
    small = canvas.resize((max(round(height * 96 / 112), 2), height), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255
