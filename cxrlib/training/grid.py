"""The study's grid, declared once: Table II under three protocols, a sweep over beta, several seeds."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrlib.analysis.released import factor_settings
from cxrlib.config import LOSSES, PREPARATIONS, RunConfig
from cxrlib.errors import ParameterError
from cxrlib.paper.tables import BASELINES, TABLE_2, PaperRow
from cxrlib.protocols import PROTOCOLS

BETA_SWEEP = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
PARTS = ("combined", "augmented", "sweep", "factorial", "alternatives", "related")
"""Parts of the grid, in the order of their worth; the baselines of Minaee et al. belong to the first."""

BEST = max(TABLE_2, key=lambda row: row.bacc)
"""The paper's best row."""


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: the part of the study it belongs to, and its config."""

    part: str
    config: RunConfig


def cells(profile: str, edition: str, seeds: int, parts: Sequence[str] = PARTS, licences: str = "any") -> list[Cell]:
    """The grid's cells in the order they are worth running: by seed, part, row and protocol; each config once.

    `seeds` counts from seed 0; every cell gets the same ones.
    """
    found: dict[RunConfig, Cell] = {}
    for seed in range(seeds):
        for part in parts:
            for settings in _settings(part):
                config = RunConfig.create(profile=profile, edition=edition, licences=licences, seed=seed, **settings)
                found.setdefault(config, Cell(part, config))
    return list(found.values())


def own_cells(path: Path, profile: str, edition: str, seeds: int, licences: str = "any") -> list[Cell]:
    """The cells of a grid of one's own, for every seed; the part is the file's name without its ending.

    `path` is a JSON file: a list of objects, each with parameters of `RunConfig.create` as in the notebooks; what an
    object does not set comes from `profile`, `edition` and `licences`. Raises ParameterError for another content.
    """
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ParameterError(f"the grid {path.name} cannot be read ({error}): give a JSON file.") from error
    if not isinstance(listed, list) or not listed or not all(isinstance(settings, dict) for settings in listed):
        raise ParameterError(f"the grid {path.name} must hold a JSON list of objects, each with a run's parameters.")
    found: dict[RunConfig, Cell] = {}
    for seed in range(seeds):
        for settings in listed:
            common = {"profile": profile, "edition": edition, "licences": licences, "seed": seed}
            config = RunConfig.create(**{**common, **settings})
            found.setdefault(config, Cell(path.stem, config))
    return list(found.values())


def standard(config: RunConfig) -> bool:
    """Whether a config is a profile's own: nothing set by hand but what names a cell of the grid.

    Only such runs stand in one table; a run with fewer epochs or other pixels than its profile's does not.
    """
    named = ("profile", "edition", "licences", "cohort", "model", "pretraining", "beta", "protocol", "seed")
    return config == RunConfig.create(**{name: getattr(config, name) for name in named})


def _settings(part: str) -> Iterator[dict[str, Any]]:
    if part == "sweep":
        for beta in BETA_SWEEP:
            yield {**_of(BEST), "beta": beta, "protocol": "clean"}
        return
    if part == "alternatives":
        for loss in LOSSES[1:]:
            yield {**_of(BEST), "beta": None, "loss": loss, "protocol": "clean"}
        return
    if part == "related":
        for preparation in PREPARATIONS[:0:-1]:
            yield {**_of(BEST), "beta": None, "preparation": preparation, "protocol": "clean"}
        return
    if part == "factorial":
        yield from factor_settings()
        return
    rows = sorted((row for row in TABLE_2 if row.cohort == part), key=lambda row: row != BEST)
    for row in (*rows, *(BASELINES if part == "combined" else ())):
        for protocol in reversed(PROTOCOLS):
            yield {**_of(row), "protocol": protocol}


def _of(row: PaperRow) -> dict[str, Any]:
    return {"cohort": row.cohort, "model": row.model, "pretraining": row.pretraining, "beta": row.beta}
