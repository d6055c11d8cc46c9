"""Log-odds to judge a weight by, in one form, from recorded networks or from linear models of simulated images.

A table of scores has the columns `COLUMNS`: draw and seed of a run, method, weight (the beta of its loss, 1 for plain
cross-entropy, NaN where it has none), split ("valid": what a choice may look at; "test": what it is judged on), image_id,
component, label (1 = COVID), logit.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.beta.theory import BETAS, GaussianProblem, fit_linear
from cxrlib.losses.alternatives import ALTERNATIVES, balancing_chances, build_loss
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

COLUMNS = ("draw", "seed", "method", "weight", "split", "image_id", "component", "label", "logit")
PLAIN = "plain CE"
RIDGE = 3e-2
SIZES = {"train": 500, "valid": 300, "test": 1000}
IMAGES = GaussianProblem(2.0, 0.25)


def method_name(weight: float) -> str:
    """The method of a weighted loss: `PLAIN` for weight 1, else "β = …"."""
    return PLAIN if weight == 1 else f"β = {beta_text(weight)}"


def scores_of(records: Sequence[Record]) -> pd.DataFrame:
    """The scores of records under protocols whose loss without a weight is cross-entropy."""
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for record in records:
        c = record.config
        weight = np.nan if c.loss != "wce" else 1.0 if c.beta is None else c.beta
        shown = record.predictions[["split", "image_id", "component", "label", "logit"]]
        method = method_name(weight) if c.loss == "wce" else name(c.loss)
        parts.append(shown.assign(draw=c.draw_seed, seed=c.seed, method=method, weight=weight))
    return pd.concat(parts[1:] or parts, ignore_index=True).astype({"logit": np.float64})[list(COLUMNS)]


def simulated_scores(
    betas: Sequence[float] = BETAS, others: bool = False, draws: Sequence[int] = range(4), pixels: int = 16
) -> pd.DataFrame:
    """Scores of linear models of simulated images, fitted to convergence under a slight ridge; a draw is a data set.

    The images are unit Gaussians two standard deviations apart, whose log-odds are linear. others: the alternatives to a
    weight too, each as `losses.alternatives.build_loss` sets it, with the weight that balances the classes and re-sampling to
    balanced classes.
    """
    split = np.repeat(list(SIZES), list(SIZES.values()))
    train, unseen = split == "train", split != "train"
    parts = []
    for draw in draws:
        x, y = IMAGES.sample(len(split), draw, pixels)
        counts = np.bincount(y[train], minlength=2).tolist()
        methods: list[tuple[str, str, float | None, float]] = [
            (method_name(b), "wce", b, b) for b in (1.0, *(b for b in betas if b != 1))
        ]
        if others:
            methods += [(name(loss), loss, None, np.nan) for loss in (*ALTERNATIVES, "resampled")]
            methods += [("balancing weight", "wce", counts[0] / counts[1], np.nan)]
        images = {"split": split[unseen], "image_id": np.flatnonzero(unseen), "label": y[unseen]}
        frame = pd.DataFrame(images).assign(draw=draw, seed=0, component=np.flatnonzero(unseen) + draw * len(split))
        for method, loss, beta, weight in methods:
            index = np.arange(train.sum())
            if loss == "resampled":
                index = np.random.default_rng(draw).choice(index, size=len(index), p=balancing_chances(y[train]))
            function = build_loss(loss, beta, "cross_entropy", counts)
            w = fit_linear(x[train][index], y[train][index], function, RIDGE)
            parts.append(frame.assign(method=method, weight=weight, logit=x[unseen] @ w[:-1] + w[-1]))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]
