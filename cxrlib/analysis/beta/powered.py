"""The powered study: the weight, the protocol and the noise of training again, on SqueezeNet with its own classifier.

Every weight under every protocol, repeated over draws of the images and seeds of the training. The noise is that of two
runs without a weight that differ in their seed alone, plain against plain. Tests take the seeds as replicates; intervals
are one bootstrap over components and seeds together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.analysis.beta.rules import scores_of
from cxrlib.analysis.beta.theory import moved
from cxrlib.analysis.pairs import Pair, alike, matched_pairs, repeated, value
from cxrlib.analysis.sentences import count, interval, listed, percent, signed
from cxrlib.evaluation.comparison import holm, sign_flip
from cxrlib.evaluation.intervals import Bootstrap, Floats, interval_of, weighted_auroc, weighted_bacc, weighted_rates
from cxrlib.evaluation.sources import same_source
from cxrlib.names import beta_text, name
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.record import Record, select

METRICS = ("bacc", "auroc", "within_source", "sensitivity", "specificity")
FIXED: dict[str, Any] = dict(
    model="squeezenet", head="native", cohort="combined", loss="wce", recipe="paper", preparation="minmax"
)
VARIED = ("protocol", "beta", "draw_seed", "seed")
RUNS = (*VARIED, "metric", "value", "noise")
ESTIMATE = ("difference", "difference_low", "difference_high")
EFFECTS = ("protocol", "beta", "metric", "pairs", *ESTIMATE, "noise", "p", "p_holm")


@dataclass(frozen=True)
class Powered:
    """The study's frames, empty where nothing is recorded.

    runs (`RUNS`): a row a run and metric. effects (`EFFECTS`): a row a protocol, weight and metric, the mean difference from
    the run without a weight of the same draw and seed, at 1/2. Beside `METRICS`, where the loss without a weight is
    cross-entropy: "moved", the difference in bACC from that run with its threshold at 1 / (1 + beta); "changed", the share of
    test images on which the two disagree; "excess", how far that is beyond two runs without a weight at that threshold;
    "shift", the mean difference of the log-odds over log beta. noise: what 95 % of the differences between two runs without
    a weight that differ in their seed alone stay within (of "changed": their mean).
    """

    runs: pd.DataFrame
    effects: pd.DataFrame
    degenerate: int  # records left out because the network learned nothing
    aside: int  # records of another precision, size or data than most
    identical: int  # weighted runs whose predictions are those of the run without a weight, bit for bit


def powered_records(
    records: Sequence[Record], fixed: Mapping[str, Any] = FIXED, varied: Sequence[str] = VARIED
) -> tuple[list[Record], int]:
    """The study's records, alike in all that is not varied, and how many of another precision, size or data are set aside."""
    groups = alike([r for r in select(records, **fixed) if r.config.protocol in PROTOCOLS], varied)
    best = max(groups, key=len, default=[])
    return best, sum(map(len, groups)) - len(best)


def study_scores(records: Sequence[Record], losses: bool = False) -> pd.DataFrame:
    """Scores of the study's networks under protocol clean, by weight (`losses`: without one, by loss).

    Only runs that every method has; empty where there are fewer than two methods.
    """
    of_losses = {name: value for name, value in FIXED.items() if name != "loss"} | {"beta": None}
    found, _ = powered_records(select(records, protocol="clean"), of_losses if losses else FIXED, (*VARIED, "loss"))
    scores = scores_of([record for record in found if not record.degenerate])
    runs = scores.groupby("method")[["draw", "seed"]].apply(lambda part: set(map(tuple, part.to_numpy())))
    shared = set.intersection(*runs) if len(runs) > 1 else set()
    return scores[[run in shared for run in zip(scores["draw"], scores["seed"], strict=True)]]


def powered(records: Sequence[Record], draws: int = 300) -> Powered:
    """The powered study from whatever records there are; `draws` of the bootstrap."""
    found, aside = powered_records(records)
    sound = [record for record in found if not record.degenerate]
    runs, effects, identical = [], [], 0
    for protocol in PROTOCOLS:
        part = select(sound, protocol=protocol)
        again = repeated(select(part, beta=None))
        noise = {metric: _band([value(a, metric) - value(b, metric) for a, b in again]) for metric in METRICS}
        for c, record in ((record.config, record) for record in part):
            row = (protocol, beta_text(c.beta), c.draw_seed, c.seed)
            runs += [(*row, metric, value(record, metric), noise[metric]) for metric in METRICS]
        tests = _Tests(part, draws) if part else None
        for beta in sorted({record.config.beta for record in part if record.config.beta is not None}):
            pairs = matched_pairs(part, "beta", beta, None)
            identical += pairs.identical
            if tests and len(pairs):
                shared = {"protocol": protocol, "beta": beta_text(beta), "pairs": len(pairs)}
                effects += [shared | row for row in tests.effects(beta, pairs.pairs, again, noise)]
    table = pd.DataFrame(effects, columns=list(EFFECTS))
    table["p_holm"] = table.groupby(["protocol", "metric"])["p"].transform(lambda p: holm(p.tolist()))
    return Powered(pd.DataFrame(runs, columns=list(RUNS)), table, len(found) - len(sound), aside, identical)


class _Tests:
    """The test predictions of one protocol's runs, with every metric in every draw of one bootstrap."""

    def __init__(self, records: Sequence[Record], draws: int) -> None:
        self.frames = {record.key: record.test().sort_values("image_id", ignore_index=True) for record in records}
        images = pd.concat([frame[["component", "label"]] for frame in self.frames.values()])
        self.boot = Bootstrap(images["component"], images["label"].to_numpy() == 1, map(_run, records), draws)
        self.drawn = {key: self._metrics(frame) for key, frame in self.frames.items()}

    def _metrics(self, test: pd.DataFrame) -> dict[str, Floats]:
        y, z, weights = test["label"].to_numpy() == 1, test["logit"].to_numpy(), self.boot.images(test["component"])
        sens, spec = weighted_rates(y, z > 0, weights)
        found = {"sensitivity": sens, "specificity": spec, "bacc": (sens + spec) / 2}
        found["auroc"] = weighted_auroc(y, z, weights)
        return found | {"within_source": same_source(test["source"])(y, z, weights)}

    def _at_thresholds(self, pair: Pair, betas: tuple[float, float]) -> tuple[Floats, Floats]:
        """Difference in bACC and share of images that change class, the two runs' log-odds raised by log beta."""
        frames = [self.frames[record.key] for record in pair]
        one, other = (moved(frame["logit"], beta) > 0 for frame, beta in zip(frames, betas, strict=True))
        y, weights = frames[0]["label"].to_numpy() == 1, self.boot.images(frames[0]["component"])
        changed = weights @ (one != other) / weights.sum(axis=1)
        return weighted_bacc(y, one, weights) - weighted_bacc(y, other, weights), changed

    def effects(
        self, beta: float, pairs: Sequence[Pair], again: Sequence[Pair], noise: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        """The rows of one weight; `again`: pairs without a weight that differ in their seed, `noise`: what they differ by."""
        values = {m: {_run(a): self.drawn[a.key][m] - self.drawn[b.key][m] for a, b in pairs} for m in METRICS}
        rows: list[dict[str, Any]] = []
        if pairs[0][1].config.rules.loss_without_beta == "cross_entropy":
            trained = {_run(a): self._at_thresholds((a, b), (1.0, beta)) for a, b in pairs}
            plain = {(*_run(a), b.config.seed): self._at_thresholds((a, b), (beta, beta)) for a, b in again}
            for k, metric in enumerate(("moved", "changed")):
                values[metric] = {run: found[k] for run, found in trained.items()}
            noise = {**noise, "moved": _band([gain[0] for gain, _ in plain.values()])}
            if plain:
                disagree = self.boot.mean({run: changed for run, (_, changed) in plain.items()})
                noise["changed"] = disagree[0]
                rows.append({"metric": "excess", **_estimate(self.boot.mean(values["changed"]) - disagree)})
            logits = {key: frame["logit"].to_numpy(np.float64) for key, frame in self.frames.items()}
            shift = np.mean([(logits[a.key] - logits[b.key]).mean() for a, b in pairs]) / np.log(beta)
            rows.append({"metric": "shift", "difference": float(shift)})
        estimates = []
        for metric, of_runs in values.items():
            p = float("nan") if metric == "changed" else sign_flip([drawn[0] for drawn in of_runs.values()])
            found = {**_estimate(self.boot.mean(of_runs)), "noise": noise.get(metric, np.nan), "p": p}
            estimates.append({"metric": metric, **found})
        return estimates + rows


def _estimate(drawn: Floats) -> dict[str, float]:
    return dict(zip(ESTIMATE, interval_of(drawn), strict=True))


def _band(differences: Sequence[float]) -> float:
    known = [abs(difference) for difference in differences if np.isfinite(difference)]
    return float(np.quantile(known, 0.95)) if known else float("nan")


def _run(record: Record) -> tuple[int, int]:
    return record.config.draw_seed, record.config.seed


def threshold_sentence(study: Powered, protocol: str = "clean") -> str:
    """Does the weight train, or does it shift a threshold? With the numbers and the noise of training again."""
    rows = {metric: part for metric, part in study.effects[study.effects["protocol"] == protocol].groupby("metric")}
    if "moved" not in rows:
        return f"No run with a weight is recorded beside plain cross-entropy under protocol {protocol}: nothing is said on networks."
    gain, changed = rows["moved"], rows["changed"]
    most, pairs = gain.loc[gain["difference"].abs().idxmax()], int(gain["pairs"].max())
    text = (
        f"In {count(int(gain['pairs'].sum()), 'pair')} of networks that differ in β alone (SqueezeNet, protocol {protocol}), "
        f"training with β instead of moving the threshold to 1/(1+β) changed balanced accuracy by "
        f"{signed(gain['difference'].mean())} on average, most at β = {most['beta']} ({signed(most['difference'])} "
        f"{interval(most['difference_low'], most['difference_high'])}), and the class of "
        f"{percent(changed['difference'].mean())} of the test images, "
        f"where two runs without a weight that differ in their seed alone stay within ±{gain['noise'].mean():.3f} and "
        f"disagree on {percent(changed['noise'].mean())}"
    )
    beyond = rows["excess"].query("difference_low > 0")["beta"].tolist() if "excess" in rows else []
    found = gain[gain["p_holm"] <= 0.05].itertuples()
    clear = [f"{'better' if r.difference > 0 else 'worse'} at β = {r.beta}" for r in found]
    if len(gain) * 2.0 ** (1 - pairs) > 0.05:
        verdict = f"{count(pairs, 'pair')} a weight are too few for any difference to be distinguishable"
    elif clear:
        verdict = f"training with β was {listed(clear)} (sign flips over seeds, Holm's correction)"
    elif beyond:
        verdict = (
            f"at β = {listed(beyond)} it changed more classes than training again does, and at no weight is the balanced "
            f"accuracy distinguishable from that of the moved threshold"
        )
    else:
        verdict = "training with β is not distinguishable from moving the threshold and training again"
    return f"{text}: {verdict}."


def ranking_sentence(study: Powered) -> str:
    """Does any weight change what no threshold can, the ranking of images?"""
    parts, effects = [], study.effects
    without = effects.loc[effects["metric"] == "moved", "protocol"]  # protocols whose loss without a weight is Eq. (3)
    for metric in ("auroc", "within_source"):
        rows = effects[(effects["metric"] == metric) & effects["protocol"].isin(without)].dropna(subset="difference")
        if len(rows):
            most, found = rows.loc[rows["difference"].abs().idxmax()], rows[rows["p_holm"] <= 0.05].itertuples()
            clear = [f"β = {r.beta}, {r.protocol}, {signed(r.difference)}" for r in found]
            parts.append(
                f"of the {name(metric)} the largest mean change is {signed(most['difference'])} "
                f"{interval(most['difference_low'], most['difference_high'])} (β = {most['beta']}, {most['protocol']}), and "
                f"{len(clear)} of {len(rows)} are distinguishable from 0{f' ({listed(clear)})' if clear else ''}"
            )
    if not parts:
        return "No two runs whose ranking could be compared have been made."
    return f"What no threshold can change is the ranking: {'; '.join(parts)}."


def recorded_sentence(study: Powered) -> str:
    """What is recorded, and what is left out and why."""
    runs = len(study.runs) // len(METRICS)
    if not runs:
        return "No run of the powered study has been made, so its figure and tables are empty."
    aside = {
        f"{count(study.degenerate, 'run')} left out because the network learned nothing": study.degenerate,
        f"{count(study.aside, 'run')} of another precision, size or data set aside": study.aside,
        f"{count(study.identical, 'weighted run')} identical to the run without a weight": study.identical,
    }
    said = [text for text, number in aside.items() if number]
    cells = f"{count(runs, 'run')} in {study.runs.groupby(['protocol', 'beta']).ngroups} of 21 combinations of weight and protocol"
    return f"{cells}{f' ({listed(said)})' if said else ''}."
