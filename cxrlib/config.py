"""What is one run? `RunParameters` as a user gives them, `RunConfig` once nothing is left open.

The notebooks' parameters cells, `papermill --help-notebook`, README's table and every error sentence come from these
models. `training.configure.run_config` turns the first into the second.
"""

import difflib
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from cxrlib.errors import ParameterError
from cxrlib.protocols import Protocol

Edition = Literal["original", "open", "phantom", "own"]
Cohort = Literal["covidx_ray_5k", "augmented", "combined", "own"]
Model = Literal["resnet50", "acnn", "squeezenet", "vgg19"]
HeadName = Literal["released", "native"]
Pretraining = Literal["none", "imagenet", "chestxray", "imagenet+chestxray"]
Loss = Literal["wce", "focal", "class_balanced", "ldam", "logit_adjusted", "resampled"]
Recipe = Literal["paper", "deepcovid"]
Preparation = Literal["minmax", "equalised", "lungs"]
Profile = Literal["quick", "cpu", "full"]
Precision = Literal["float32", "bfloat16"]

MODELS, LOSSES, PREPARATIONS = (get_args(kind) for kind in (Model, Loss, Preparation))

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "model": "squeezenet", "image_size": 64, "batch_size": 16, "epochs": 12, "patience": 4, "train_limit": 1200,
    },
    "cpu": {"model": "resnet50", "image_size": 64, "batch_size": 16, "epochs": 10, "patience": 3, "train_limit": None},
    "full": {"model": "resnet50", "image_size": 256, "batch_size": 64, "epochs": 50, "patience": 10, "train_limit": None},
}  # fmt: skip
"""What a profile sets unless a parameter is given explicitly; `full` is the paper's 256 x 256, batch 64.

The small profiles take smaller batches: ten epochs of 16 images make as many optimiser steps as forty of the paper's.
`quick` takes the smallest network, so that a first run ends in minutes on two slow cores.
"""

DEEPCOVID: dict[str, Any] = {"image_size": 224, "batch_size": 20, "epochs": 100, "patience": 21, "learning_rate": 1e-4}
"""What the recipe of Minaee et al. [3] sets in place of the profile; `patience` is three of its steps of the learning rate,
after which nothing moves any more."""


def _boolean(value: Any) -> Any:
    """papermill passes `-p rerun true` as a text."""
    return {"true": True, "True": True, "false": False, "False": False}.get(str(value), value)


Switch = Annotated[bool, BeforeValidator(_boolean)]
_PROFILE = "None: from the profile"


class Parameters(BaseModel):
    """A closed, frozen set of parameters: an unknown name, a wrong type or a value out of range is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, protected_namespaces=())


class DataParameters(Parameters):
    """Which images a chapter or a run works on."""

    edition: Literal["auto", "original", "open", "phantom"] = Field(
        "auto", description="data: original, open, phantom; auto takes the first whose images are at hand"
    )
    licences: str = Field("any", description="licences you accept, comma-separated parts of their names, or any")


class _Fields(Parameters):
    """What parameters and config share, with the same meaning and the same bounds."""

    protocol: Annotated[str, AfterValidator(lambda text: Protocol.parse(text).name)] = Field(
        "clean", description="released, paper or clean; single fields can be overridden (chapter 5)"
    )
    beta: float | None = Field(
        0.75, gt=0, le=1e6, allow_inf_nan=False, description="weight of the positive class, Eq. (4); None: no weight"
    )
    loss: Loss = Field("wce", description="Eq. (3) or (4), or an alternative to the weight (then beta is None)")
    recipe: Recipe = Field(
        "paper", description="paper: section VI.B; deepcovid: frozen trunk, last layer alone, as the baseline [3]"
    )
    draw_seed: int = Field(0, ge=0, le=2**31 - 1, description="of the images drawn and of the validation split")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the initial weights, the batches and the augmentation")
    profile: Profile = Field("quick", description="quick (minutes on two CPU cores), cpu or full (256 x 256)")
    train_limit: int | None = Field(
        None, ge=64, description=f"at most this many training images, a stratified subset; {_PROFILE}"
    )
    batch_norm: Literal["torch", "keras"] = Field(
        "torch", description="momentum and epsilon of batch normalisation: torch 0.1, 1e-5; keras 0.01, 1e-3"
    )
    learning_rate: float = Field(2e-4, gt=0, le=1, description="of Adam (paper: 2e-4)")
    lr_decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after each epoch")
    adam_beta1: float = Field(0.5, ge=0, le=0.999, description="first decay rate of Adam (paper: 0.5)")
    valid_fraction: float = Field(
        0.2, ge=0.01, le=0.9, description="share of the training set held out for validation (paper: 0.2)"
    )
    preparation: Preparation = Field(
        "minmax", description="minmax as stored; equalised: histogram too; lungs: and all but the lungs black"
    )
    batch_augmentation: Literal["none", "light"] = Field(
        "none", description="augmentation in batches on the device, beyond the paper"
    )

    @model_validator(mode="after")
    def _fits(self) -> "_Fields":
        model, pretraining = getattr(self, "model", None), getattr(self, "pretraining", "none")
        if self.loss != "wce" and self.beta is not None:
            raise ParameterError(f"loss = '{self.loss}' takes no weight: give beta = None, or leave loss at 'wce'.")
        if pretraining.startswith("imagenet") and model == "acnn":
            raise ParameterError(
                f"pretraining = '{pretraining}' does not exist for model 'acnn': choose none or chestxray."
            )
        if model == "acnn" and getattr(self, "head", "auto") == "native":
            raise ParameterError("head = 'native' does not exist for model 'acnn': choose released.")
        if self.recipe == "deepcovid" and (self.beta is not None or self.loss != "wce"):
            raise ParameterError(
                "recipe = 'deepcovid' trains without a weight: give beta = None and leave loss at 'wce'."
            )
        return self


class RunParameters(_Fields, DataParameters):
    """A run's parameters as given: 'auto' and None are filled in by `training.configure.run_config`."""

    cohort: Literal["covidx_ray_5k", "augmented", "combined"] = Field(
        "combined", description="training set, a row of Table I"
    )
    model: Literal["auto", "resnet50", "acnn", "squeezenet", "vgg19"] = Field(
        "auto", description="network; auto: from the profile, squeezenet for quick and resnet50 for cpu and full"
    )
    head: Literal["auto", "released", "native"] = Field(
        "auto", description="classifier on the trunk; auto: released for resnet50 and acnn, else the network's own"
    )
    pretraining: Literal["auto", "none", "imagenet", "chestxray", "imagenet+chestxray"] = Field(
        "auto", description="initial weights; auto: imagenet if at hand, else none"
    )
    image_size: int | None = Field(None, ge=32, le=1024, description=f"pixels a side; {_PROFILE}")
    epochs: int | None = Field(None, ge=1, le=1000, description=f"at most; {_PROFILE}")
    patience: int | None = Field(
        None, ge=1, le=1000, description=f"epochs without a better validation loss before stopping; {_PROFILE}"
    )
    batch_size: int | None = Field(None, ge=2, le=4096, description=f"images a batch (paper: 64); {_PROFILE}")
    learning_rate: float | None = Field(  # type: ignore[assignment]
        None, gt=0, le=1, description="None: from the recipe (paper: 2e-4, of Adam)"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the trunk; auto: bfloat16 where the hardware multiplies it, else float32"
    )


class RunConfig(_Fields):
    """Everything that decides a run's numbers besides the data, the code and the machine; nothing is left open.

    Sources: section VI.A-B of the paper for the defaults of batch size, optimiser and validation share.
    """

    edition: Edition
    licences: str = "any"
    cohort: Cohort
    model: str  # one of MODELS, or a network added to `networks.classifier.TRUNKS`
    head: HeadName
    pretraining: Pretraining
    image_size: int = Field(ge=32, le=1024)
    epochs: int = Field(ge=1, le=1000)
    patience: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=2, le=4096)
    precision: Precision

    @property
    def rules(self) -> Protocol:
        """The protocol as an object."""
        return Protocol.parse(self.protocol)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some fields changed, checked again; raises ParameterError."""
        return checked(RunConfig, {**self.model_dump(), **changes})


IDENTITY = tuple(RunConfig.model_fields)
"""The fields that identify a run; the only such list. Two runs are a pair if all but one of these are equal."""

Checked = TypeVar("Checked", bound=Parameters)


def checked(model: type[Checked], values: Mapping[str, Any]) -> Checked:
    """`values` as a `model`; whole numbers serve as floats.

    Raises ParameterError with one sentence: an unknown name with the nearest known one, or what a value may be.
    """
    for name in values:
        if name not in model.model_fields:
            near = difflib.get_close_matches(name, model.model_fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(model.model_fields))}."
            raise ParameterError(f"unknown parameter '{name}'; {hint}")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ParameterError):
            raise cause from None
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise ParameterError(f"{name} is missing: it must be {allowed(model.model_fields[name])}.") from None
        what = allowed(model.model_fields[name])
        raise ParameterError(f"{name} = {values.get(name)!r} is not allowed: {name} must be {what}.") from None


def notebook_parameters(model: type[Checked], namespace: Mapping[str, Any]) -> Checked:
    """The parameters among a notebook's globals, checked; any other plain variable there is an error.

    papermill only warns about an unknown parameter, so the notebooks check their own.
    """
    values = {
        name: value
        for name, value in namespace.items()
        if not (name.startswith("_") or name in ("In", "Out") or isinstance(value, types.ModuleType) or callable(value))
    }
    return checked(model, values)


def _kinds(field: FieldInfo) -> tuple[list[Any], bool]:
    """The types or literal values that a field takes, and whether None is allowed beside them."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return [kind for kind in kinds if kind is not type(None)], type(None) in kinds


def allowed(field: FieldInfo) -> str:
    """What a parameter may be, in words: 'a number above 0 and of at most 1000000, or None'."""
    kinds, optional = _kinds(field)
    if all(isinstance(kind, type) for kind in kinds):
        text = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}[kinds[0]]
        words = {"gt": "above", "ge": "of at least", "le": "of at most"}
        limits = [(key, getattr(limit, key)) for limit in field.metadata for key in words if hasattr(limit, key)]
        text += " " * bool(limits) + " and ".join(f"{words[key]} {value:.15g}" for key, value in limits)
    else:
        text = "one of " + ", ".join(map(str, kinds))
    return text + (", or None" if optional else "")


class Declaration(NamedTuple):
    """One parameter as a notebook's cell, a table or an error sentence shows it."""

    name: str
    annotation: str  # 'float', or 'Optional[float]' where None is allowed
    default: Any
    allowed: str
    description: str


def declarations(model: type[Parameters]) -> list[Declaration]:
    """The parameters of a model in the order in which they are declared."""
    found = []
    for name, field in model.model_fields.items():
        kinds, optional = _kinds(field)
        kind = kinds[0].__name__ if isinstance(kinds[0], type) else "str"
        annotation = f"Optional[{kind}]" if optional else kind
        found.append(Declaration(name, annotation, field.default, allowed(field), str(field.description)))
    return found
