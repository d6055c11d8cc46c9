"""How a chapter begins: its parameters are checked, its style set, its data edition named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.display import Markdown, display

from cxrlib.config import MODELS, PROFILES, RUN_PARAMETER, RUN_PARAMETERS, resolve
from cxrlib.parameters import Parameter, check_namespace

if TYPE_CHECKING:
    from cxrlib.data.editions import Edition

_DATA = tuple(RUN_PARAMETER[name] for name in ("edition", "licences", "seed"))
_SIZE = Parameter("image_size", int, 256, "pixels a side", low=32, high=1024)
_RECORDS = Parameter(
    "profile", str, "auto", "profile whose records are read; auto: the one with most", choices=("auto", *PROFILES)
)
_RERUN = Parameter("rerun", bool, False, "train again even if the run is recorded")
_TABLE = (
    Parameter("table", str, "paper", "table to audit: a CSV file, or paper for Table II"),
    Parameter("positives", int, None, "positive test images, where the table has no such column", low=1, optional=True),
    Parameter("negatives", int, None, "negative test images, where the table has no such column", low=1, optional=True),
)
_PROBES = (
    Parameter(
        "per_origin", int, 60, "images of each origin and class in the live probes, at most", low=10, high=10_000
    ),
    Parameter("image_size", int, 96, "pixels a side in the live probes", low=32, high=1024),
)
_OWN = (
    Parameter("data", str, "example", "folder of images with a CSV table, a collection's name, or example for a built-in folder"),
    Parameter("positive", str, None, "label that counts as positive; None: the labels' usual names", optional=True),
    Parameter("output", str, None, "folder of the report; None: a temporary one", optional=True),
    Parameter("model", str, "squeezenet", "network", choices=MODELS),
    Parameter("beta", float, None, "weight of the positive class, Eq. (4); None: no weight", low=0.0, open_low=True,
              high=1e6, optional=True),
    RUN_PARAMETER["seed"],
    Parameter("image_size", int, 64, "pixels a side", low=32, high=1024),
    Parameter("epochs", int, 5, "at most", low=1, high=1000),
)  # fmt: skip

CHAPTERS: dict[str, tuple[Parameter, ...]] = {
    "01_datasets": (*_DATA, _SIZE),
    "02_preprocessing": (*_DATA, _SIZE),
    "03_models": (_SIZE,),
    "04_wce": (RUN_PARAMETER["seed"],),
    "05_experiments": (*RUN_PARAMETERS, _RERUN),
    "06_discussion": (*_DATA, _RECORDS),
    "07_audit": (*_TABLE, RUN_PARAMETER["seed"]),
    "08_released_code": (*_DATA, _RECORDS),
    "09_leakage_and_shortcuts": (*_DATA, _RECORDS, *_PROBES),
    "10_beta": (*_DATA, _RECORDS),
    "11_your_own": _OWN,
    "12_whole_study": (*_DATA[:2], _RECORDS),
}
"""The parameters each chapter takes: a notebook's parameters cell must declare exactly these."""


@dataclass(frozen=True)
class Study:
    """What a chapter works on: its checked parameters and, where it uses data, the edition."""

    chapter: str
    parameters: Mapping[str, Any]
    edition: "Edition | None" = None
    config_values: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        parameters = self.__dict__.get("parameters", {})
        if name in parameters:
            return parameters[name]
        raise AttributeError(f"chapter {self.__dict__.get('chapter')} has no parameter '{name}'")


def start(chapter: str, namespace: Mapping[str, Any]) -> Study:
    """Check a notebook's parameters (pass `globals()`), set the figures' style, load and name the data.

    Raises ParameterError for an unknown name, a wrong type or a wrong value.
    """
    from cxrlib.figures.style import use_style

    parameters = check_namespace(namespace, CHAPTERS[chapter])
    use_style()
    edition = None
    if "edition" in parameters:
        from cxrlib.data.editions import load_edition

        edition = load_edition(parameters["edition"], licences=parameters["licences"])
        display(Markdown(edition.banner()))
    names = {parameter.name for parameter in RUN_PARAMETERS}
    config_values = resolve({k: v for k, v in parameters.items() if k in names}) if names <= set(parameters) else {}
    return Study(chapter, parameters, edition, config_values)
