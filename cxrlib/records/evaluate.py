"""A run's metrics from its predictions alone, and whether its network learned anything."""

from typing import Any

import pandas as pd

from cxrlib.evaluation.metrics import summary, tune_threshold
from cxrlib.evaluation.sources import source_among_negatives, within_source

FEWEST_LOGITS = 200
"""Distinct test logits below which a network counts as having learned nothing (of test sets at least that large)."""


def evaluate(predictions: pd.DataFrame, draws: int = 1000) -> dict[str, Any]:
    """Metrics of a run, as plain values: each part as `metrics.summary` has it.

    `test` at 0.5, `test_tuned` at the threshold tuned on validation data, the test set with and without the COVID-19
    images that overlap with the training set, `valid`, and the two figures of `evaluation.sources` on the test set.
    `degenerate`: see `degenerate`. `draws`: of the bootstrap by component.
    """
    valid, test = (predictions[predictions["split"] == name] for name in ("valid", "test"))
    threshold = tune_threshold(valid["label"].to_numpy(), valid["probability"].to_numpy())
    overlap, positive = test["overlap"].to_numpy(bool), test["label"].to_numpy() == 1

    def of(part: pd.DataFrame, at: float = 0.5) -> dict[str, Any]:
        return summary(
            part["label"].to_numpy(),
            part["probability"].to_numpy(),
            at,
            scores=part["logit"].to_numpy(),
            groups=part["component"].to_numpy(),
            draws=draws,
        )

    columns = [test[name].to_numpy() for name in ("label", "logit", "source", "component")]
    metrics = {
        "test": of(test),
        "test_tuned": of(test, threshold),
        "test_overlapping": of(test[overlap | ~positive]),
        "test_not_overlapping": of(test[~overlap | ~positive]),
        "valid": of(valid),
        "within_source": within_source(*columns, draws=draws),
        "source_among_negatives": source_among_negatives(*columns, draws=draws),
    }
    return metrics | {"degenerate": degenerate(test, metrics["test"])}


def degenerate(test: pd.DataFrame, metrics: dict[str, Any]) -> str | None:
    """Why a network counts as having learned nothing, or None: it gives nearly every image one score, or ranks by chance.

    `test`: predictions with `logit`; `metrics`: their `summary`. Such a run supports no conclusion on what was varied.
    """
    distinct = test["logit"].nunique()
    if distinct < min(FEWEST_LOGITS, len(test) // 2):
        return f"only {distinct} distinct logits for {len(test)} test images"
    if metrics["auroc_low"] is None or metrics["auroc_low"] <= 0.5:
        return f"its AUROC of {metrics['auroc']:.3f} is not above chance (95 % interval from {metrics['auroc_low'] or 0:.3f})"
    return None
