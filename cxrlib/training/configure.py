"""From a user's parameters to a `RunConfig`: the profile, the data at hand, the weights at hand and the hardware decide."""

from typing import Any

from cxrlib.config import DEEPCOVID, PROFILES, RunConfig, RunParameters, checked
from cxrlib.data.editions import find_edition
from cxrlib.networks.heads import default_head
from cxrlib.networks.weights import imagenet_file
from cxrlib.training.precision import best_device, hardware_precision


def run_config(**parameters: Any) -> RunConfig:
    """The config of a run of the study; parameters as in `RunParameters`. Raises ParameterError.

    A value given explicitly wins over the recipe's, that over the profile's.
    """
    return resolve(checked(RunParameters, parameters))


def resolve(given: RunParameters) -> RunConfig:
    """`given` with everything that it leaves open filled in."""
    values = given.model_dump()
    recipe = {**DEEPCOVID, "head": "native"} if given.recipe == "deepcovid" else {"learning_rate": 2e-4}
    for name, value in (PROFILES[given.profile] | recipe).items():
        if values[name] is None or values[name] == "auto":
            values[name] = value
    if values["head"] == "auto":
        values["head"] = default_head(values["model"])
    if values["edition"] == "auto":
        values["edition"] = find_edition()
    if values["pretraining"] == "auto":
        values["pretraining"] = "imagenet" if imagenet_file(values["model"]) else "none"
    if values["precision"] == "auto":
        values["precision"] = hardware_precision(best_device())
    return checked(RunConfig, values)
