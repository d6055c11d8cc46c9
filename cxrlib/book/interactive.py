"""The interactive figure: its data and its HTML; `_static/beta.js` draws it and repeats `decisions.outlook`."""

import html
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, display

from cxrlib.analysis.beta.rules import PLAIN
from cxrlib.evaluation.decisions import PER, Roc, outlook

START = {"beta": 0.75, "prevalence": 0.1, "cost_fn": 5.0, "cost_fp": 1.0}
"""Where the sliders stand at first: the paper's weight, and a miss that costs five false alarms."""
DIGITS = 6
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


def payload(scores: pd.DataFrame) -> dict[str, Any]:
    """What the page carries, rounded: the ROC of plain cross-entropy in its first run, and that run's training prevalence."""
    rows = scores[scores["method"] == PLAIN]
    (draw, seed), rows = next(iter(rows.groupby(["draw", "seed"])))
    test, valid = (rows[rows["split"] == name] for name in ("test", "valid"))
    roc = Roc.of(test["label"], test["logit"])
    return {
        "which": f"draw {draw}, seed {seed}",
        "trained_prevalence": round(float((valid["label"] == 1).mean()), DIGITS),
        "cut": [float(np.round(c, DIGITS)) if np.isfinite(c) else None for c in roc.cut],
        "sensitivity": np.round(roc.sensitivity, DIGITS).tolist(),
        "specificity": np.round(roc.specificity, DIGITS).tolist(),
        "start": START,
    }


def start_values(data: Mapping[str, Any]) -> dict[str, float]:
    """What the figure shows before a slider is moved, from what the page carries."""
    roc = Roc(*(np.array([np.inf if v is None else v for v in data[k]]) for k in ("cut", "sensitivity", "specificity")))
    return {**data["start"], **outlook(roc, data["trained_prevalence"], **data["start"])}


def show_interactive(data: Mapping[str, Any], source: str) -> None:
    """Display the figure: the data as JSON and the starting numbers as a table, which stays where no script runs."""
    rows = "".join(f"<tr><th scope='row'>{NAMES[k]}</th><td>{v:.3f}</td></tr>" for k, v in start_values(data).items())
    carried = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    body = (
        f'<div class="cxr-beta" role="group" aria-label="Interactive figure: weight, prevalence and costs">'
        f'<script type="application/json" class="cxr-beta-data">{carried}</script>'
        f'<div class="cxr-beta-view"><table class="table"><tbody>{rows}</tbody></table></div></div>'
    )
    display(HTML(f'{body}<p class="cxr-source">{html.escape(source)} · {html.escape(str(data["which"]))}</p>'))
