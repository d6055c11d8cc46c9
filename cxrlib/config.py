"""One frozen `RunConfig` describes a run; its fields are the notebooks' parameters."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cxrlib.errors import ParameterError
from cxrlib.losses.alternatives import ALTERNATIVES
from cxrlib.parameters import Parameter, check_values
from cxrlib.protocols import Protocol

EDITIONS = ("original", "open", "phantom")
COHORTS = ("covidx_ray_5k", "augmented", "combined")  # the rows of Table I that a run can train on
MODELS = ("resnet50", "acnn", "squeezenet", "vgg19")
PRETRAINING = ("none", "imagenet", "chestxray")
PREPARATIONS = ("minmax", "equalised", "lungs")  # what is done to the stored pixels before augmentation
LOSSES = ("wce", *ALTERNATIVES, "resampled")  # Eq. (4), or Eq. (3) where beta is None; and the alternatives to it
PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"image_size": 64, "batch_size": 16, "epochs": 6, "patience": 3, "train_limit": 1200},
    "cpu": {"image_size": 64, "batch_size": 16, "epochs": 10, "patience": 3, "train_limit": None},
    "full": {"image_size": 256, "batch_size": 64, "epochs": 50, "patience": 10, "train_limit": None},
}
"""What a profile sets unless a parameter is given explicitly; `full` is the paper's 256 x 256, batch 64.

The small profiles take smaller batches: ten epochs of 16 images make as many optimiser steps as forty of the
paper's batches, which a few epochs need for the validation loss to come down at all.
"""

_FROM_PROFILE = "None: from the profile"

RUN_PARAMETERS = (
    Parameter(
        "edition",
        str,
        "auto",
        "data: original, open, phantom; auto takes the first that is complete",
        choices=("auto", *EDITIONS),
    ),
    Parameter("licences", str, "any", "licences you accept, comma-separated parts of their names, or any"),
    Parameter("cohort", str, "combined", "training set, a row of Table I", choices=COHORTS),
    Parameter(
        "protocol",
        str,
        "clean",
        "released, paper or clean; single fields can be overridden (chapter 5)",
        parse=Protocol.parse,
    ),
    Parameter("model", str, "resnet50", "network", choices=MODELS),
    Parameter(
        "pretraining",
        str,
        "auto",
        "initial weights; auto: imagenet if at hand, else none",
        choices=("auto", *PRETRAINING),
    ),
    Parameter(
        "beta",
        float,
        0.75,
        "weight of the positive class, Eq. (4); None: no weight",
        low=0.0,
        open_low=True,
        high=1e6,
        optional=True,
    ),
    Parameter(
        "loss", str, "wce", "Eq. (3) or (4), or an alternative to the weight (then beta is None)", choices=LOSSES
    ),
    Parameter("seed", int, 0, "of the draw, the initial weights and the batches", low=0, high=2**31 - 1),
    Parameter(
        "profile", str, "quick", "quick (minutes on two CPU cores), cpu or full (256 x 256)", choices=tuple(PROFILES)
    ),
    Parameter("image_size", int, None, f"pixels a side; {_FROM_PROFILE}", low=32, high=1024, optional=True),
    Parameter("epochs", int, None, f"at most; {_FROM_PROFILE}", low=1, high=1000, optional=True),
    Parameter(
        "patience",
        int,
        None,
        f"epochs without a better validation loss before stopping; {_FROM_PROFILE}",
        low=1,
        high=1000,
        optional=True,
    ),
    Parameter(
        "train_limit",
        int,
        None,
        f"at most this many training images, a stratified subset; {_FROM_PROFILE}",
        low=64,
        optional=True,
    ),
    Parameter("batch_size", int, None, f"images a batch (paper: 64); {_FROM_PROFILE}", low=2, high=4096, optional=True),
    Parameter("learning_rate", float, 2e-4, "of Adam (paper: 2e-4)", low=0.0, open_low=True, high=1.0),
    Parameter("adam_beta1", float, 0.5, "first decay rate of Adam (paper: 0.5)", low=0.0, high=0.999),
    Parameter(
        "valid_fraction",
        float,
        0.2,
        "share of the training set held out for validation (paper: 0.2)",
        low=0.01,
        high=0.9,
    ),
    Parameter(
        "preparation",
        str,
        "minmax",
        "minmax as stored; equalised: histogram too; lungs: and all but the lungs black",
        choices=PREPARATIONS,
    ),
    Parameter(
        "batch_augmentation",
        str,
        "none",
        "augmentation in batches on the device, beyond the paper",
        choices=("none", "light"),
    ),
)
RUN_PARAMETER = {parameter.name: parameter for parameter in RUN_PARAMETERS}


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's numbers besides the data, the code and the machine.

    Build it with `RunConfig.create`, which fills the profile's values in and checks every field.
    `train_limit` is None for the whole training set. Sources: section VI.A-B of the paper for the
    defaults of batch size, optimiser and validation share.
    """

    edition: str
    licences: str
    cohort: str
    protocol: str
    model: str
    pretraining: str
    beta: float | None
    loss: str
    seed: int
    profile: str
    image_size: int
    epochs: int
    patience: int
    train_limit: int | None
    batch_size: int
    learning_rate: float
    adam_beta1: float
    valid_fraction: float
    preparation: str
    batch_augmentation: str

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, RUN_PARAMETER[field.name].check(getattr(self, field.name)))
        for name in ("edition", "pretraining"):
            if getattr(self, name) == "auto":
                raise ParameterError(f"{name} = 'auto' must be resolved before a run: use RunConfig.create.")
        for name in ("image_size", "batch_size", "epochs", "patience"):
            if getattr(self, name) is None:
                raise ParameterError(f"{name} = None must be filled from a profile: use RunConfig.create.")
        if self.loss != "wce" and self.beta is not None:
            raise ParameterError(f"loss = '{self.loss}' takes no weight: give beta = None, or leave loss at 'wce'.")
        object.__setattr__(self, "protocol", Protocol.parse(self.protocol).name)
        if self.pretraining == "imagenet" and self.model == "acnn":
            raise ParameterError("pretraining = 'imagenet' does not exist for model 'acnn': choose none or chestxray.")

    @classmethod
    def create(cls, **parameters: Any) -> "RunConfig":
        """A config from the parameters given: the profile fills what is not given, 'auto' is resolved.

        Raises ParameterError for an unknown name, a wrong type or a value out of range.
        """
        return cls(**resolve(parameters))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The config that `to_dict` wrote; a field added since then takes its default, an unknown one is an error."""
        expected = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - expected)
        if unknown:
            raise ParameterError(
                f"a run's config has no field '{unknown[0]}'; known are {', '.join(sorted(expected))}."
            )
        return cls(**{name: values.get(name, RUN_PARAMETER[name].default) for name in expected})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some fields changed, checked again."""
        return replace(self, **changes)

    @property
    def rules(self) -> Protocol:
        """The protocol as an object."""
        return Protocol.parse(self.protocol)


def resolve(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The run parameters checked, with the profile's values and 'auto' filled in."""
    from cxrlib.data.editions import find_edition  # here: reading collections imports much that a config does not need
    from cxrlib.networks.weights import imagenet_at_hand

    values = check_values(parameters, RUN_PARAMETERS)
    for name, value in PROFILES[values["profile"]].items():
        if values[name] is None:
            values[name] = value
    if values["edition"] == "auto":
        values["edition"] = find_edition()
    if values["pretraining"] == "auto":
        values["pretraining"] = "imagenet" if imagenet_at_hand(values["model"]) else "none"
    return values
