"""The chapter's question answered in two sentences, from the theory check and whatever is recorded."""

import pandas as pd

from cxrlib.analysis.beta.threshold import FIT_TOLERANCE, TOLERANCE

MOVED = "threshold moved"


def answer(check: pd.DataFrame, pairs: pd.DataFrame, live: pd.DataFrame | None = None) -> str:
    """The two sentences of `answer_sentences` as one text."""
    return " ".join(answer_sentences(check, pairs, live))


def answer_sentences(check: pd.DataFrame, pairs: pd.DataFrame, live: pd.DataFrame | None = None) -> tuple[str, str]:
    """Two sentences: what the weight is in theory, and what it was in the records (else in the live experiment).

    check: `threshold.check_known_eta`; pairs: `study.pairs` of the records; live: `study.equivalence` of the live
    experiment, quoted only where no pair is recorded.
    """
    return _theory(check), _records(pairs, live)


def _theory(check: pd.DataFrame) -> str:
    pointwise, fitted = float(check["pointwise"].max()), float(check["fitted"].max())
    if pointwise <= TOLERANCE and fitted <= FIT_TOLERANCE:
        return (
            f"Where the true probability is known, minimising the weighted loss shifts the log-odds by log β to within "
            f"{max(fitted, TOLERANCE):.0e}, so a weight β at one half decides as plain cross-entropy does at the "
            f"threshold 1 / (1 + β)."
        )
    return (
        f"Where the true probability is known, minimising the weighted loss missed a shift of the log-odds by log β "
        f"by up to {max(pointwise, fitted):.1e}, so the equivalence with the threshold 1 / (1 + β) is not confirmed."
    )


def _records(pairs: pd.DataFrame, live: pd.DataFrame | None) -> str:
    found = pairs[pairs["against"] == MOVED]
    if found.empty:
        return _live(live)
    n, seeds = len(found), found["seed"].nunique()
    told = int((found[["holm_sensitivity", "holm_specificity"]].min(axis=1) <= 0.05).sum())
    difference, differently = found["bacc"], found["decided_differently"].mean()
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    verdict = (
        "and no pair can be told apart after Holm's correction"
        if told == 0
        else f"and {told} of the pairs can be told apart after Holm's correction, so training did more than move a threshold"
    )
    return (
        f"In {_count(n, 'recorded pair')} of networks that differ in β alone ({_count(seeds, 'seed')}), training with β "
        f"rather than moving the threshold changed the call on {differently:.1%} of the test images and balanced accuracy "
        f"by {difference.mean():+.3f} on average (from {difference.min():+.3f} to {difference.max():+.3f}; better in "
        f"{better}, worse in {worse}), {verdict}."
    )


def _live(live: pd.DataFrame | None) -> str:
    none = "No pair of networks that differ in β alone is recorded yet"
    if live is None or live.empty:
        return f"{none}, so nothing is said here about trained networks."
    difference = live["bacc"]
    return (
        f"{none}; in the small live experiment the two called {live['decided_differently'].mean():.1%} of the unseen "
        f"images differently, with {live['share_of_shift'].mean():.0%} of the shift realised and a difference in balanced "
        f"accuracy of {difference.mean():+.3f} on average (from {difference.min():+.3f} to {difference.max():+.3f})."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
