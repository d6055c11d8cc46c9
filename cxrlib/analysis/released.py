"""The released code against the text: its loss without beta, and each difference between the two on runs that share all else."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t

from cxrlib.analysis.beta.tables import loss_curves
from cxrlib.analysis.effects import retraining_noise
from cxrlib.analysis.experiments import standard
from cxrlib.analysis.pairs import SHOWN, Pairs, difference_table, matched_pairs
from cxrlib.analysis.sentences import count, interval, signed
from cxrlib.evaluation.comparison import sign_flip
from cxrlib.losses.weighted import cross_entropy, linear_probability_loss, weighted_cross_entropy
from cxrlib.names import beta_text, name
from cxrlib.records.record import Record, select

LINEAR = "linear, as released"
FACTORS = {
    "loss without beta: linear instead of cross-entropy": ("combined", "paper", "paper+loss_without_beta=linear"),
    "checkpoint: last epoch instead of best": ("combined", "paper", "paper+checkpoint=last"),
    "validation split: before instead of after augmentation": ("augmented", "paper", "paper+split_order=before"),
    "input: ImageNet scaling instead of none": ("combined", "paper", "paper+normalisation=weights"),
    "everything the released code does": ("combined", "paper", "released"),
}
"""Each difference between text and code: the cohort that shows it, and the two protocols; compared without beta."""

KERAS = pd.DataFrame(
    [
        ("BatchNorm", "momentum 0.99, epsilon 1e-3", "momentum 0.1 of each new batch, epsilon 1e-5; Keras's with -p batch_norm keras"),
        ("initial weights of a random ResNet-50", "Glorot uniform, biases 0", "He normal (fan out), as torchvision; its convolutions have no bias"),
        ("biases in ResNet-50's convolutions", "yes (keras.applications)", "no (torchvision)"),
        ("stride of a bottleneck block", "in its first 1x1 convolution", "in its 3x3 convolution (ResNet v1.5)"),
        ("head: initial weights", "Glorot uniform, biases 0", "the same"),
        ("ACNN kernels", "truncated normal, sd 0.5, no bias", "the same"),
        ("Adam", "epsilon 1e-7, beta_2 0.999", "the same"),
        ("loss: scale", "summed over the batch, averaged over two columns", "mean over the batch (Adam ignores the scale but for epsilon)"),
        ("loss: clipping", "softmax clipped to [1e-7, 1 - 1e-7], no gradient beyond", "computed from logits, no clipping"),
        ("images", "float64, 256 x 256, three equal channels", "uint8, one channel, expanded on the device"),
        ("arithmetic", "float32", "trunk in the config's precision, head and loss in float32"),
    ],
    columns=["what", "released code (Keras)", "here (PyTorch)"],
)  # fmt: skip
"""Every known difference that is not a field of the protocol."""


def loss_table() -> pd.DataFrame:
    """`loss_curves` of a COVID image under three losses."""
    losses = {
        "cross-entropy, Eq. (3)": partial(cross_entropy, reduction="none"),
        "weighted, Eq. (4), β = 0.75": partial(weighted_cross_entropy, beta=0.75, reduction="none"),
        LINEAR: partial(linear_probability_loss, reduction="none"),
    }
    return loss_curves(losses, np.linspace(-8, 8, 321))


def learning_time(start: npt.ArrayLike, loss: str) -> npt.NDArray[np.float64]:
    """Time that gradient flow on one log-odds takes from -start (confidently wrong) to 0 (undecided).

    With dz/dt = -dL/dz the time is the integral of 1 / |dL/dz|: of a slope sigmoid(-z) for cross-entropy, about linear in
    the start s >= 0, and of sigmoid(z) sigmoid(-z) for the linear loss, exponential in s.
    """
    s = np.asarray(start, np.float64)
    return s + 1 - np.exp(-s) if loss == "cross_entropy" else 2 * s + np.exp(s) - np.exp(-s)


def learning_table() -> pd.DataFrame:
    """`learning_time` of both losses over the initial confidence in the wrong class: start, probability, loss, time."""
    start = np.linspace(0, 8, 81)
    names = {"cross_entropy": "cross-entropy, Eq. (3)", "linear": LINEAR}
    table = pd.DataFrame({"start": start, "p_wrong": 1 / (1 + np.exp(-start))})
    parts = [table.assign(loss=name, time=learning_time(start, key)) for key, name in names.items()]
    return pd.concat(parts, ignore_index=True)


def pairs_by_factor(records: Sequence[Record]) -> dict[str, Pairs]:
    """The matched pairs of every factor, by its name; their differences: `effects.paired_differences`.

    Runs without beta; the pairs share the initial weights, and the images as far as the protocols draw the same.
    """
    return {
        factor: matched_pairs(select(records, beta=None, loss="wce", cohort=cohort), "protocol", treated, control)
        for factor, (cohort, control, treated) in FACTORS.items()
    }


def factor_table(found: dict[str, Pairs], differences: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    """Mean difference of each factor, network and metric, with its spread, a test over seeds, and the noise of training.

    `degenerate`: the factor's pairs left out because a network learned nothing. p: sign-flip test over the pairs (NaN below
    five); `sd` between pairs; `identical`, `two_machines`: pairs of which that is so; `noise`: the 95th percentile of the
    absolute difference of two runs under `paper` that differ in their seed alone.
    """
    grouped = differences.groupby(["factor", "model", "metric"], sort=False)
    test = {"p": lambda d: sign_flip(d) if len(d) >= 5 else np.nan}
    table = grouped["difference"].agg(pairs="size", mean="mean", sd="std", **test)
    table = table.join(grouped[["identical", "two_machines"]].sum().astype(int)).reset_index()
    table.insert(1, "degenerate", [found[factor].degenerate for factor in table["factor"]])
    noise = retraining_noise(select(records, protocol="paper", beta=None)).rename(columns={"band": "noise"})
    table = table.merge(noise[["model", "metric", "noise"]], on=["model", "metric"], how="left")
    return table.assign(**{column: table[column].map(name) for column in ("model", "metric")})


def loss_effect(records: Sequence[Record]) -> pd.DataFrame:
    """What the exchanged loss is worth: (released - paper) without beta, minus the same at 0.75; a row a run and metric.

    With beta both protocols minimise Eq. (4); without, `paper` minimises Eq. (3) and `released` the linear loss. The other
    differences between the two are the same in both, so the difference of differences is the exchanged loss.
    """
    without, weighted = (
        difference_table(matched_pairs(select(records, beta=b), "protocol", "released", "paper").pairs)
        for b in (None, 0.75)
    )
    both = without.merge(weighted, on=[*SHOWN, "metric"], suffixes=("_without", "_with"))
    both = both.rename(columns={"difference_without": "without", "difference_with": "with"})
    return both.assign(effect=both["without"] - both["with"])[[*SHOWN, "metric", "without", "with", "effect"]]


def learned_table(records: Sequence[Record]) -> pd.DataFrame:
    """How many of the profile's own runs learned anything, by network, cohort, protocol and weight: `runs`, `learned`.

    Runs that learned nothing enter no pair, so where a loss keeps a network from learning, this table and not a mean
    difference holds its effect.
    """
    rows = [
        (name(r.config.model), name(r.config.pretraining), name(r.config.cohort), r.config.protocol, beta_text(r.config.beta), r.degenerate is None)
        for r in select(records, loss="wce", recipe="paper")
        if r.config.beta in (None, 0.75) and standard(r.config)
    ]  # fmt: skip
    keys = ["model", "start", "cohort", "protocol", "beta"]
    learned = pd.DataFrame(rows, columns=[*keys, "learned"]).groupby(keys)["learned"]
    return learned.agg(runs="size", learned="sum").reset_index()


def answer(differences: pd.DataFrame, effect: pd.DataFrame, learned: pd.DataFrame) -> str:
    """The chapter's answer in three sentences: what the loss does by derivation, and what the records measured."""
    ratio = learning_time(5.0, "linear") / learning_time(5.0, "cross_entropy")
    first = (
        "Where Table II prints no β, the released code minimises a loss that is linear in the probability: an image "
        f"misclassified with log-odds of 5 then takes {ratio:.0f} times as long to unlearn as under cross-entropy."
    )
    return f"{first} {learned_sentence(learned)} {loss_sentence(differences, effect)}"


def learned_sentence(learned: pd.DataFrame) -> str:
    """In how many runs learned nothing under the linear loss, and under Eqs. (3) and (4) of the same networks and starts."""
    linear = (learned["protocol"] == "released") | learned["protocol"].str.contains("linear")
    linear &= learned["beta"] == "none"
    of_the_same = learned[~linear].merge(learned.loc[linear, ["model", "start"]].drop_duplicates())
    (runs, sound), (others, of_others) = (part[["runs", "learned"]].sum() for part in (learned[linear], of_the_same))
    if not runs or not others:
        return "No run was made with it."
    return (
        f"Of {count(runs, 'run')} with that loss {runs - sound} learned nothing, of {count(others, 'run')} of the same networks with "
        f"(weighted) cross-entropy {others - of_others}."
    )


def loss_sentence(differences: pd.DataFrame, effect: pd.DataFrame) -> str:
    """What exchanging the loss did to balanced accuracy where both runs of a pair learned, with an interval over runs."""
    alone = differences[(differences["factor"] == next(iter(FACTORS))) & (differences["metric"] == "bacc")]
    measured = {
        "exchanging the loss alone changes balanced accuracy by": alone["difference"].to_numpy(),
        "as a difference of differences between the protocols it is worth": effect.loc[effect["metric"] == "bacc", "effect"].to_numpy(),
    }  # fmt: skip
    parts = [
        f"in {count(len(d), 'pair')} {what} {signed(d.mean())} {over_pairs(d)}"
        for what, d in measured.items()
        if len(d)
    ]
    if not parts:
        return "No pair in which both runs learned measures its effect on balanced accuracy."
    return f"Where both learned, {' and '.join(parts)}."


def over_pairs(d: npt.NDArray[np.float64]) -> str:
    """The mean's 95 % interval over runs (Student's t), as text; the range where there are fewer than three."""
    if len(d) < 3:
        return f"(from {signed(d.min())} to {signed(d.max())})"
    half = float(t.ppf(0.975, len(d) - 1)) * d.std(ddof=1) / np.sqrt(len(d))
    return interval(d.mean() - half, d.mean() + half)
