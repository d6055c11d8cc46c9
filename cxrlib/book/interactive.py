"""The interactive figure: its data and its HTML; `_static/beta.js` draws it and repeats `costs.outlook`."""

import html
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.beta.scores import PLAIN, Evidence
from cxrlib.evaluation.costs import PER, Roc, outlook

START = {"beta": 0.75, "prevalence": 0.1, "cost_fn": 5.0, "cost_fp": 1.0}
"""Where the sliders stand at first: the paper's weight, and a miss that costs five false alarms."""
DIGITS = 6


def payload(evidence: Evidence) -> dict[str, Any]:
    """What the page carries: the ROC of the plain model, its training prevalence, and where it comes from.

    A recorded ROC is that of the lowest seed; the live experiment's is pooled over its folds. Numbers are rounded to
    `DIGITS` decimals; an infinite cut is null.
    """
    rows = evidence.scores[evidence.scores["method"] == PLAIN]
    fold = f"seed {rows['fold'].min()}" if evidence.kind == "records" else "pooled over folds"
    if evidence.kind == "records":
        rows = rows[rows["fold"] == rows["fold"].min()]
    test, valid = (rows[rows["split"] == name] for name in ("test", "valid"))
    roc = Roc.of(test["label"], test["logit"])
    return {
        "title": evidence.title,
        "which": fold,
        "trained_prevalence": round(float((valid["label"] == 1).mean()), DIGITS),
        "positives": int((test["label"] == 1).sum()),
        "negatives": int((test["label"] != 1).sum()),
        "cut": [float(np.round(c, DIGITS)) if np.isfinite(c) else None for c in roc.cut],
        "sensitivity": np.round(roc.sensitivity, DIGITS).tolist(),
        "specificity": np.round(roc.specificity, DIGITS).tolist(),
        "start": START,
    }


def roc_of(data: Mapping[str, Any]) -> Roc:
    """The ROC that a payload holds, as the page sees it."""
    cut = [np.inf if c is None else c for c in data["cut"]]
    return Roc(np.array(cut), np.array(data["sensitivity"]), np.array(data["specificity"]))


def start_table(data: Mapping[str, Any]) -> pd.DataFrame:
    """What the figure shows before a slider is moved, one row a quantity."""
    shown = outlook(roc_of(data), data["trained_prevalence"], **data["start"])
    rows = {**data["start"], **shown.to_dict()}
    return pd.DataFrame({"quantity": [NAMES[name] for name in rows], "value": list(rows.values())})


NAMES = {
    "beta": "weight β",
    "prevalence": "prevalence",
    "cost_fn": "cost of a miss",
    "cost_fp": "cost of a false alarm",
    "threshold": "threshold 1 / (1 + β)",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "tp": f"found, per {PER:,}",
    "fn": f"missed, per {PER:,}",
    "fp": f"false alarms, per {PER:,}",
    "tn": f"rightly cleared, per {PER:,}",
    "cost": f"cost, per {PER:,}",
    "best_cost": "cost at the best point of the ROC",
    "asked_beta": "weight these costs and this prevalence ask for",
}


def figure_html(data: Mapping[str, Any], source: str) -> str:
    """The figure as HTML: the data as JSON and the starting numbers as a table, which stays where no script runs."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(str(name))}</th><td>{value:.3f}</td></tr>"
        for name, value in start_table(data).itertuples(index=False)
    )
    carried = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<div class="cxr-beta" role="group" aria-label="Interactive figure: weight, prevalence and costs">'
        f'<script type="application/json" class="cxr-beta-data">{carried}</script>'
        f'<div class="cxr-beta-view"><table class="table"><tbody>{rows}</tbody></table></div></div>'
        f'<p class="cxr-source">{html.escape(source)} · {html.escape(str(data["which"]))}</p>'
    )


def show_interactive(data: Mapping[str, Any], source: str) -> None:
    """Display the figure in a notebook or page."""
    from IPython.display import HTML, display

    display(HTML(figure_html(data, source)))
