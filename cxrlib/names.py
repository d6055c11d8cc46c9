"""The one table of display names, and how a weight and a number are written; figures, tables and sentences use it."""

from typing import Any

NAMES = {
    # networks, heads and initial weights
    "resnet50": "ResNet-50",
    "acnn": "ACNN",
    "squeezenet": "SqueezeNet",
    "vgg19": "VGG-19",
    "native": "own classifier",
    "none": "random",
    "imagenet": "ImageNet",
    "chestxray": "chest X-ray",
    "imagenet+chestxray": "ImageNet, then chest X-ray",
    # cohorts and classes
    "covidx_ray_5k": "COVIDX-Ray-5K",
    "augmented": "COVIDX-Ray-5K, augmented",
    "own": "own data",
    "covid": "COVID-19",
    "non_covid": "non-COVID",
    # losses and preparations
    "wce": "weighted cross-entropy",
    "class_balanced": "class-balanced",
    "ldam": "LDAM",
    "logit_adjusted": "logit-adjusted",
    "resampled": "re-sampled",
    "minmax": "min-max",
    "lungs": "equalised, lungs only",
    # metrics
    "bacc": "bACC",
    "ppcr": "PPCR",
    "npv": "NPV",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "within_source": "AUROC within source",
    "source_among_negatives": "AUROC for source among negatives",
}
"""Display name of the values of a config and of the metrics whose key does not read as it should."""


def name(value: Any) -> str:
    """How a value of a config or a metric's key is shown; what the table does not hold is shown as it is."""
    return NAMES.get(str(value), str(value).replace("_", " "))


def beta_text(beta: float | None) -> str:
    """A weight in figures and tables: 'none' for no weight (None or NaN), else the shortest digits."""
    return "none" if beta is None or beta != beta else f"{beta:g}"
