"""Related systems of the paper's section II in this study's harness: same cohort, same test images, same intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from cxrlib.analysis.effects import PLAIN
from cxrlib.analysis.pairs import value
from cxrlib.analysis.sentences import count
from cxrlib.config import PROFILES
from cxrlib.data.editions import Edition
from cxrlib.data.selection import run_samples
from cxrlib.evaluation.metrics import summary
from cxrlib.names import name
from cxrlib.networks.classifier import build_network
from cxrlib.networks.weights import load_imagenet
from cxrlib.records.analyses import recorded_analysis
from cxrlib.records.record import Record, select
from cxrlib.training.configure import run_config
from cxrlib.training.precision import best_device
from cxrlib.training.segmentation import train_segmenter
from cxrlib.training.train import features

METRICS = ("sensitivity", "specificity", "bacc", "auroc")
SIZE = PROFILES["cpu"]["image_size"]


@recorded_analysis("feature_svm", tolerance=0.02)
def feature_svm(edition: Edition) -> pd.DataFrame:
    """Features of a frozen ResNet-50 (ImageNet) under a linear SVM, after Sethy and Behera (2020): one row.

    Combined cohort, protocol clean, the profile `cpu`'s size. Columns: METRICS with `_low` and `_high`, `train` and `test`
    images. An image is positive on the positive side of the plane; the AUROC ranks by the distance from it.
    """
    config = run_config(
        profile="cpu", edition="open", model="resnet50", head="native", pretraining="imagenet", beta=None,
        precision="float32",
    )  # fmt: skip
    samples = run_samples(config, edition)
    network = build_network("resnet50", SIZE, 0, head="native", trunk_state=load_imagenet("resnet50"), normalise=True)
    x_train, x_test = (
        features(network, part.pixels, best_device())[:, :, 0, 0].astype(np.float32)
        for part in (samples.train, samples.test)
    )
    machine = make_pipeline(StandardScaler(), LinearSVC(C=1e-3, random_state=0, max_iter=20_000))
    margin = machine.fit(x_train, samples.train.labels).decision_function(x_test)
    groups = samples.test.table["component"].to_numpy()
    found = summary(samples.test.labels, 1 / (1 + np.exp(-margin)), scores=margin, groups=groups)
    keys = [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    return pd.DataFrame([{key: found[key] for key in keys} | {"train": len(samples.train), "test": len(samples.test)}])


@recorded_analysis("lung_segmentation", trains=True)
def lung_segmentation(edition: Edition) -> pd.DataFrame:
    """Dice coefficient of the U-Net on radiographs of patients it did not see: image_id, component, dice, trained_on."""
    found = train_segmenter(edition, SIZE)
    return found.held_out.assign(trained_on=found.trained_on)


def segmentation_sentence(held_out: pd.DataFrame) -> str:
    """How well the U-Net of the lungs does on patients it did not see, in one sentence; from `lung_segmentation`."""
    d = held_out["dice"]
    return (
        f"Trained on {count(int(held_out['trained_on'].iloc[0]), 'image')} with lung masks, it reaches a Dice coefficient of "
        f"{d.median():.3f} in the median (quartiles {d.quantile(0.25):.3f} to {d.quantile(0.75):.3f}) on {len(d)} images of "
        "other patients."
    )


def related_table(svm: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    """One row a related system: what stands for it here, runs, and mean test metrics with their range over runs.

    `svm`: from `feature_svm`, whose ends are 95 % intervals of its one run. Networks: sound records as in `effects.PLAIN`.
    """
    first = {"system": "Sethy and Behera [8]", "here": "ResNet-50 features (ImageNet weights), linear SVM", "runs": 1}
    rows: list[dict[str, Any]] = [first | svm.iloc[0].drop(["train", "test"]).to_dict()]
    for system, model, preparation in (
        ("the network itself, for comparison", "squeezenet", "minmax"),
        ("histogram equalisation first", "squeezenet", "equalised"),
        ("Tartaglione et al. [6]", "squeezenet", "lungs"),
        ("the study's network, for comparison", "resnet50", "minmax"),
        ("Apostolopoulos et al. [11]", "vgg19", "minmax"),
    ):
        wanted = {**PLAIN, "model": model, "preparation": preparation, "pretraining": "imagenet"}
        same = [record for record in select(records, **wanted) if not record.degenerate]
        before = "" if preparation == "minmax" else f"; before it: {name(preparation)}"
        here = f"{name(model)}, ImageNet weights, all layers trained{before}" + ("" if same else " (not run)")
        row: dict[str, Any] = {"system": system, "here": here, "runs": len(same)}
        for metric in METRICS:
            values = pd.Series([value(record, metric) for record in same], dtype=float)
            row |= {metric: values.mean(), f"{metric}_low": values.min(), f"{metric}_high": values.max()}
        rows.append(row)
    return pd.DataFrame(rows)
