"""The cells of the grid that a command line asks for, and which of them have no record."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from cxrlib.config import PROFILES
from cxrlib.data.editions import Edition, find_edition, load_edition
from cxrlib.errors import WeightsError
from cxrlib.networks.weights import imagenet_digest
from cxrlib.records.record import run_folder, run_key
from cxrlib.training.grid import PARTS, Cell, cells, own_cells
from cxrlib.training.runs import run_inputs


def add_selection(parser: argparse.ArgumentParser, profile: str) -> None:
    """Declare the options that choose cells; `profile` is the default profile."""
    parser.add_argument("--profile", choices=tuple(PROFILES), default=profile)
    parser.add_argument("--edition", default="auto", help="original, open, phantom or auto")
    parser.add_argument("--licences", default="any", help="licences you accept, or any")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--grid", type=Path, help="JSON file with a grid of your own instead of the study's")


def selected(arguments: argparse.Namespace) -> tuple[Edition, list[Cell]]:
    """The edition and the cells that the options of `add_selection` choose."""
    name = find_edition() if arguments.edition == "auto" else arguments.edition
    edition = load_edition(name, arguments.licences)
    common = (arguments.profile, name, arguments.seeds)
    if arguments.grid:
        return edition, own_cells(arguments.grid, *common, arguments.licences)
    return edition, cells(*common, arguments.parts, arguments.licences)


def missing(planned: Sequence[Cell], edition: Edition, lacking: Mapping[str, WeightsError] | None = None) -> list[Cell]:
    """The cells without a record, in order; a cell whose initial weights cannot be had is one of them.

    `lacking`: what `without_weights` gave for these cells, if it has been asked already.
    """
    lacking = without_weights(planned) if lacking is None else lacking
    return [cell for cell in planned if _starts_from(cell) in lacking or not _recorded(cell, edition)]


def without_weights(planned: Sequence[Cell]) -> dict[str, WeightsError]:
    """The models among the cells whose ImageNet weights are neither here nor can be downloaded, each with the reason."""
    lacking = {}
    for model in sorted(filter(None, {_starts_from(cell) for cell in planned})):
        try:
            imagenet_digest(model)
        except WeightsError as error:
            lacking[model] = error
    return lacking


def _starts_from(cell: Cell) -> str | None:
    return cell.config.model if cell.config.pretraining == "imagenet" else None


def _recorded(cell: Cell, edition: Edition) -> bool:
    return run_folder(run_key(cell.config, run_inputs(cell.config, edition))).is_dir()
