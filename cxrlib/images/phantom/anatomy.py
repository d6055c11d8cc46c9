"""The thorax of a patient as analytic shapes, and the path length of an X-ray through each.

Lengths are in centimetres, on a detector of `FIELD` x `FIELD` cm; x runs to the reader's right (the patient's
left), z downwards, and rays run along y. An ellipsoid is crossed over 2 b sqrt(1 - u^2/a^2 - v^2/c^2), a tube
of radius r at distance d from its axis over 2 sqrt(r^2 - d^2).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating]
FIELD = 33.0  # cm
RIBS = 9  # pairs that are drawn


@dataclass(frozen=True)
class Patient:
    """Sizes that vary between patients, in cm; drawn once a patient."""

    half_width: float  # of the torso
    depth: float  # half the torso's depth
    lung_width: float
    lung_height: float
    lung_depth: float
    lung_gap: float  # distance of a lung's centre from the midline
    heart_width: float
    heart_height: float
    rib_radius: float
    rib_slope: float
    rib_start: float
    rib_spacing: float
    spine_width: float
    dome: float  # height of the right diaphragm
    vessels: int  # seed of the vascular tree
    soft: float  # soft tissue over the lower chest

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Patient":
        """A patient of average or unusual build."""
        build = rng.normal(1.0, 0.07)
        n = rng.normal
        return cls(
            half_width=15.0 * build * n(1, 0.03),
            depth=10.5 * build * n(1, 0.08),
            lung_width=5.6 * build * n(1, 0.05),
            lung_height=12.0 * n(1, 0.06),
            lung_depth=7.5 * build * n(1, 0.06),
            lung_gap=6.9 * build * n(1, 0.03),
            heart_width=6.2 * build * n(1, 0.08),
            heart_height=6.0 * n(1, 0.06),
            rib_radius=0.52 * n(1, 0.08),
            rib_slope=n(0.30, 0.05),
            rib_start=-10.5 + n(0, 0.5),
            rib_spacing=2.35 * n(1, 0.04),
            spine_width=1.75 * n(1, 0.06),
            dome=n(2.4, 0.35),
            vessels=int(rng.integers(2**31)),
            soft=abs(n(0.0, 1.2)),
        )


@dataclass(frozen=True)
class Pose:
    """What varies between two images of one patient."""

    angle: float  # radians, tilt in the plane of the image
    shift_x: float  # cm
    shift_z: float
    zoom: float
    inspiration: float  # cm that the diaphragm stands lower than at rest
    rotation: float  # cm by which the sternum and heart appear shifted

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Pose":
        """A usual pose: a few degrees, a centimetre, one breath."""
        n = rng.normal
        return cls(n(0, 0.035), n(0, 0.6), n(0, 0.8), n(1, 0.045), n(0, 0.9), n(0, 0.5))


@dataclass(frozen=True)
class Thorax:
    """Path lengths in cm, float32 [S, S], through each tissue, and the lungs' extent for findings and truth."""

    soft: Field
    lung: Field
    bone: Field
    lung_mask: npt.NDArray[np.bool_]
    side: Field  # -1 over the right lung, +1 over the left
    height: Field  # 0 at the apex of the lungs, 1 at the diaphragm
    periphery: Field  # 0 at the hilum, 1 at the chest wall
    diaphragm: Field  # z of the diaphragm at each x


def grid(size: int, pose: Pose) -> tuple[Field, Field]:
    """Patient coordinates (x, z) in cm of the pixel centres, float32 [S, S]."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD
    x, z = np.meshgrid(axis, axis)
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    u = (cos * x + sin * z) / pose.zoom - pose.shift_x
    v = (-sin * x + cos * z) / pose.zoom - pose.shift_z
    return u.astype(np.float32), v.astype(np.float32)


def thorax(patient: Patient, pose: Pose, size: int, heart_scale: float = 1.0) -> Thorax:
    """Path lengths through a patient in a pose; `heart_scale` widens the heart (cardiomegaly)."""
    p = patient
    x, z = grid(size, pose)
    diaphragm = _diaphragm(p, pose, x)
    lungs, masks = [], []
    for side in (-1.0, 1.0):
        lungs.append(_lung(p, x, z, side))
        masks.append(lungs[-1])
    open_below = _smooth_step((diaphragm - z) / 0.25)
    lung = (lungs[0] + lungs[1]) * open_below
    heart = _heart(p, pose, x, z, heart_scale)
    lung = np.maximum(lung - 1.1 * heart, 0)
    mediastinum = 9.0 * np.exp(-(((x - 0.4 * pose.rotation) / 2.3) ** 4)) * _smooth_step((z + 13.0) / 2.0)
    lung = np.maximum(lung - mediastinum, 0)
    body = _body(p, x, z)
    lung = np.minimum(lung, 0.82 * body)
    bone = _spine(p, x, z) + _ribs(p, x, z) + _clavicles(p, x, z, pose)
    soft = np.maximum(body - lung, 0)
    soft = soft + p.soft * np.exp(-(((np.abs(x) - 7.5) / 4.5) ** 2) - ((z - 6.0) / 4.5) ** 2)
    soft = soft + _vessels(p, x, z) * (lung > 0.5)
    stomach = _ellipsoid(x - 6.0, z - diaphragm - 2.2, 2.4, 2.2, 1.5)
    mask = lung > 1.0
    top, bottom = -0.75 * p.lung_height - 1.0, diaphragm
    height = np.clip((z - top) / np.maximum(bottom - top, 1.0), 0, 1)
    periphery = np.clip((np.abs(x) - 2.5) / (p.lung_gap + p.lung_width - 2.5), 0, 1)
    return Thorax(
        np.maximum(soft - stomach, 0), lung, np.minimum(bone, body), mask, np.sign(x), height, periphery, diaphragm
    )  # fmt: skip


def _ellipsoid(u: Field, v: Field, a: float, b: float, c: float) -> Field:
    return 2 * b * np.sqrt(np.maximum(1 - (u / a) ** 2 - (v / c) ** 2, 0))


def _smooth_step(t: Field) -> Field:
    return 1 / (1 + np.exp(-np.clip(4 * t, -40, 40)))


def _body(p: Patient, x: Field, z: Field) -> Field:
    """Torso with shoulders above and, between them, the neck."""
    shoulder = _smooth_step((-10.5 - z) / 1.2)
    half = p.half_width + 3.0 * shoulder
    neck = 4.5 + 0.9 * np.maximum(z + 18.5, 0) ** 1.6
    half = np.minimum(half, np.where(z < -11, neck + 4.0, half))
    return 2 * p.depth * np.sqrt(np.maximum(1 - (np.abs(x) / np.maximum(half, 1.0)) ** 2.6, 0))


def _lung(p: Patient, x: Field, z: Field, side: float) -> Field:
    """A lung: an ellipsoid that narrows towards its apex."""
    taper = np.clip(1 - 0.045 * np.maximum(-z - 2.0, 0), 0.45, 1)
    centre = side * p.lung_gap * (1 - 0.018 * np.maximum(-z - 2.0, 0))
    return _ellipsoid(
        (x - centre) / taper, (z + 1.0) * np.where(z < -1, 1.0, 0.72), p.lung_width, p.lung_depth, p.lung_height
    )


def _diaphragm(p: Patient, pose: Pose, x: Field) -> Field:
    """z of the diaphragm: two domes, the right one (on the reader's left) higher."""
    base = 9.2 + pose.inspiration
    right = p.dome * (1 - ((x + p.lung_gap) / (p.lung_width + 1.2)) ** 2)
    left = (p.dome - 0.9) * (1 - ((x - p.lung_gap) / (p.lung_width + 1.2)) ** 2)
    return base - np.where(x < 0, right, left)


def _heart(p: Patient, pose: Pose, x: Field, z: Field, scale: float) -> Field:
    """Heart: an ellipsoid whose apex points down to the patient's left, and the aortic arch above it."""
    u, v = x - (1.7 * scale + pose.rotation), z - 4.6
    cos, sin = np.cos(0.55), np.sin(0.55)
    heart = _ellipsoid(cos * u + sin * v, -sin * u + cos * v, p.heart_width * scale, 5.0, p.heart_height * scale**0.5)
    arch = _ellipsoid(x - 2.0 - 0.5 * pose.rotation, z + 5.5, 1.9, 1.8, 2.2)
    hila = sum(_ellipsoid(x - side * 3.6, z + 0.8, 1.8, 1.5, 2.8) for side in (-1.0, 1.0))
    return heart + arch + 0.6 * np.asarray(hila, np.float32)


def _spine(p: Patient, x: Field, z: Field) -> Field:
    """Vertebral bodies with discs between them, pedicles and spinous processes."""
    bodies = (
        2.6
        * np.sqrt(np.maximum(1 - (x / p.spine_width) ** 2, 0))
        * (0.72 + 0.28 * np.tanh(3 * np.cos(2 * np.pi * z / 2.5)))
    )
    process = 1.3 * np.exp(-((x / 0.35) ** 2)) * (0.5 + 0.5 * np.cos(2 * np.pi * (z - 0.8) / 2.5))
    return bodies + process


def _tube(distance: Field, radius: float | Field) -> Field:
    return 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))


def _ribs(p: Patient, x: Field, z: Field) -> Field:
    """Posterior arcs that fall away from the spine and anterior arcs that fall towards the sternum.

    A rib is a shell of cortical bone, so its margins are the densest part of its shadow.
    """
    out = np.zeros_like(x)
    reach = np.abs(x)
    for k in range(RIBS):
        half = (6.2 + 1.15 * k - 0.06 * k * k) * p.half_width / 15.0
        inside = np.clip(1 - (reach / half) ** 2, 0, None)
        root = p.rib_start + k * p.rib_spacing
        posterior = root - 0.9 + p.rib_slope * reach * (0.35 + 0.09 * reach)
        edge = root - 0.9 + p.rib_slope * half * (0.35 + 0.09 * half)
        anterior = edge + 0.75 * (half - reach) + 1.2
        turning = 1 / np.sqrt(inside + 0.06)
        fall = p.rib_slope * (0.35 + 0.18 * reach)
        for line, slope, begin, strength in ((posterior, fall, 1.2, 1.0), (anterior, -0.75, 4.5, 0.45)):
            distance = (z - line) / np.sqrt(1 + slope**2)
            present = (reach < half) * _smooth_step((reach - begin) / 0.3)
            shell = _tube(distance, p.rib_radius) - 0.75 * _tube(distance, 0.72 * p.rib_radius)
            out += strength * shell * present * np.minimum(turning, 2.2)
    return out


def _clavicles(p: Patient, x: Field, z: Field, pose: Pose) -> Field:
    reach = np.abs(x)
    line = -9.9 - 0.16 * reach + 0.9 * np.sin(reach / 3.6) + 0.25 * pose.rotation * np.sign(x)
    shell = _tube(z - line, 0.62) - 0.6 * _tube(z - line, 0.42)
    return 0.8 * shell * ((reach > 1.6) & (reach < 13.5))


def _vessels(p: Patient, x: Field, z: Field) -> Field:
    """Pulmonary vessels: tubes that leave each hilum, branch once and thin out."""
    rng = np.random.default_rng(p.vessels)
    out = np.zeros_like(x)
    for side in (-1.0, 1.0):
        near = np.flatnonzero((side * x > 2.5) & (side * x < 13.0) & (np.abs(z + 0.8) < 10.0))
        u, v = side * x.flat[near] - 3.2, z.flat[near] + 0.8
        total = np.zeros_like(u)
        for _ in range(11):
            angle = rng.uniform(-1.35, 1.45)
            bend, length, radius = rng.normal(0, 0.05), rng.uniform(5.0, 9.5), rng.uniform(0.14, 0.34)
            along = np.cos(angle) * u + np.sin(angle) * v
            across = -np.sin(angle) * u + np.cos(angle) * v - bend * along**2
            width = np.maximum(radius * (1 - along / (1.15 * length)), 0.02)
            total += ((along > 0) & (along < length)) * _tube(across, width)
        out.flat[near] = total
    return out
