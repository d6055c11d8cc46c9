"""What one choice changes: matched pairs of runs beside what training again changes, and beside the paper's claims.

Rows of one study share test images and initial weights, so they are no sample: their pairs are described, not tested.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import entropy

from cxrlib.analysis.pairs import Pairs, difference_table, match, matched_pairs, repeated, value
from cxrlib.analysis.sentences import count, listed, signed
from cxrlib.names import name
from cxrlib.paper.tables import TABLE_2
from cxrlib.paths import results_to_read
from cxrlib.records.record import Record, select

CONTRASTS = {
    "β = 0.75 against no β": ("beta", 0.75, None),
    "β = 4 against no β": ("beta", 4.0, None),
    "ImageNet against random weights": ("pretraining", "imagenet", "none"),
    "chest X-ray against random weights": ("pretraining", "chestxray", "none"),
    "combined against augmented cohort": ("cohort", "combined", "augmented"),
    "protocol paper against clean": ("protocol", "paper", "clean"),
    "protocol released against clean": ("protocol", "released", "clean"),
    "own classifier against released head": ("head", "native", "released"),
}
"""A field of a run's config at two values: what the first changes against the second."""
PLAIN = dict(cohort="combined", protocol="clean", beta=None, loss="wce", recipe="paper", preparation="minmax")
TRUNK_STRIDE = {"resnet50": 32, "squeezenet": 16, "vgg19": 32, "acnn": 1}  # pixels a side of a position of its map


def pairs_by_contrast(records: Sequence[Record]) -> dict[str, Pairs]:
    """The matched pairs of every contrast, by its name."""
    return {contrast: matched_pairs(records, *values) for contrast, values in CONTRASTS.items()}


def paired_differences(found: dict[str, Pairs], by: str = "contrast") -> pd.DataFrame:
    """One row a pair and metric of every contrast: the columns of `pairs.difference_table`, and the contrast's name in `by`."""
    parts = [difference_table(pairs.pairs).assign(**{by: contrast}) for contrast, pairs in found.items()]
    return pd.concat(parts, ignore_index=True)


def effects_table(found: dict[str, Pairs], differences: pd.DataFrame) -> pd.DataFrame:
    """Every contrast and metric: pairs, degenerate, mean difference, range, higher, lower, ...; one row where no pair is sound.

    `degenerate`: pairs left out because a network learned nothing; `identical`, `two_machines`: pairs of which that is so.
    """
    grouped = differences.groupby(["contrast", "metric"], sort=False)
    table = grouped["difference"].agg(pairs="size", mean="mean", lowest="min", highest="max", higher=lambda d: (d > 0).sum(), lower=lambda d: (d < 0).sum())  # fmt: skip
    table.insert(1, "degenerate", [found[contrast].degenerate for contrast, _ in table.index])
    table = table.join(grouped[["identical", "two_machines"]].sum().astype(int))
    table = table.reset_index().assign(metric=lambda t: t["metric"].map(name))
    for contrast, pairs in found.items():
        if pairs.degenerate and not len(pairs):
            table.loc[len(table), ["contrast", "degenerate", "metric", "pairs"]] = contrast, pairs.degenerate, "", 0
    return table.astype(dict.fromkeys(["pairs", "degenerate", "higher", "lower", "identical", "two_machines"], "Int64"))


def retraining_noise(records: Iterable[Record]) -> pd.DataFrame:
    """What training again changes, by network, protocol and metric: runs that differ in their seed alone.

    Columns: model, protocol, metric, pairs, `sd` of the figure over seeds (root mean square difference over the root of 2)
    and `band`, the 95th percentile of the absolute difference of two such runs.
    """
    grouped = difference_table(repeated(records)).groupby(["model", "protocol", "metric"], sort=False)["difference"]
    return grouped.agg(
        pairs="size",
        sd=lambda d: float(np.sqrt(np.nanmean(np.square(d)) / 2)),
        band=lambda d: float(np.nanpercentile(np.abs(d), 95)),
    ).reset_index()


def noise_sentence(noise: pd.DataFrame, protocol: str = "clean") -> str:
    """How far two runs lie apart that differ in their seed alone, network by network, in one sentence."""
    rows = noise[(noise["protocol"] == protocol) & (noise["metric"] == "bacc")]
    if rows.empty:
        return "No run has been trained twice, so the noise of training again is not known."
    parts = [
        f"{name(row.model)} by up to {row.band:.3f} of balanced accuracy in 95 % of {count(row.pairs, 'pair')}"
        for row in rows.itertuples()
    ]
    return f"Trained again with another seed and nothing else changed, under protocol {protocol}, two runs differ: {'; '.join(parts)}."


def overlap_sentence(found: dict[str, Pairs]) -> str:
    """What the overlap of training and test images is worth, in one sentence: `paper` against `clean`."""
    pairs = found["protocol paper against clean"]
    if not len(pairs):
        return "No run has been made under both protocols."
    bacc, within = pairs.differences("bacc"), pairs.differences("within_source")
    return (
        f"In {count(len(pairs), 'pair')} of runs under the protocols paper and clean that are otherwise equal, the overlap and what else "
        f"clean repairs is worth {signed(bacc.mean())} of balanced accuracy (from {signed(bacc.min())} to {signed(bacc.max())}) "
        f"and {signed(np.nanmean(within))} of the AUROC within one source."
    )


def pilot_table(records: Sequence[Record]) -> pd.DataFrame:
    """Runs without a weight on the combined cohort under `clean`, a row a network, start, head, size, batch and BatchNorm.

    Columns: those, `positions` the head sees, `runs`, `epochs`, the lowest validation loss beside the prior's entropy (what a
    network reaches that learns nothing), the AUROC (means over runs of one draw), and how many learned.
    """
    keys = ["network", "start", "head", "pixels", "positions", "batch", "BatchNorm"]
    averaged = ["epochs", "validation loss", "prior's entropy", "AUROC"]
    rows = []
    for r in select(records, **PLAIN, draw_seed=0):
        c, prior = r.config, r.provenance["counts"]["valid"]
        side = -(-c.image_size // TRUNK_STRIDE[c.model]) if c.model != "squeezenet" else c.image_size // 16 - 1
        setting = (name(c.model), name(c.pretraining), name(c.head), c.image_size, f"{side} x {side}", c.batch_size, c.batch_norm)  # fmt: skip
        figures = len(r.history), r.history["valid_loss"].min(), entropy([*prior.values()]), value(r, "auroc")
        rows.append((*setting, *figures, r.degenerate is None))
    grouped = pd.DataFrame(rows, columns=[*keys, *averaged, "learned"]).groupby(keys, sort=False)
    table = grouped[averaged].mean()
    table.insert(0, "runs", grouped.size())
    learned = grouped["learned"].sum().astype(str) + " of " + table["runs"].astype(str)
    return table.assign(learned=learned).reset_index()


def pretraining_table(profile: str) -> pd.DataFrame:
    """The chest X-ray pretrainings of a profile, healthy against diseased, a row a trunk that runs started from.

    Columns: network, start, pixels, images trained on, epochs run, epoch kept (from 0), AUROC on the validation images, trunk
    (first 12 hexadecimal digits of the SHA-256 of its file).
    """
    files = sorted(results_to_read("pretraining").glob(f"{profile}-open-*.json"))
    rows = [
        {
            "network": name(stored["config"]["model"]),
            "start": name(stored["config"]["pretraining"]),
            "pixels": stored["config"]["image_size"],
            "images": sum(stored["counts"]["train"].values()),
            "epochs": stored["provenance"]["epochs_run"],
            "epoch kept": stored["provenance"]["epoch_kept"],
            "AUROC": stored["valid"]["auroc"],
            "trunk": stored["trunk_sha256"][:12],
        }
        for stored in (json.loads(file.read_text()) for file in files)
    ]
    return pd.DataFrame(rows)


def pretraining_sentence(table: pd.DataFrame) -> str:
    """What the pretrainings learned, in one sentence."""
    rows = [f"{row.network} from {row.start} weights {row.AUROC:.3f}" for row in table.itertuples()]
    return f"On its own validation images the pretraining ranks healthy and diseased with an AUROC of {listed(rows)}."


def head_sentence(records: Sequence[Record]) -> str:
    """Whether the head matters, in a few sentences: pairs that differ in it alone, and where nothing is learned under it."""
    found = matched_pairs(records, "head", "native", "released")
    parts = []
    if len(found):
        d = found.differences("bacc")
        parts.append(
            f"In {count(len(found), 'pair')} of runs that differ in the head alone the network's own classifier is "
            f"{signed(d.mean())} of balanced accuracy away from the released head (from {signed(d.min())} to {signed(d.max())})."
        )
    runs = {
        (name(r.config.model), name(r.config.pretraining), r.config.image_size, r.degenerate is None): value(r, "auroc")
        for r in select(records, head="released", beta=None, protocol="clean")
    }
    dead = [(model, start, size) for model, start, size, learned in runs if not learned]
    if dead:
        which = listed([f"{model} from {start} weights at {size} px" for model, start, size in dead])
        parts.append(f"Under the released head nothing at all is learned by {which}.")
    for (model, start, size, learned), auroc in runs.items():
        if learned and (model, start) in {one[:2] for one in dead}:
            parts.append(f"At {size} px {model} from {start} weights learns under it: AUROC {auroc:.3f}.")
    return " ".join(parts) or "No pair of runs differs in the head alone."


ROW = ("cohort", "model", "pretraining", "beta")  # what identifies a row of Table II
AS_PRINTED = "as printed"  # the origin of the paper's own figures, beside the protocols of our records


class Claim(NamedTuple):
    """One claim of the paper: `treated` against `control` in `field`, and the sign it gives `metric`."""

    name: str
    statement: str  # in our words
    section: str  # of the paper
    field: str
    treated: Any
    control: Any
    metric: str
    sign: int  # +1: the claim says treated is higher; -1: lower; 0: about the same
    where: dict[str, Any]  # what holds of both


CLAIMS = (
    Claim("beta_combined", "On the combined cohort a weight of 0.75 improves every network.", "VI.D", "beta", 0.75, None, "bacc", 1, {"cohort": "combined"}),
    Claim("beta_augmented", "On COVIDX-Ray-5K alone a weight of 0.75 makes the result worse.", "VI.D", "beta", 0.75, None, "bacc", -1, {"cohort": "augmented"}),
    Claim("beta_specificity", "A weight below 1 removes false positives: specificity rises.", "V, VI.D", "beta", 0.75, None, "specificity", 1, {}),
    Claim("beta_sensitivity", "A weight below 1 costs missed cases: sensitivity falls.", "V, VI.D", "beta", 0.75, None, "sensitivity", -1, {}),
    Claim("cohort", "Adding COVID-ChestXray improves the result substantially.", "VI.D", "cohort", "combined", "augmented", "bacc", 1, {}),
    Claim("pretraining", "ImageNet weights are the best start for ResNet-50.", "VI.D", "pretraining", "imagenet", "none", "bacc", 1, {"model": "resnet50"}),
    Claim("acnn", "ACNN comes close to ResNet-50 with a third of its parameters.", "VI.D", "model", "acnn", "resnet50", "bacc", 0, {}),
)  # fmt: skip


def claim_differences(records: Sequence[Record]) -> pd.DataFrame:
    """Every paired difference behind every claim, the paper's and ours: claim, metric, origin, model, difference.

    `origin`: the protocol of our pair, or AS_PRINTED. Pairs in which a network learned nothing are left out.
    """
    rows = []
    for claim in CLAIMS:
        printed = [row for row in TABLE_2 if all(getattr(row, key) == held for key, held in claim.where.items())]
        for one, other in match(printed, ROW, claim.field, claim.treated, claim.control):
            change = getattr(one, claim.metric) - getattr(other, claim.metric)
            rows.append((claim.name, claim.metric, AS_PRINTED, one.model, change))
        ours = _pairs(records, claim)
        for (record, _), change in zip(ours.pairs, ours.differences(claim.metric), strict=True):
            rows.append((claim.name, claim.metric, record.config.protocol, record.config.model, change))
    return pd.DataFrame(rows, columns=["claim", "metric", "origin", "model", "difference"])


def claims_table(records: Sequence[Record], found: pd.DataFrame) -> pd.DataFrame:
    """Every claim beside what the paper's own table and our records say of it; `found`: from `claim_differences`."""
    rows = []
    for claim in CLAIMS:
        mine, lost = found[found["claim"] == claim.name], _pairs(records, claim).degenerate
        paper, ours = (mine.loc[(mine["origin"] == AS_PRINTED) == printed, "difference"] for printed in (True, False))
        left_out = f" {count(lost, 'pair')} left out: a network learned nothing." if lost else ""
        says = (verdict(paper.to_numpy(), claim.sign), verdict(ours.to_numpy(), claim.sign) + left_out)
        rows.append((claim.statement, claim.section, claim.metric, *says))
    return pd.DataFrame(rows, columns=["claim", "section", "metric", "paper's Table II", "our records"])


def verdict(difference: np.ndarray, sign: int) -> str:
    """What paired differences [N] say of a claim that gives them a sign (0: about the same), in one sentence."""
    n = len(difference)
    if not n:
        return "No matched pair has been run."
    mean = f"mean difference {signed(difference.mean(), 4)}, from {signed(difference.min(), 4)} to {signed(difference.max(), 4)}"
    if sign == 0:
        return f"{count(n, 'matched pair')}: {mean}."
    agree, ties = int((difference * sign > 0).sum()), int((difference == 0).sum())
    return f"{agree} of {count(n, 'matched pair')} agree{f', {ties} tied' if ties else ''}; {mean}."


def _pairs(records: Sequence[Record], claim: Claim) -> Pairs:
    return matched_pairs(select(records, **claim.where), claim.field, claim.treated, claim.control)


def claims_answer(found: pd.DataFrame) -> str:
    """The chapter's answer in two sentences: how often our pairs have the sign that the paper claims, and on which claims."""
    ours = found[found["origin"] != AS_PRINTED]
    parts, least = [], 0
    for claim in CLAIMS:
        d = ours.loc[ours["claim"] == claim.name, "difference"]
        if len(d) and claim.sign:
            agree = int((d * claim.sign > 0).sum())
            parts.append(f"{agree} of {len(d)} pairs for '{claim.statement.rstrip('.')}'")
            least += agree <= len(d) / 2
    if not parts:
        return "No claim could be compared: no matched pair has been run."
    return (
        f"Of the paper's claims with a sign that were compared, {count(least, 'claim')} of {len(parts)} hold in no more than half of "
        f"the matched pairs recorded here. The claimed sign is found in {listed(parts)}."
    )
