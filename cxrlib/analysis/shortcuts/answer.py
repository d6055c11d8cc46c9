"""The chapter's answer in two sentences, from its results alone."""

import pandas as pd

COHORT = "COVIDX-Ray-5K + COVID-ChestXray"  # the cohort of the paper's best rows, as Table I names it


def overlap_sentence(overlap: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """What crosses from training to test, and what the recorded pairs of runs show of its effect.

    overlap: `overlap.training_overlap`; pairs: `overlap.against_clean`, or none.
    """
    rows = overlap[overlap["cohort"] == COHORT].set_index("protocol")
    paper, clean = rows.loc["paper"], rows.loc["clean"]
    first = (
        f"Under the paper's protocol {paper['covid_overlap']} of the {paper['test_covid']} COVID-19 test images share a patient or "
        f"a picture with the combined training set, under the clean one {clean['covid_overlap']}"
    )
    judged = pairs[pairs["protocol"] == "paper"] if len(pairs) else pairs
    if judged.empty:
        return f"{first}; no pair of recorded runs shows yet what that does to the sensitivity."
    difference = judged["difference"]
    word = "pair" if len(judged) == 1 else "pairs"
    idle = int(((judged["found"] == 0) & (judged["found_clean"] == 0)).sum())
    none = f"; in {idle} of them neither run finds a single one" if idle else ""
    return (
        f"{first}; in {len(judged)} {word} of recorded runs the sensitivity differs by {difference.mean():+.3f} on average "
        f"(from {difference.min():+.3f} to {difference.max():+.3f}), the paper's protocol against the clean one{none}."
    )


def shortcut_sentence(label: pd.DataFrame, origin: pd.DataFrame) -> str:
    """What is left of the task without the lungs' centre, and whether the origin of a negative can be told.

    label: `probes.label_probe` with rows "whole image" and "border only"; origin: `probes.origin_probe`, maybe empty.
    """
    rows = label.set_index("input")
    whole, border = rows.loc["whole image"], rows.loc["border only"]
    above = "more than chance" if border["bacc_low"] > 0.5 else "no more than chance can give"
    text = (
        f"A linear probe that sees the outer border alone reaches a balanced accuracy of {border['bacc']:.3f} "
        f"[{border['bacc_low']:.3f}, {border['bacc_high']:.3f}] for COVID-19, {above}, where the whole image gives {whole['bacc']:.3f}"
    )
    if origin.empty:
        return f"{text}; the negatives come from one origin, so there is none to tell."
    told = origin.set_index("input").loc["whole image"]
    verdict = "can be told" if told["low"] > told["chance"] else "cannot be told"
    return (
        f"{text}; which of {told['origins']:.0f} origins a negative comes from {verdict} ({told['bacc']:.3f} "
        f"[{told['low']:.3f}, {told['high']:.3f}] against a chance of {told['chance']:.3f})."
    )


def answer(overlap: pd.DataFrame, pairs: pd.DataFrame, label: pd.DataFrame, origin: pd.DataFrame) -> tuple[str, str]:
    """The two sentences."""
    return overlap_sentence(overlap, pairs), shortcut_sentence(label, origin)
