"""A run's metrics from its predictions alone, and what a record's content must be, whoever made it.

The checks run whenever a record is read or imported; they compute counts, rates and areas again, `make verify` intervals too.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.errors import RecordError
from cxrlib.evaluation.metrics import point_values, summary, tune_threshold
from cxrlib.evaluation.sources import source_among_negatives, within_source

FEWEST_LOGITS = 200
"""Distinct test logits below which a network counts as having learned nothing (of test sets at least that large)."""
PREDICTIONS = {
    "split": "O", "image_id": "O", "source": "O", "component": "i", "overlap": "b", "label": "i", "logit": "f",
    "probability": "f",
}  # fmt: skip
"""Columns of the predictions and the kind of their values: text (O), integer, boolean or floating-point."""
PROVENANCE = (
    "started", "wall_s", "machine", "device", "training_code", "versions", "command", "epochs_run", "epoch_kept",
)  # fmt: skip
TOLERANCE = 1e-9  # of a rate or an area against its recomputation
_SOURCES = {"within_source": within_source, "source_among_negatives": source_among_negatives}


def evaluate(predictions: pd.DataFrame, draws: int = 1000) -> dict[str, Any]:
    """Metrics of a run, as plain values: each part as `metrics.summary` has it.

    `test` at 0.5, `test_tuned` at the threshold tuned on validation data, the test set with and without the COVID-19
    images that overlap with the training set, `valid`, and the two figures of `evaluation.sources` on the test set.
    `degenerate`: see `degenerate`. `draws`: of the bootstrap by component.
    """
    metrics: dict[str, Any] = {}
    for name, (part, threshold) in _parts(predictions).items():
        labels, probabilities, scores, groups = _columns(part, "label", "probability", "logit", "component")
        metrics[name] = summary(labels, probabilities, threshold, scores=scores, groups=groups, draws=draws)
    test = predictions[predictions["split"] == "test"]
    figures = {name: figure(test, draws=draws) for name, figure in _SOURCES.items()}
    return {**metrics, **figures, "degenerate": degenerate(test, metrics["test"])}


def degenerate(test: pd.DataFrame, metrics: Mapping[str, Any]) -> str | None:
    """Why a network counts as having learned nothing, or None: it gives nearly every image one score, or ranks by chance.

    `test`: predictions with `logit`; `metrics`: their `summary`. Such a run supports no conclusion on what was varied.
    """
    distinct = test["logit"].nunique()
    if distinct < min(FEWEST_LOGITS, len(test) // 2):
        return f"only {distinct} distinct logits for {len(test)} test images"
    if metrics["auroc_low"] is None or metrics["auroc_low"] <= 0.5:
        return f"its AUROC of {metrics['auroc']:.3f} is not above chance (95 % interval from {metrics['auroc_low'] or 0:.3f})"
    return None


def check_predictions(predictions: pd.DataFrame) -> None:
    """Raise RecordError unless the columns, their kinds and their values can be those of a run."""
    missing = [name for name in PREDICTIONS if name not in predictions]
    if missing:
        raise RecordError(f"the predictions lack the columns {', '.join(missing)}")
    for name, kind in PREDICTIONS.items():
        text = kind == "O" and pd.api.types.is_string_dtype(predictions[name])
        if not text and predictions[name].dtype.kind != kind:
            raise RecordError(f"the predictions' column {name} is {predictions[name].dtype}")
    if set(predictions["split"]) != {"valid", "test"}:
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


def check_metrics(
    predictions: pd.DataFrame, metrics: Mapping[str, Any], intervals: bool = False, tolerance: float = TOLERANCE
) -> None:
    """Raise RecordError unless counts, rates and areas are those of the predictions, with `intervals` all that is stated."""
    if intervals:
        found = evaluate(predictions)
    else:
        test = predictions[predictions["split"] == "test"]
        found = {name: {"value": figure(test, draws=1)["value"]} for name, figure in _SOURCES.items()}
        for name, (part, threshold) in _parts(predictions).items():
            labels, probabilities, scores = _columns(part, "label", "probability", "logit")
            found[name] = point_values(labels, probabilities, scores, threshold)
        found["degenerate"] = degenerate(test, metrics["test"])
    if intervals and metrics.keys() != found.keys():
        raise RecordError(f"its metrics must be {', '.join(found)}, as they follow from its predictions")
    for name in found:
        figures, stated = ({"": tree[name]} if name == "degenerate" else dict(tree[name]) for tree in (found, metrics))
        for key in [*figures, *(stated if intervals else ())]:
            here, there = figures.get(key), stated.get(key)
            same = here == there
            if isinstance(here, int | float) and isinstance(there, int | float):
                same = math.isclose(here, there, rel_tol=tolerance, abs_tol=TOLERANCE)
            if not same:
                raise RecordError(f"{name} {key} is stated as {there} but the predictions give {here}")


def _parts(predictions: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, float]]:
    """The rows that each of the metrics is of, and its threshold."""
    valid, test = (predictions[predictions["split"] == name] for name in ("valid", "test"))
    overlap, positive = test["overlap"].to_numpy(bool), test["label"].to_numpy() == 1
    return {
        "test": (test, 0.5),
        "test_tuned": (test, tune_threshold(*_columns(valid, "label", "probability"))),
        "test_overlapping": (test[overlap | ~positive], 0.5),
        "test_not_overlapping": (test[~overlap | ~positive], 0.5),
        "valid": (valid, 0.5),
    }


def _columns(part: pd.DataFrame, *names: str) -> Iterator[np.ndarray]:
    return (part[name].to_numpy() for name in names)
