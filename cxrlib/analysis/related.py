"""Related systems of the paper's section II in this study's harness: same cohort, same test images, same intervals."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cxrlib.analysis.own.frozen import feature_svm
from cxrlib.config import PROFILES, RunConfig
from cxrlib.data.editions import Edition
from cxrlib.data.samples import prepare
from cxrlib.errors import DataError
from cxrlib.networks.segmentation import train_segmenter
from cxrlib.networks.weights import imagenet_at_hand
from cxrlib.records.record import Record
from cxrlib.training.grid import BEST
from cxrlib.training.precision import best_device
from cxrlib.training.runs import command, initial_network

METRICS = ("sensitivity", "specificity", "bacc", "auroc")
_PROTOCOL = "clean"
_NAMES = {"resnet50": "ResNet-50", "vgg19": "VGG-19"}
_BEFORE = {"minmax": "", "lungs": "; before it, histogram equalisation and a U-Net that cuts out the lungs"}


def frozen_svm(edition: Edition, profile: str, seed: int = 0) -> dict[str, Any]:
    """Frozen ResNet-50 features under a linear SVM (Sethy and Behera, 2020) on the combined cohort, protocol clean.

    Computed when it is asked for: the training and test images of the ResNet-50 run without a weight, at the profile's
    size. Keys as `metrics.summary`, with `features`: whose weights the network has, "imagenet" or "none" (random).
    """
    config = RunConfig.create(
        edition=edition.name, licences=edition.licences, cohort=BEST.cohort, model="resnet50", beta=None, seed=seed,
        protocol=_PROTOCOL, profile=profile,
    )  # fmt: skip
    samples = prepare(config, edition)
    network = initial_network(config, edition).eval()
    found = feature_svm(network, samples.train, samples.test, seed=seed, device=best_device())
    return {**found, "features": config.pretraining, "train": samples.train.counts()}


def segmentation_sentence(edition: Edition, profile: str, seed: int = 0) -> str:
    """How well the U-Net of the lungs does on patients it did not see, trained now; or that there are too few masks."""
    try:
        found = train_segmenter(edition, PROFILES[profile]["image_size"], seed=seed)
    except DataError as error:
        return f"No segmentation network could be trained here: {error}"
    d = found.held_out["dice"]
    return (
        f"Trained on {found.trained_on} images with lung masks, it reaches a Dice coefficient of {d.median():.3f} in the "
        f"median (quartiles {d.quantile(0.25):.3f} to {d.quantile(0.75):.3f}) on {len(d)} images of other patients."
    )


def related_table(svm: dict[str, Any], records: Sequence[Record], edition: Edition, profile: str) -> pd.DataFrame:
    """One row a related system: what stands for it here, its test metrics with 95 % intervals, or why it has none.

    `svm` is `frozen_svm`'s result; the fine-tuned networks are looked for among `records`, without a weight, seed 0 or
    the lowest there is.
    """
    weights = "ImageNet" if svm["features"] == "imagenet" else "random"
    rows = [
        _row(
            "Sethy and Behera [8]",
            f"ResNet-50 features ({weights} weights), linear SVM",
            svm,
            "computed with this page",
        ),
        _network_row("ResNet-50, fine-tuned, for comparison", "resnet50", records, edition, profile),
        _network_row("Apostolopoulos et al. [11]", "vgg19", records, edition, profile),
        _network_row("Tartaglione et al. [6]", "resnet50", records, edition, profile, "lungs"),
    ]
    return pd.DataFrame(rows)


def _network_row(
    system: str, model: str, records: Sequence[Record], edition: Edition, profile: str, preparation: str = "minmax"
) -> dict[str, object]:
    wanted = (BEST.cohort, model, "imagenet", None, "wce", _PROTOCOL, preparation)
    same = [
        r
        for r in records
        if (
            r.config.cohort,
            r.config.model,
            r.config.pretraining,
            r.config.beta,
            r.config.loss,
            r.config.protocol,
            r.config.preparation,
        )
        == wanted
    ]
    name = f"{_NAMES[model]}, ImageNet weights, all layers trained{_BEFORE[preparation]}"
    if same:
        first = min(same, key=lambda record: record.config.seed)
        return _row(system, name, first.metrics["test"], first.key)
    hint = "" if imagenet_at_hand(model) else "; its ImageNet weights are not on this machine"
    config = RunConfig.create(
        edition=edition.name, licences=edition.licences, cohort=BEST.cohort, model=model, pretraining="imagenet", beta=None,
        protocol=_PROTOCOL, profile=profile, preparation=preparation,
    )  # fmt: skip
    return _row(system, name, None, f"no record{hint}: {command(config)}")


def _row(system: str, here: str, metrics: dict[str, Any] | None, source: str) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name in METRICS:
        for key in (name, f"{name}_low", f"{name}_high"):
            value = None if metrics is None else metrics[key]
            figures[key] = float("nan") if value is None else float(value)
    return {"system": system, "here": here, **figures, "source": source}
