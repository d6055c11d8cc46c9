"""The study's answers on one page: a generated sentence for each question, with its numbers; the index shows them."""

from collections.abc import Sequence

import pandas as pd

from cxrlib.analysis import effects, pilot, table_2
from cxrlib.analysis.beta.powered import Powered, threshold_sentence
from cxrlib.analysis.sentences import count, estimate
from cxrlib.records.record import Record


def within_sentence(crossed: pd.DataFrame) -> str:
    """What is left within one source, in one sentence; `crossed`: from `analysis.sources.cross_fitted`."""
    rows = crossed[crossed["design"] == "cross-fitted"].set_index(["sources", "measure"])

    def figure(what: str) -> str:
        row = rows.loc[("all", what)]
        return estimate(row["value"], row["value_low"], row["value_high"])

    row = rows.loc[("all", "within_source")]
    return (
        f"Cross-fitted over {count(int(row['positives']), 'COVID-19 image')} and {count(int(row['negatives']), 'other')} of the sources "
        f"with both classes, each scored by networks that saw none of its patients, the AUROC is {figure('within_source')} within one "
        f"source, where it is {figure('overall')} over all pairs; the same scores tell the source of COVID-19 from the others among "
        f"negatives with {figure('source_among_negatives')}."
    )


def answers(records: Sequence[Record], table: pd.DataFrame, crossed: pd.DataFrame, weight: Powered) -> dict[str, str]:
    """The sentences of the index page, by the name they are glued under: printed, overlap, within, weight, head, noise."""
    return {
        "printed": table_2.headline(table),
        "overlap": effects.overlap_sentence(effects.pairs_by_contrast(records)),
        "within": within_sentence(crossed),
        "weight": threshold_sentence(weight),
        "head": pilot.head_sentence(records),
        "noise": effects.noise_sentence(effects.retraining_noise(records)),
    }
