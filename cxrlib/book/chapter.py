"""How a chapter begins: its parameters are checked before anything heavy is imported, then its data are named.

`CHAPTERS` declares the parameters of every chapter; a notebook's parameters cell must declare exactly these.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from IPython.display import Markdown, display
from pydantic import BeforeValidator, Field, create_model

from cxrlib.config import DataParameters, Parameters, RunParameters, Switch, notebook_parameters

if TYPE_CHECKING:
    from cxrlib.data.editions import Edition
    from cxrlib.records.record import Record

_SEED = Field(0, ge=0, le=2**31 - 1, description="of what this chapter draws at random")
_SIZE = Field(256, ge=32, le=1024, description="pixels a side")


class Records(DataParameters):
    """A chapter that reads the study's records."""

    seed: int = _SEED
    profile: Literal["auto", "quick", "cpu", "full"] = Field(
        "auto", description="profile whose records are read; auto: the one with most"
    )


class Images(DataParameters):
    """A chapter that looks at images."""

    seed: int = _SEED
    image_size: int = _SIZE


class Models(Parameters):
    """Chapter 3."""

    image_size: int = _SIZE


class Weighted(Parameters):
    """Chapter 4."""

    seed: int = _SEED


class Experiments(RunParameters):
    """Chapter 5: one run, as the user asks for it."""

    rerun: Switch = Field(False, description="train again even if the run is recorded")

    @property
    def run(self) -> RunParameters:
        """The run's own parameters, without `rerun`."""
        return RunParameters(**{name: getattr(self, name) for name in RunParameters.model_fields})


class Audit(Parameters):
    """Chapter 7: a printed table."""

    table: str = Field("paper", description="table to audit: a CSV file, or paper for Table II")
    positives: int | None = Field(None, ge=1, description="positive test images, where the table has no such column")
    negatives: int | None = Field(None, ge=1, description="negative test images, where the table has no such column")


class Shortcuts(Records):
    """Chapter 9: records, and probes on images."""

    per_origin: int = Field(
        60, ge=10, le=10_000, description="images of each origin and class in the live probes, at most"
    )
    image_size: int = Field(96, ge=32, le=1024, description="pixels a side in the live probes")


class Benchmark(Parameters):
    """Chapter 13: the walk-through's own network, and everything that was handed in."""

    seed: int = _SEED
    image_size: int = Field(64, ge=32, le=1024, description="pixels a side of the pictures in the walk-through")


class OtherData(Parameters):
    """What chapter 11 asks beside the parameters of a run."""

    data: str = Field(
        "example",
        description="folder of images with a CSV table, a collection's name, or example for a built-in folder",
    )
    positive: Annotated[str | None, BeforeValidator(lambda value: value if value is None else str(value))] = Field(
        None, description="label that counts as positive; None: the labels' usual names"
    )
    output: str | None = Field(None, description="folder of the report; None: a temporary one")


YourOwn = create_model(  # type: ignore[call-overload]
    "YourOwn",
    __base__=OtherData,
    __doc__="Chapter 11: other data. The parameters of a run, but for those that choose images of the study.",
    **{
        name: (field.annotation, field)
        for name, field in RunParameters.model_fields.items()
        if name not in ("edition", "cohort", "licences")
    },
)


CHAPTERS: dict[str, type[Parameters]] = {
    "01_datasets": Images,
    "02_preprocessing": Images,
    "03_models": Models,
    "04_wce": Weighted,
    "05_experiments": Experiments,
    "06_discussion": Records,
    "07_audit": Audit,
    "08_released_code": Records,
    "09_leakage_and_shortcuts": Shortcuts,
    "10_beta": Records,
    "11_your_own": YourOwn,
    "12_whole_study": Records,
    "13_benchmark": Benchmark,
}
"""The parameters that each chapter takes."""


class Study:
    """What a chapter works on: its checked parameters as attributes, the data, and the study's records."""

    def __init__(self, chapter: str, parameters: Parameters) -> None:
        self.chapter, self.parameters = chapter, parameters

    def __getattr__(self, name: str) -> Any:
        parameters = self.__dict__.get("parameters")
        if parameters is not None and name in type(parameters).model_fields:
            return getattr(parameters, name)
        raise AttributeError(f"chapter {self.__dict__.get('chapter')} has no parameter '{name}'")

    @cached_property
    def edition(self) -> "Edition":
        """The edition whose pixels the chapter uses: the one asked for, or the phantoms where no images are at hand."""
        from cxrlib.data.editions import load_edition  # a chapter without data need not wait for pandas' readers

        return load_edition(self.parameters.edition, licences=self.parameters.licences)  # type: ignore[attr-defined]

    @cached_property
    def open(self) -> "Edition":
        """The open edition, on any machine: without its images it is what the manifest in the package says."""
        from cxrlib.data.editions import recorded_edition

        return recorded_edition()

    @cached_property
    def records(self) -> "list[Record]":
        """The study's records of the open edition, of one profile, verified; those set aside are named on the page."""
        from cxrlib.records.record import read_records

        found, aside = read_records()
        for sentence in aside:
            display(Markdown(f"**Set aside:** {sentence}"))
        found = [record for record in found if record.inputs["data"] == self.open.digest]
        profile = getattr(self.parameters, "profile", "auto")
        if profile == "auto" or self.chapter == "05_experiments":
            profile = max(("cpu", "full"), key=lambda name: sum(record.config.profile == name for record in found))
        return [record for record in found if record.config.profile == profile]

    @property
    def source(self) -> str:
        """Where the records come from, in one line, for the foot of a figure or table."""
        records = self.records
        if not records:
            return f"{self.open.short}, no records under results/runs"
        sizes = sorted({record.config.image_size for record in records})
        machines = sorted({record.machine for record in records})
        pixels = ", ".join(f"{size} px" for size in sizes)
        return f"{self.open.short} · {len(records)} records, profile {records[0].config.profile}, {pixels} · {'; '.join(machines)}"


def start(chapter: str, namespace: Mapping[str, Any]) -> Study:
    """Check a notebook's parameters (pass `globals()`), set the figures' style, and name the data.

    Raises ParameterError for an unknown name, a wrong type or a wrong value. Called first in every chapter, before what is
    slow to import, so that a wrong parameter is told within seconds.
    """
    study = Study(chapter, notebook_parameters(CHAPTERS[chapter], namespace))
    from cxrlib.figures.style import use_style

    use_style()
    if "edition" in CHAPTERS[chapter].model_fields:
        display(Markdown(study.edition.banner()))
    return study
