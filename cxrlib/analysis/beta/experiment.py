"""Log-odds to judge a weight by, in one form, from recorded networks or from linear models of simulated images.

A table of scores has the columns `COLUMNS`: draw and seed of a run, method, weight (the beta of its loss, 1 for plain
cross-entropy, NaN where it has none), split ("valid": what a choice may look at; "test": what it is judged on), image_id,
component, label (1 = COVID), logit.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from cxrlib.analysis.simulated import BETAS, Floats, fit_linear
from cxrlib.losses.alternatives import Resampling
from cxrlib.losses.criterion import ALTERNATIVES, build_loss
from cxrlib.losses.weighted import weighted_cross_entropy
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record

COLUMNS = ("draw", "seed", "method", "weight", "split", "image_id", "component", "label", "logit")
PLAIN = "plain CE"
RIDGE = 3e-2
SIZES = {"train": 500, "valid": 300, "test": 1000}


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


def simulated_images(
    images: int, pixels: int, seed: int, prevalence: float = 0.25
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features [images, pixels] and labels: unit Gaussians two standard deviations apart, whose log-odds are linear."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(images) < prevalence).astype(np.int64)
    return generator.normal(2 * labels[:, None] / pixels**0.5, 1.0, (images, pixels)), labels


def simulated_scores(
    betas: Sequence[float] = BETAS, others: bool = False, draws: Sequence[int] = range(4), pixels: int = 16
) -> pd.DataFrame:
    """Scores of linear models of simulated images, fitted to convergence under a slight ridge; a draw is a data set.

    others: the alternatives to a weight too, each as `losses.criterion.build_loss` sets it, with the weight that balances
    the classes and re-sampling to balanced classes.
    """
    split = np.repeat(list(SIZES), list(SIZES.values()))
    train, unseen = split == "train", split != "train"
    parts = []
    for draw in draws:
        x, y = simulated_images(len(split), pixels, draw)
        counts = np.bincount(y[train], minlength=2).tolist()
        methods: dict[str, tuple[str, float | None]] = {
            method_name(beta): ("wce", beta) for beta in (1.0, *(b for b in betas if b != 1))
        }
        if others:
            methods |= {name(loss): (loss, None) for loss in (*ALTERNATIVES, "resampled")}
            methods["balancing weight"] = ("wce", counts[0] / counts[1])
        for method, (loss, beta) in methods.items():
            index = Resampling(0.0).draw(y[train], draw) if loss == "resampled" else np.arange(train.sum())
            function = build_loss(loss, beta, "cross_entropy", counts)
            w = fit_linear(x[train][index], partial(function, target=torch.as_tensor(y[train][index])), RIDGE)
            rows: dict[str, Any] = {
                "draw": draw,
                "seed": 0,
                "method": method,
                "weight": beta if method == method_name(beta or 1) else np.nan,
            }
            rows |= {"split": split[unseen], "image_id": np.flatnonzero(unseen), "label": y[unseen]}
            rows["component"] = rows["image_id"] + draw * len(split)
            parts.append(pd.DataFrame(rows | {"logit": x[unseen] @ w[:-1] + w[-1]}))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def training_course(
    sizes: Sequence[tuple[int, int]] = ((16, 600), (128, 600), (128, 100)),
    betas: Sequence[float] = (0.25, 4.0),
    seeds: Sequence[int] = (0, 1),
    steps: int = 500,
) -> pd.DataFrame:
    """How much of log beta a linear model shows while Adam trains it without a penalty on simulated images.

    Where the model cannot separate its training set the log-odds settle log beta apart. Where it can, no minimum exists and
    the weight fades (Soudry et al., 2018; Byrd and Lipton, 2019). sizes: (pixels, training images). Columns: pixels,
    images, seed, beta, step, `share` (mean over 1,000 unseen images of the shift over log beta; 1 by theory), `differently`
    (unseen images on which the weighted model and the plain one at 1 / (1 + beta) disagree), `training_errors`.
    """
    shown = set(np.geomspace(1, steps, 24).round().astype(int))
    logs, rows = torch.tensor([0.0, *np.log(betas)]).float(), []
    for (pixels, images), seed in ((size, seed) for size in sizes for seed in seeds):
        features, labels = simulated_images(images + 1000, pixels, seed)
        x, y = torch.as_tensor(features).float(), torch.as_tensor(labels)
        w = torch.zeros(pixels + 1, len(logs), requires_grad=True)
        solver = torch.optim.Adam([w], lr=0.03)
        for step in range(1, steps + 1):
            solver.zero_grad()
            z = x[:images] @ w[:-1] + w[-1]
            losses = [weighted_cross_entropy(z[:, k], y[:images], beta) for k, beta in enumerate((1.0, *betas))]
            torch.stack(losses).sum().backward()
            solver.step()
            if step in shown:
                z = (x @ w[:-1] + w[-1]).detach()
                found: dict[str, float] = {"pixels": pixels, "images": images, "seed": seed, "step": step}
                found["training_errors"] = float((z[:images, 0].gt(0) != y[:images].eq(1)).double().mean())
                new = z[images:]
                share = ((new - new[:, :1]).mean(0) / logs).tolist()
                differ = (new.gt(0) != (new[:, :1] + logs).gt(0)).double().mean(0).tolist()
                rows += [
                    {**found, "beta": b, "share": share[k], "differently": differ[k]} for k, b in enumerate(betas, 1)
                ]
    return pd.DataFrame(rows)
