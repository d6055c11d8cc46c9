"""Findings: how much of the lung's air each replaces, as a fraction of the path through the lung.

COVID-like ground glass is bilateral, peripheral and lower-zone predominant and may be faint; the others are
normal lungs, a lobar consolidation, a pleural effusion with its meniscus, and an enlarged heart.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrlib.images.phantom.anatomy import Field, Thorax

TEXTURE_GRID = 48  # nodes a side of the random field that breaks a finding up


@dataclass(frozen=True)
class Finding:
    """`opacity`: fraction of the lung's path that is filled, float32 [S, S] in [0, 1]; `mask`: where it counts."""

    opacity: Field
    mask: npt.NDArray[np.bool_]


def heart_scale(finding: str, rng: np.random.Generator) -> float:
    """Width of the heart relative to the patient's: 1.25 to 1.55 for cardiomegaly, else near 1."""
    draw = rng.uniform()  # drawn for every finding, so that what follows is the same
    return 1.25 + 0.3 * draw if finding == "cardiomegaly" else 0.94 + 0.14 * draw


def opacity(finding: str, thorax: Thorax, x: Field, z: Field, rng: np.random.Generator) -> Finding:
    """The finding's filling of the lungs; empty for a normal chest and for cardiomegaly."""
    noise = texture(rng, x.shape[0])
    background = 0.03 * np.abs(texture(rng, x.shape[0]))  # no lung is evenly clear
    draw = {"covid": _ground_glass, "consolidation": _consolidation, "effusion": _effusion}.get(finding)
    added = np.zeros_like(x) if draw is None else draw(thorax, x, z, noise, rng)
    added = np.clip(added, 0, 0.97) * thorax.lung_mask
    return Finding(np.clip(added + background * thorax.lung_mask, 0, 1).astype(np.float32), added > 0.06)


def texture(rng: np.random.Generator, size: int) -> Field:
    """A smooth random field, float32 [size, size], mean 0, deviation about 1, the same at every size."""
    coarse = rng.normal(size=(TEXTURE_GRID, TEXTURE_GRID)).astype(np.float32)
    at = (np.arange(size) + 0.5) / size * (TEXTURE_GRID - 1)
    low = np.minimum(at.astype(int), TEXTURE_GRID - 2)
    t = (at - low).astype(np.float32)
    t = t * t * (3 - 2 * t)
    rows = coarse[low] * (1 - t)[:, None] + coarse[low + 1] * t[:, None]
    return rows[:, low] * (1 - t) + rows[:, low + 1] * t


def _ground_glass(thorax: Thorax, x: Field, z: Field, noise: Field, rng: np.random.Generator) -> Field:
    severity = rng.beta(1.6, 2.2)  # many are faint
    place = thorax.periphery**1.5 * np.clip(1.4 * thorax.height - 0.15, 0, 1)
    out = (0.10 + 0.16 * severity) * place
    for _ in range(int(rng.integers(3, 8))):
        side = rng.choice([-1.0, 1.0])
        cx, cz = side * rng.uniform(5.5, 11.5), rng.normal(3.5, 3.5)
        spread = rng.uniform(1.0, 2.8)
        blob = np.exp(-(((x - cx) / spread) ** 2 + ((z - cz) / (1.4 * spread)) ** 2))
        out = out + (0.12 + 0.45 * severity) * rng.uniform(0.4, 1.0) * blob * (0.45 + 0.55 * thorax.periphery)
    return np.asarray(out * np.clip(1 + 0.45 * noise, 0.15, 2), np.float32)


def _consolidation(thorax: Thorax, x: Field, z: Field, noise: Field, rng: np.random.Generator) -> Field:
    side = rng.choice([-1.0, 1.0])
    upper = rng.uniform() < 0.4
    fissure = rng.normal(-1.0, 1.5) + rng.normal(0, 0.15) * np.abs(x)
    depth = (fissure - z) if upper else (z - fissure)
    lobe = 1 / (1 + np.exp(-np.clip(depth / 0.35, -30, 30)))
    fade = np.exp(-np.clip(depth - rng.uniform(3, 7), 0, None) / 1.5)
    dense = rng.uniform(0.25, 0.8)
    return np.asarray(dense * lobe * fade * (thorax.side == side) * np.clip(1 + 0.25 * noise, 0.3, 1.5), np.float32)


def _effusion(thorax: Thorax, x: Field, z: Field, noise: Field, rng: np.random.Generator) -> Field:
    out = np.zeros_like(x)
    sides = [-1.0, 1.0] if rng.uniform() < 0.3 else [float(rng.choice([-1.0, 1.0]))]
    for side in sides:
        level = rng.uniform(0.8, 5.5)  # cm above the diaphragm's rim
        meniscus = 9.2 - level - 2.8 * thorax.periphery**6
        fluid = 1 / (1 + np.exp(-np.clip((z - meniscus) / 0.3, -30, 30)))
        out = out + 0.9 * fluid * (thorax.side == side)
    return np.asarray(out * np.clip(1 + 0.04 * noise, 0.8, 1.2), np.float32)
