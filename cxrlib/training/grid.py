"""The study's grid, declared once: which configurations are run, how often, in the order of their worth."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from cxrlib.config import LOSSES, PREPARATIONS, RunConfig
from cxrlib.errors import ParameterError
from cxrlib.paper.tables import BASELINES, TABLE_2, PaperRow
from cxrlib.protocols import PROTOCOLS
from cxrlib.training.configure import run_config

BETAS = (None, 0.25, 0.5, 0.75, 1.5, 2.0, 4.0)
"""Weights of the powered study and of the sweep; None is plain cross-entropy, which beta = 1 equals."""

BEST = max(TABLE_2, key=lambda row: row.bacc)
"""The paper's best row."""

FACTORS = ("loss_without_beta=linear", "checkpoint=last", "split_order=before", "normalisation=weights")
"""Single differences between the text and the released code, as overrides of the protocol `paper`."""


@dataclass(frozen=True)
class Part:
    """A part of the grid: its settings, and over how many draws of the images and seeds of the training it repeats."""

    title: str
    settings: tuple[dict[str, Any], ...]
    draws: int = 1
    seeds: int = 1


def _row(row: PaperRow) -> dict[str, Any]:
    return {"cohort": row.cohort, "model": row.model, "pretraining": row.pretraining, "beta": row.beta}


def _over(base: dict[str, Any], **values: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """`base` with every combination of the values of some fields, the last varying fastest."""
    return tuple(base | dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


def _under(rows: Sequence[PaperRow], **more: Any) -> tuple[dict[str, Any], ...]:
    return tuple({**_row(row), **more, "protocol": protocol} for row in rows for protocol in reversed(PROTOCOLS))


_SQUEEZENET = {"cohort": "combined", "model": "squeezenet", "pretraining": "imagenet", "head": "native"}
_PLAIN = {**_row(BEST), "beta": None}
_COMBINED, _AUGMENTED = ([row for row in TABLE_2 if row.cohort == name] for name in ("combined", "augmented"))
_MAIN = [row for row in _COMBINED if (row.model, row.pretraining) in (("resnet50", "imagenet"), ("acnn", "none"))]
_OTHERS = [row for row in _COMBINED if row not in _MAIN]

PARTS: dict[str, Part] = {
    "powered": Part(
        "the weight, the protocol and the noise of training, on SqueezeNet with its own classifier",
        _over(_SQUEEZENET, protocol=("clean", "paper", "released"), beta=BETAS), draws=2, seeds=5,
    ),
    "main": Part("ResNet-50 from ImageNet and ACNN on the combined cohort", _under(_MAIN), seeds=3),
    "baselines": Part(
        "the two baselines of Minaee et al. [3]: frozen trunks, COVID-19 images augmented 32-fold where [3] augments offline",
        (
            *_under(BASELINES, recipe="deepcovid", cohort="augmented"),
            *({**_row(row), "cohort": "combined", "recipe": "deepcovid", "protocol": "clean"} for row in BASELINES),
        ),
    ),
    "pilot": Part(
        "what lets a gradient through: ResNet-50 from random weights",
        (
            {**_PLAIN, "pretraining": "none", "protocol": "clean", "head": "native"},
            {**_PLAIN, "pretraining": "none", "protocol": "clean"},
            {**_PLAIN, "pretraining": "none", "protocol": "clean", "batch_size": 64, "batch_norm": "keras"},
            {**_PLAIN, "pretraining": "none", "protocol": "clean", "image_size": 128},
            {**_SQUEEZENET, "beta": None, "protocol": "clean", "head": "released"},
        ),
    ),
    "heads": Part(
        "the head alone: ResNet-50 from ImageNet under its own classifier", _over({**_PLAIN, "head": "native"}, protocol=("clean", "paper", "released"), beta=(None, 0.75)),
    ),
    "factors": Part(
        "single differences between text and released code, on SqueezeNet",
        (
            *_over({**_SQUEEZENET, "beta": None}, protocol=[f"paper+{f}" for f in FACTORS if f != "split_order=before"]),
            *_over({**_SQUEEZENET, "beta": None, "cohort": "augmented"}, protocol=("paper", "paper+split_order=before")),
        ),
        draws=2, seeds=5,
    ),
    "combined": Part("the other rows of the combined cohort", _under(_OTHERS)),
    "augmented": Part("the rows of COVIDX-Ray-5K, augmented", _under(_AUGMENTED)),
    "sweep": Part("the weight on ResNet-50", _over({**_row(BEST), "protocol": "clean"}, beta=BETAS)),
    "alternatives": Part(
        "alternatives to the weight, on SqueezeNet", _over({**_SQUEEZENET, "beta": None, "protocol": "clean"}, loss=LOSSES[1:]), draws=2, seeds=5,
    ),
    "preparations": Part(
        "what is done to the pixels first, on SqueezeNet",
        _over({**_SQUEEZENET, "beta": None, "protocol": "clean"}, preparation=PREPARATIONS[1:]), draws=2, seeds=3,
    ),
}  # fmt: skip
"""The grid, a part a question, in the order in which the parts are worth running."""


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: the part of the study it belongs to, and its config."""

    part: str
    config: RunConfig


def cells(
    profile: str = "cpu",
    edition: str = "open",
    parts: Sequence[str] = tuple(PARTS),
    draws: int | None = None,
    seeds: int | None = None,
    **common: Any,
) -> list[Cell]:
    """The cells of some parts, each config once: by part, then seed and draw, then setting.

    `draws` and `seeds`: how many of each, counted from 0, in place of what the part declares; `common`: other parameters of
    every run. Raises ParameterError for an unknown part or a number below 1.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ParameterError(f"unknown part '{unknown[0]}' of the grid: choose among {', '.join(PARTS)}.")
    return _cells({name: PARTS[name] for name in parts}, draws, seeds, profile=profile, edition=edition, **common)


def listed_cells(path: Path, draws: int | None = None, seeds: int | None = None, **common: Any) -> list[Cell]:
    """The cells of a grid listed in a file; the part is the file's name without its ending.

    `path` is a JSON file: a list of objects, each with parameters of `RunParameters`; what an object does not set comes from
    `common`. `draws` and `seeds`: how many of each, counted from 0, where an object does not name its own. Raises
    ParameterError for another content.
    """
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ParameterError(f"the grid {path.name} cannot be read ({error}): give a JSON file.") from error
    if not isinstance(listed, list) or not listed or not all(isinstance(settings, dict) for settings in listed):
        raise ParameterError(f"the grid {path.name} must hold a JSON list of objects, each with a run's parameters.")
    return _cells({path.stem: Part(path.name, tuple(listed))}, draws, seeds, **common)


def _cells(parts: dict[str, Part], draws: int | None, seeds: int | None, **common: Any) -> list[Cell]:
    for name, number in (("draws", draws), ("seeds", seeds)):
        if number is not None and number < 1:
            raise ParameterError(f"{name} = {number} is not allowed: {name} must be a whole number of at least 1.")
    found: dict[RunConfig, Cell] = {}
    for name, part in parts.items():
        for seed, draw, values in product(range(seeds or part.seeds), range(draws or part.draws), part.settings):
            config = run_config(**{**common, "draw_seed": draw, "seed": seed, **values})
            found.setdefault(config, Cell(name, config))
    return list(found.values())
