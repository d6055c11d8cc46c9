"""Does it detect COVID-19 or the data source? The study's records, the cross-fitted networks, and what could be shown at all.

Pairs of images from one source cannot be ranked by reading the source; negatives of different sources cannot be told apart
by reading the disease (`evaluation.sources`). Even within a source the projection (PA or AP) can stand for the label, so it
is held fixed as well.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from cxrlib.analysis.cross_fitting import CROSS_FITTED
from cxrlib.analysis.pairs import alike, value
from cxrlib.analysis.sentences import count, estimate
from cxrlib.evaluation.sources import source_among_negatives, within_source
from cxrlib.records.record import Record

MEASURES = {
    "overall": "all pairs",
    "within_source": "pairs of one source",
    "within_projection": "pairs of one source and projection",
    "source_among_negatives": "COVID-19's source, among negatives",
}
RUNS = ("cohort", "model", "head", "pretraining", "loss", "protocol", "beta")
FIGURES = (
    "runs", "degenerate", "overall", "within_source", "within_source_low", "within_source_high", "source_among_negatives",
)  # fmt: skip
ALPHA, POWER = 0.05, 0.8
USEFUL = (0.6, 0.7, 0.8)
PRESENT = (40, 23)  # COVID-19 and other images of the one source with both classes in a test set of the study


def measure(rows: pd.DataFrame, logits: npt.ArrayLike, what: str, draws: int = 1000) -> dict[str, Any]:
    """One of `MEASURES` as `evaluation.sources.KEYS`.

    rows: [N], with label (0, 1), source, component, and projection where it is asked for; logits: [N, S], a column a
    training seed.
    """
    if what == "source_among_negatives":
        return source_among_negatives(rows, logits, draws)
    if what == "overall":
        return within_source(rows.assign(source="all"), logits, draws)
    if what == "within_projection":
        known = rows["projection"].notna().to_numpy()
        rows, logits = rows[known], np.asarray(logits)[known]
        rows = rows.assign(source=rows["source"] + " " + rows["projection"])
    return within_source(rows, logits, draws)


def projections(images: pd.DataFrame) -> pd.Series:
    """'AP' or 'PA' of each image by its `image_id`, missing where the publisher states neither."""
    view = images.set_index("image_id")["view"]
    return view.where(view == "PA", view.where(view.str.startswith("AP", na=False)).str[:2])


def cross_fitted(table: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The figures of `cross_fitting.cross_fitting`, a row a design, group of sources and measure.

    images: the edition's, for the projections. Columns: design, sources, measure, value with its interval over components and
    seeds, least and most of a single seed, positives, negatives, seeds. The cross-fitted images are shown together and for
    each source with both classes; the external ones for each source with COVID-19, against its own negatives or, where it
    has none, those of the sources without COVID-19.
    """
    rows, view = [], projections(images)
    for design, part in table.groupby("design", sort=True):
        wide = part.pivot_table(index="image_id", columns="seed", values="logit").dropna()
        first = part.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
        first["projection"] = view.reindex(first.index)
        covid = sorted(set(first.loc[first["label"] == 1, "source"]))
        groups = [("all", first["source"].notna(), tuple(MEASURES))] if design == CROSS_FITTED else []
        for source in covid:
            its = first["source"] == source
            if set(first.loc[its, "label"]) == {0, 1}:
                groups.append((source, its, ("within_source", "within_projection")))
            elif design != CROSS_FITTED:
                groups.append((source, its | ~first["source"].isin(covid), ("overall",)))
        for title, chosen, measures in groups:
            shown, logits = first[chosen], wide.to_numpy()[chosen]
            for what in measures:
                found = measure(shown, logits, what)
                if found["value"] is not None:
                    each = [measure(shown, column, what, draws=1)["value"] for column in logits.T]
                    found |= {"least": min(each), "most": max(each), "seeds": len(each)}
                rows.append({**found, "design": design, "measure": what, "sources": title})
    order = ["design", "sources", "measure", "value", "low", "high", "least", "most", "positives", "negatives", "seeds"]
    return pd.DataFrame(rows)[order].rename(columns={"low": "value_low", "high": "value_high"})


def projection_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """AUROC of "it is an AP image" for COVID-19 within each source with both classes: what the projection alone is worth.

    rows: `shortcuts.sample.eligible`. Columns: source, positives, negatives, value with its interval by component.
    """
    view = projections(rows).reindex(rows["image_id"]).to_numpy()
    known = rows.assign(label=rows["label"] == "covid", logit=view == "AP")[pd.notna(view)]
    found = [{"source": source, **within_source(part)} for source, part in known.groupby("source")]
    table = pd.DataFrame(row for row in found if row["value"] is not None)
    return table.drop(columns="sources").rename(columns={"low": "value_low", "high": "value_high"})


def of_records(records: Sequence[Record]) -> pd.DataFrame:
    """The figures of recorded runs, a row a setting: `RUNS`, runs, degenerate, overall, within_source with its interval over
    components and seeds, source_among_negatives.

    Runs of one setting differ in `draw_seed` and `seed` alone; only runs on the same draw of the test images share pairs.
    Networks that learned nothing are counted and left out; a setting of such alone has no row.
    """
    rows = []
    for group in alike(records, ("seed", "draw_seed")):
        sound = [record for record in group if not record.degenerate]
        if sound:
            shown, within = {field: getattr(sound[0].config, field) for field in RUNS}, _over_draws(sound)
            overall, among = (np.mean([value(r, what) for r in sound]) for what in ("auroc", "source_among_negatives"))
            figures = (len(sound), len(group) - len(sound), overall, *within, among)
            rows.append({**shown, **dict(zip(FIGURES, figures, strict=True))})
    table = pd.DataFrame(rows, columns=[*RUNS, *FIGURES])
    return table.sort_values([*RUNS], key=lambda column: column.astype(str), ignore_index=True)


def _over_draws(records: Sequence[Record]) -> tuple[float, float, float]:
    """AUROC within source and its interval of runs of one setting; a source counts as another in each draw of the images."""
    draws: dict[int, list[pd.DataFrame]] = {}
    for record in records:
        draws.setdefault(record.config.draw_seed, []).append(record.test().sort_values("image_id"))
    seeds = min(len(tests) for tests in draws.values())
    rows = [tests[0].assign(source=tests[0]["source"] + f" {draw}") for draw, tests in draws.items()]
    logits = [np.column_stack([test["logit"] for test in tests[:seeds]]) for tests in draws.values()]
    found = within_source(pd.concat(rows), np.concatenate(logits), draws=400)
    return found["value"], found["low"], found["high"]


def standard_error(auroc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUROC for independent images (Hanley and McNeil, 1982, negative-exponential model)."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (positives - 1) * (q1 - auroc**2) + (negatives - 1) * (q2 - auroc**2)
    return float(np.sqrt(spread / (positives * negatives)))


def power(auroc: float, positives: float, negatives: float, sources: int = 1) -> float:
    """Chance that a two-sided test at `ALPHA` tells a true AUROC above 1/2 from 1/2, with as many images in each of `sources`."""
    null, true = (standard_error(a, positives, negatives) / np.sqrt(sources) for a in (0.5, auroc))
    return float(norm.cdf((auroc - 0.5 - norm.isf(ALPHA / 2) * null) / true))


def detectable(positives: float, negatives: float) -> float:
    """The AUROC above 1/2 that is shown with a power of `POWER`."""
    return float(brentq(lambda auroc: power(auroc, positives, negatives) - POWER, 0.5 + 1e-6, 1 - 1e-6))


def needed_table() -> pd.DataFrame:
    """What shows each of `USEFUL`: auroc, positives and negatives of one source (balanced), and sources like the present one."""
    rows = []
    for auroc in USEFUL:
        images = ceil(brentq(lambda n, auroc=auroc: power(auroc, n, n) - POWER, 2, 1e6))
        sources = next(k for k in range(1, 1000) if power(auroc, *PRESENT, k) >= POWER)
        rows.append({"auroc": auroc, "positives": images, "negatives": images, "sources of 40 + 23": sources})
    return pd.DataFrame(rows)


def source_sentence(records: pd.DataFrame, crossed: pd.DataFrame) -> str:
    """What is left of the ranking within one source, and how well the source itself is told; records: `of_records`, crossed: `cross_fitted`."""
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
    """What is left within one source, in one sentence; crossed: `cross_fitted`."""
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
    """What the projection alone tells within the largest source, beside the networks; alone: `projection_alone`."""
    main = alone.sort_values("positives").iloc[-1]
    own = _crossed(crossed, main["source"])
    return (
        f"In {main['source']} the projection alone ranks with an AUROC of {_text(main)}, the networks with "
        f"{_text(own.loc['within_source'])}, and where the projection is the same with {_text(own.loc['within_projection'])}."
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
