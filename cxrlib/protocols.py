"""The three protocols, each a small readable object; a run names one, with overrides if any.

`released` is what the authors' released code does, `paper` what the text says, `clean` the repair.
A single difference can be studied by an override: ``Protocol.parse("paper+checkpoint=last")``.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

from cxrlib.errors import ParameterError


@dataclass(frozen=True)
class Protocol:
    """How a run treats its data, its loss and its stopping."""

    name: str
    loss_without_beta: Literal["linear", "cross_entropy"]  # where beta is none: the released code's, or Eq. (3)
    checkpoint: Literal["last", "best"]  # last epoch, or best validation loss
    rotation: Literal["fixed", "random"]  # of the 32-fold augmentation: fixed angles, or random in [-|r|, |r|]
    split: Literal["image", "patient"]  # shuffled and unstratified, or grouped by component and stratified
    split_order: Literal["after", "before"]  # validation split after or before augmentation
    split_seed: Literal["documented", "run"]  # 42, as released, or the run's own seed
    chestxray_filter: Literal["released", "no_ct", "frontal"]  # COVID-ChestXray rows: CT stays, none, or frontal X-rays
    test_overlap: Literal["kept", "removed"]  # training images that share a component with the test set
    normalisation: Literal["none", "weights"]  # of ImageNet-initialised input: [0, 1], or ImageNet mean and std

    @classmethod
    def parse(cls, text: str) -> "Protocol":
        """The protocol named by `text`: a name, or a name with overrides, `name+field=value+...`.

        Its name is the shortest: overrides that change nothing dropped, the rest sorted. Raises ParameterError for an
        unknown name, field or value.
        """
        base, *overrides = text.split("+")
        if base not in PROTOCOLS:
            raise ParameterError(f"unknown protocol '{base}': choose one of {', '.join(PROTOCOLS)}.")
        changes: dict[str, Any] = {}
        for override in overrides:
            field, _, value = override.partition("=")
            if field not in CHOICES:
                raise ParameterError(
                    f"unknown protocol field '{field}' in '{text}': choose one of {', '.join(CHOICES)}."
                )
            if value not in CHOICES[field]:
                raise ParameterError(
                    f"protocol field {field} = '{value}' in '{text}': choose one of {', '.join(CHOICES[field])}."
                )
            changes[field] = value
        start = PROTOCOLS[base]
        changed = [f"{field}={changes[field]}" for field in sorted(changes) if changes[field] != getattr(start, field)]
        return replace(start, name="+".join([start.name, *changed]), **changes)


CHOICES: dict[str, tuple[str, ...]] = {
    field: get_args(kind) for field, kind in get_type_hints(Protocol).items() if field != "name"
}
PROTOCOLS = {
    "released": Protocol(
        "released", loss_without_beta="linear", checkpoint="last", rotation="random", split="image",
        split_order="after", split_seed="documented", chestxray_filter="released", test_overlap="kept",
        normalisation="none",
    ),
    "paper": Protocol(
        "paper", loss_without_beta="cross_entropy", checkpoint="best", rotation="fixed", split="image",
        split_order="after", split_seed="run", chestxray_filter="no_ct", test_overlap="kept", normalisation="none",
    ),
    "clean": Protocol(
        "clean", loss_without_beta="cross_entropy", checkpoint="best", rotation="fixed", split="patient",
        split_order="before", split_seed="run", chestxray_filter="frontal", test_overlap="removed",
        normalisation="weights",
    ),
}  # fmt: skip
