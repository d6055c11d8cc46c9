"""The three protocols, each a small readable object; a run names one, with overrides if any.

`released` is what the authors' released code does, `paper` what the text says, `clean` the repair.
A single difference can be studied by an override: ``Protocol.parse("paper+checkpoint=last")``.
"""

from dataclasses import dataclass, fields, replace

from cxrlib.errors import ParameterError


@dataclass(frozen=True)
class Protocol:
    """How a run treats its data, its loss and its stopping; every field is one of `CHOICES`."""

    name: str
    loss_without_beta: str  # where beta is none: "linear" (released code) or "cross_entropy", Eq. (3)
    checkpoint: str  # "last" epoch or "best" validation loss
    rotation: str  # of the 32-fold augmentation: "fixed" angles or "random" in [-|r|, |r|]
    split: str  # "image" (shuffled, unstratified) or "patient" (grouped by component, stratified)
    split_order: str  # validation split "after" or "before" augmentation
    split_seed: str  # "documented" (42, as released) or "run" (the run's own seed)
    chestxray_filter: str  # COVID-ChestXray rows: "released" (CT stays), "no_ct" or "frontal" X-rays
    test_overlap: str  # training images that share a component with the test set: "kept" or "removed"
    normalisation: str  # of ImageNet-initialised input: "none" ([0, 1]) or "weights" (ImageNet mean, std)

    @classmethod
    def parse(cls, text: str) -> "Protocol":
        """The protocol named by `text`: a name, or a name with overrides, `name+field=value+...`.

        Raises ParameterError for an unknown name, field or value.
        """
        base, *overrides = text.split("+")
        if base not in PROTOCOLS:
            raise ParameterError(f"unknown protocol '{base}': choose one of {', '.join(PROTOCOLS)}.")
        changes: dict[str, str] = {}
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
        return replace(PROTOCOLS[base], name=text, **changes).canonical()

    def canonical(self) -> "Protocol":
        """The same protocol under its shortest name: overrides that change nothing dropped, the rest sorted."""
        base = PROTOCOLS[self.name.split("+")[0]]
        changed = [f"{f}={getattr(self, f)}" for f in sorted(CHOICES) if getattr(self, f) != getattr(base, f)]
        return replace(self, name="+".join([base.name, *changed]))


CHOICES = {
    "loss_without_beta": ("linear", "cross_entropy"),
    "checkpoint": ("last", "best"),
    "rotation": ("fixed", "random"),
    "split": ("image", "patient"),
    "split_order": ("after", "before"),
    "split_seed": ("documented", "run"),
    "chestxray_filter": ("released", "no_ct", "frontal"),
    "test_overlap": ("kept", "removed"),
    "normalisation": ("none", "weights"),
}

PROTOCOLS = {
    "released": Protocol(
        name="released",
        loss_without_beta="linear",
        checkpoint="last",
        rotation="random",
        split="image",
        split_order="after",
        split_seed="documented",
        chestxray_filter="released",
        test_overlap="kept",
        normalisation="none",
    ),
    "paper": Protocol(
        name="paper",
        loss_without_beta="cross_entropy",
        checkpoint="best",
        rotation="fixed",
        split="image",
        split_order="after",
        split_seed="run",
        chestxray_filter="no_ct",
        test_overlap="kept",
        normalisation="none",
    ),
    "clean": Protocol(
        name="clean",
        loss_without_beta="cross_entropy",
        checkpoint="best",
        rotation="fixed",
        split="patient",
        split_order="before",
        split_seed="run",
        chestxray_filter="frontal",
        test_overlap="removed",
        normalisation="weights",
    ),
}

assert {f.name for f in fields(Protocol)} == {"name", *CHOICES}
