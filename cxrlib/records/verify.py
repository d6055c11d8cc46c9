"""What a record's content must be, whoever made it: checked whenever a record is read or imported."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.errors import RecordError
from cxrlib.evaluation.metrics import point_values, tune_threshold
from cxrlib.evaluation.sources import source_among_negatives, within_source
from cxrlib.records.evaluate import degenerate

PREDICTIONS = {
    "split": "O", "image_id": "O", "source": "O", "component": "i", "overlap": "b", "label": "i", "logit": "f",
    "probability": "f",
}  # fmt: skip
"""Columns of the predictions and the kind of their values: text (O), integer, boolean or floating-point."""

PROVENANCE = (
    "started",
    "wall_s",
    "machine",
    "device",
    "training_code",
    "versions",
    "command",
    "epochs_run",
    "epoch_kept",
)
TOLERANCE = 1e-9  # of a rate or an area against its recomputation


def check_predictions(predictions: pd.DataFrame) -> None:
    """Raise RecordError unless the columns, their kinds and their values can be those of a run."""
    missing = [name for name in PREDICTIONS if name not in predictions]
    if missing:
        raise RecordError(f"the predictions lack the columns {', '.join(missing)}")
    for name, kind in PREDICTIONS.items():
        text = kind == "O" and pd.api.types.is_string_dtype(predictions[name])
        if not text and predictions[name].dtype.kind != kind:
            raise RecordError(f"the predictions' column {name} is {predictions[name].dtype}")
    if not set(predictions["split"]) == {"valid", "test"}:
        raise RecordError("the predictions must be of the splits valid and test")
    test = predictions.loc[predictions["split"] == "test", "image_id"]
    if test.duplicated().any():
        raise RecordError(f"test image {test[test.duplicated()].iloc[0]} occurs twice")
    logit = predictions["logit"].to_numpy(np.float64)
    if not np.isfinite(logit).all() or not predictions["label"].isin((0, 1)).all():
        raise RecordError("a logit is not finite, or a label is neither 0 nor 1")
    if np.abs(predictions["probability"].to_numpy() - 1 / (1 + np.exp(-logit))).max() > 1e-6:
        raise RecordError("a probability is not that of its logit")


def check_history(history: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Raise RecordError unless the history has an epoch a row, as many as the provenance says, and one that was kept."""
    missing = [name for name in PROVENANCE if name not in provenance]
    if missing:
        raise RecordError(f"the provenance lacks {', '.join(missing)}")
    if not {"epoch", "train_loss", "valid_loss", "kept"} <= set(history):
        raise RecordError("history.csv lacks one of the columns epoch, train_loss, valid_loss, kept")
    if history["epoch"].tolist() != list(range(provenance["epochs_run"])):
        raise RecordError(f"history.csv must have the {provenance['epochs_run']} epochs that were run")
    if history.loc[history["kept"], "epoch"].tolist() != [provenance["epoch_kept"]]:
        raise RecordError(f"history.csv must mark epoch {provenance['epoch_kept']} as the one kept")


def check_metrics(predictions: pd.DataFrame, metrics: Mapping[str, Any]) -> None:
    """Raise RecordError unless counts, rates and areas are those of the predictions (intervals: `make verify`)."""
    valid, test = (predictions[predictions["split"] == name] for name in ("valid", "test"))
    threshold = tune_threshold(valid["label"].to_numpy(), valid["probability"].to_numpy())
    overlap, positive = test["overlap"].to_numpy(), test["label"].to_numpy() == 1
    parts = {
        "test": (test, 0.5),
        "test_tuned": (test, threshold),
        "test_overlapping": (test[overlap | ~positive], 0.5),
        "test_not_overlapping": (test[~overlap | ~positive], 0.5),
        "valid": (valid, 0.5),
    }
    for name, (part, at) in parts.items():
        labels, probabilities, logits = (part[column].to_numpy() for column in ("label", "probability", "logit"))
        for key, value in point_values(labels, probabilities, logits, at).items():
            stated = metrics[name][key]
            same = stated == value if value is None or stated is None else abs(stated - value) <= TOLERANCE
            if not same:
                raise RecordError(f"{name} {key} is stated as {stated} but the predictions give {value}")
    label, logit, source, group = (test[name].to_numpy() for name in ("label", "logit", "source", "component"))
    for name, function in (("within_source", within_source), ("source_among_negatives", source_among_negatives)):
        value, stated = function(label, logit, source, group, draws=1)["value"], metrics[name]["value"]
        if (value is None) != (stated is None) or (value is not None and abs(stated - value) > TOLERANCE):
            raise RecordError(f"{name} is stated as {stated} but the predictions give {value}")
    if metrics["degenerate"] != degenerate(test, metrics["test"]):
        raise RecordError(
            f"degenerate is stated as {metrics['degenerate']!r} but is {degenerate(test, metrics['test'])!r}"
        )
