"""The sentences of the chapter on leakage and shortcuts, from its results alone."""

import pandas as pd

from cxrlib.analysis.sentences import count, estimate, signed
from cxrlib.analysis.shortcuts.probes import PANELS
from cxrlib.analysis.sources import PRESENT, detectable, needed_table

COHORT = "COVIDX-Ray-5K + COVID-ChestXray"  # the cohort of the paper's best rows, as Table I names it


def source_sentence(records: pd.DataFrame, crossed: pd.DataFrame) -> str:
    """What is left of the ranking within one source, and how well the source itself is told; records: `sources.of_records`."""
    shown = _crossed(crossed, "all")
    within, projection, overall, among = (
        shown.loc[what] for what in ("within_source", "within_projection", "overall", "source_among_negatives")
    )
    verdict = "more by the source than by the disease" if within["value_high"] < among["value_low"] else "by both"
    clean = records[records["protocol"] == "clean"]  # the others train on the test images' patients
    recorded = "no run recorded under the clean protocol shows it yet"
    if len(clean):
        recorded = (
            f"in {count(clean['runs'].sum(), 'run')} recorded under the clean protocol the AUROC is {clean['overall'].mean():.3f} "
            f"overall and {clean['within_source'].mean():.3f} within the source"
        )
    return (
        f"The networks rank {verdict}: an image scored by networks that saw no image of its patient is ranked with an AUROC of "
        f"{_text(overall)} over all pairs, of {_text(within)} over pairs of one source and of {_text(projection)} where the "
        f"projection is the same too, while the same scores tell COVID-19's sources from the others among negatives with "
        f"{_text(among)}; {recorded}."
    )


def within_sentence(crossed: pd.DataFrame) -> str:
    """What is left within one source, in one sentence; `crossed`: from `analysis.sources.cross_fitted`."""
    shown = _crossed(crossed, "all")
    within, overall, among = (
        estimate(*shown.loc[what, ["value", "value_low", "value_high"]])
        for what in ("within_source", "overall", "source_among_negatives")
    )
    positives, negatives = shown.loc["within_source", ["positives", "negatives"]].astype(int)
    return (
        f"Cross-fitted over {count(positives, 'COVID-19 image')} and {count(negatives, 'other')} of the sources "
        f"with both classes, each scored by networks that saw none of its patients, the AUROC is {within} within one "
        f"source, where it is {overall} over all pairs; the same scores tell the source of COVID-19 from the others among "
        f"negatives with {among}."
    )


def projection_sentence(crossed: pd.DataFrame, alone: pd.DataFrame) -> str:
    """What the projection alone tells within the largest source, beside the networks; alone: `sources.projection_alone`."""
    main = alone.sort_values("positives").iloc[-1]
    own = _crossed(crossed, main["source"])
    return (
        f"In {main['source']} the projection alone ranks with an AUROC of {_text(main)}, the networks with "
        f"{_text(own.loc['within_source'])}, and where the projection is the same with {_text(own.loc['within_projection'])}."
    )


def leak_sentence(overlap: pd.DataFrame, probes: pd.DataFrame) -> str:
    """What crosses from training to test, and what is left of the task without the lungs' centre."""
    rows = overlap[overlap["cohort"] == COHORT].set_index("protocol")
    paper, clean = rows.loc["paper"], rows.loc["clean"]
    seen = probes[probes["panel"] == PANELS[0]].set_index("input")
    border, whole = seen.loc["border only"], seen.loc["whole image"]
    above = "more than chance" if border["bacc_low"] > 0.5 else "no more than chance can give"
    return (
        f"Under the paper's protocol {paper['covid_overlap']} of the {paper['test_covid']} COVID-19 test images share a patient or "
        f"a picture with the combined training set, under the clean one {clean['covid_overlap']}; and a linear probe that sees "
        f"the outer border alone reaches a balanced accuracy of "
        f"{estimate(border['bacc'], border['bacc_low'], border['bacc_high'])}, {above}, where the whole image gives {whole['bacc']:.3f}."
    )


def pairs_sentence(pairs: pd.DataFrame) -> str:
    """What the recorded pairs show of the overlap's effect; pairs: `overlap.against_clean`."""
    judged = pairs[pairs["protocol"] == "paper"]
    if judged.empty:
        return "No pair of recorded runs shows yet what the overlap does to the sensitivity."
    by_value = [judged[f"{value}_difference"] for value in ("sensitivity", "auroc")]
    first, second = (f"{signed(x.mean())} on average ({signed(x.min())} to {signed(x.max())})" for x in by_value)
    return (
        f"In {count(len(judged), 'pair')} of recorded runs the sensitivity differs by {first} and the AUROC by {second}, the paper's "
        f"protocol against the clean one; pairs left out because a network learned nothing: {pairs.attrs['degenerate']}."
    )


def origin_sentence(probes: pd.DataFrame) -> str:
    """Whether the origin of a negative can be read from the image."""
    rows = probes[probes["panel"] == PANELS[2]].set_index("input")
    if rows.empty:
        return "The negatives come from one origin, so there is none to tell."
    whole = rows.loc["whole image"]
    return (
        f"Which of {1 / whole['chance']:.0f} origins a negative comes from "
        f"{'can' if whole['bacc_low'] > whole['chance'] else 'cannot'} be told: the mean recall is "
        f"{estimate(whole['bacc'], whole['bacc_low'], whole['bacc_high'])} against a chance of {whole['chance']:.3f}."
    )


def power_sentence(positives: int, negatives: int) -> str:
    """What the images at hand can show and what would be needed; of the cross-fitted images, patients with and without COVID-19."""
    need = "; ".join(f"{row.positives} + {row.negatives} for {row.auroc:g}" for row in needed_table().itertuples())
    return (
        f"With 80 % power, the {PRESENT[0]} + {PRESENT[1]} images of one source in a test set can show an AUROC of "
        f"{detectable(*PRESENT):.2f} or more, the {positives} + {negatives} patients of the cross-fitting one of "
        f"{detectable(positives, negatives):.2f}; needed are, of independent patients with and without COVID-19 from one source, {need}."
    )


def _crossed(crossed: pd.DataFrame, source: str) -> pd.DataFrame:
    rows = (crossed["design"] == "cross-fitted") & (crossed["sources"] == source)
    return crossed[rows].set_index("measure")


def _text(row: pd.Series) -> str:
    return estimate(row["value"], row["value_low"], row["value_high"], digits=2)
