"""Who is in the training set, and who in the test set? Table I rebuilt, what was left out, what crosses the split.

Everything here but `grey_levels` needs the table of an edition alone, so it is the same on a machine without images.
"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from cxrlib.analysis.sentences import percent
from cxrlib.data import manifests
from cxrlib.data.cohorts import COHORTS, FRONTAL_VIEWS, LATERAL_VIEWS, CohortSplit, build_cohort, disputed
from cxrlib.data.editions import COLLECTIONS, Edition
from cxrlib.data.readers.base import CATALOGUE, LABELS, locate, views
from cxrlib.data.readers.original import released_filter
from cxrlib.images.hashing import BITS, distance_blocks, pack, perceptual_hashes
from cxrlib.images.store import open_store
from cxrlib.paper import tables as paper
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.analyses import recorded_analysis

PER_SOURCE = 150  # images of each class and source that grey levels are measured on
NUMBERS = ("train_covid", "train_non_covid", "shared_patients", "near_repeats", "covid_overlap")


def answer(edition: Edition, draw_seed: int) -> str:
    """The chapter's answer in two sentences, from the table of an edition."""
    overlap = {name: shared(build_cohort(edition, "combined", rules, draw_seed)) for name, rules in PROTOCOLS.items()}
    test = build_cohort(edition, "combined", PROTOCOLS["released"], draw_seed).test
    return (
        "When the combined training set is put together as the released code does it, "
        f"{overlap['released']['covid_overlap']} of the {(test['label'] == 'covid').sum()} COVID-19 test images have "
        f"their picture or their patient in it; the clean protocol leaves {overlap['clean']['covid_overlap']}. "
        "An image's source alone, without a look at a single pixel, gives the label away with a "
        f"balanced accuracy of {percent(label_from_source(edition))}."
    )


def collections() -> pd.DataFrame:
    """The published collections: publisher, licence, the edition that uses each, whether it is here."""
    edition_of = {name: edition for edition, names in COLLECTIONS.items() for name in names}
    here = {name: {"edition": edition_of[name], "at hand": "yes" if locate(name) else "no"} for name in edition_of}
    columns = ["title", "edition", "publisher", "images", "licence", "access", "at hand", "url"]
    table = pd.DataFrame([{**vars(entry), **here[name]} for name, entry in CATALOGUE.items()], columns=columns)
    return table.astype({"images": "Int64"})


def counts(split: CohortSplit, cohort: str) -> dict[str, int]:
    """Images per class as Table I counts them: COVID-19 training images with all their augmented copies."""
    parts = {"train": split.train, "test": split.test}
    found = {f"{part}_{label}": int((rows["label"] == label).sum()) for part, rows in parts.items() for label in LABELS}
    return found | {"train_covid": found["train_covid"] * COHORTS[cohort].copies}


def shared(split: CohortSplit) -> dict[str, int]:
    """What training and test set have in common: patients, components, test images whose file recurs (`exact_repeats`)
    or whose picture (`near_repeats`), COVID-19 test images whose component recurs (`covid_overlap`).
    """
    train, test = split.train, split.test
    same_file = test["image_id"].isin(train["image_id"]) | test["sha256"].isin(train["sha256"].dropna())
    return {
        "shared_patients": test.loc[test["patient_id"].isin(train["patient_id"].dropna()), "patient_id"].nunique(),
        "shared_components": test.loc[test["overlap"], "component"].nunique(),
        "exact_repeats": int(same_file.sum()),
        "near_repeats": int(test["repeat"].isin(train["repeat"]).sum()),
        "covid_overlap": int((test["overlap"] & (test["label"] == "covid")).sum()),
    }


def table_1_beside_ours(edition: Edition, draw_seed: int) -> pd.DataFrame:
    """Table I with our counts beside the paper's, one row a cohort and protocol, and what crosses the split.

    Columns: cohort, title, protocol, <part>_<class> and paper_<part>_<class> (null where the paper prints a dash), and
    those of `shared`.
    """
    rows = []
    for printed, (protocol, rules) in product(paper.TABLE_1, PROTOCOLS.items()):
        split = build_cohort(edition, name := printed.cohort, rules, draw_seed)
        row = {"cohort": name, "title": COHORTS[name].title, "protocol": protocol, **(ours := counts(split, name))}
        rows.append(row | {f"paper_{key}": getattr(printed, key) for key in ours} | shared(split))
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(table.columns.difference(["cohort", "title", "protocol"]), "Int64"))


def overlap_by_seed(edition: Edition, seeds: Sequence[int]) -> pd.DataFrame:
    """For each draw and protocol, what `shared` finds between the combined training set and the test set drawn."""
    rows = []
    for seed, (name, rules) in product(seeds, PROTOCOLS.items()):
        split = build_cohort(edition, "combined", rules, seed)
        rows.append({"seed": seed, "protocol": name, **counts(split, "combined"), **shared(split)})
    return pd.DataFrame(rows)


def overlap_spread(by_seed: pd.DataFrame) -> pd.DataFrame:
    """Least and most, over the draws of `overlap_by_seed`, of each count, a row a protocol."""
    spread = by_seed.groupby("protocol", sort=False)[list(NUMBERS)].agg(["min", "max"])
    spread.columns = [f"{name} {end}" for name, end in spread.columns]
    return spread.reset_index()


def covid_test_images(edition: Edition, draw_seed: int) -> pd.DataFrame:
    """COVID-19 test images by what links them to the training set: cohort, protocol, link, images.

    `link`: 'same picture', else 'same patient', else 'other link' (through a third image), else 'none'.
    """
    rows = []
    for cohort, (name, rules) in product(("covidx_ray_5k", "covid_chestxray", "combined"), PROTOCOLS.items()):
        split = build_cohort(edition, cohort, rules, draw_seed)
        test = split.test[split.test["label"] == "covid"]
        link = pd.Series("none", test.index).mask(test["overlap"], "other link")
        link = link.mask(test["patient_id"].isin(split.train["patient_id"].dropna()), "same patient")
        link = link.mask(test["repeat"].isin(split.train["repeat"]), "same picture")
        rows += [(cohort, name, kind, n) for kind, n in link.value_counts().items()]
    return pd.DataFrame(rows, columns=["cohort", "protocol", "link", "images"])


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """A table with a row a protocol, rows that differ in nothing else joined: 'all' stands for every protocol."""
    keys = [name for name in table if name != "protocol"]
    joined = table.groupby(keys, sort=False, dropna=False)["protocol"].agg(list).reset_index()
    named = joined["protocol"].map(lambda names: "all" if len(names) == len(PROTOCOLS) else ", ".join(names))
    return joined.assign(protocol=named)[list(table)]


def composition(split: CohortSplit) -> pd.DataFrame:
    """Images of a split by part, label, source, population and health, with the share of their part and label."""
    rows = pd.concat([split.train.assign(part="train"), split.test.assign(part="test")])
    keys = ["part", "label", "source", "population", "healthy"]
    table = rows.groupby(keys, dropna=False, sort=True).size().rename("images").reset_index()
    return table.assign(share=table["images"] / table.groupby(["part", "label"])["images"].transform("sum"))


def exclusions(edition: Edition) -> pd.DataFrame:
    """What the readers and the accepted licences left out: collection, reason, images."""
    table = edition.excluded.value_counts(["collection", "reason"], sort=False).rename("images").reset_index()
    return table.sort_values("images", ascending=False, ignore_index=True)


def sources(edition: Edition) -> pd.DataFrame:
    """Images of each source by label, and what the source states: patients, population, view, CT slices."""
    images = edition.images
    flags = {
        "without_patient_id": images["patient_id"].isna(),
        "paediatric": images["population"] == "paediatric",
        "population_unknown": images["population"] == "unknown",
        "ct_slices": images["modality"] == "CT",
    }
    stated = images.assign(**flags).groupby("source").agg({"patient_id": "nunique", **dict.fromkeys(flags, "sum")})
    stated = stated.rename(columns={"patient_id": "patients"})
    return _by_label(edition, "source").join(stated).reset_index().rename_axis(columns=None)


def licences(edition: Edition) -> pd.DataFrame:
    """Images under each licence text, by label."""
    table = _by_label(edition, "licence")
    table.insert(0, "images", table.sum(axis=1))
    return table.sort_values("images", ascending=False).reset_index().rename_axis(columns=None)


def _by_label(edition: Edition, column: str) -> pd.DataFrame:
    """Images by a column (index) and label (columns, those without a label last)."""
    table = pd.crosstab(edition.images[column], edition.images["label"].fillna("unlabelled"))
    return table.reindex(columns=[*LABELS, "unlabelled"], fill_value=0)


def label_from_source(edition: Edition) -> float:
    """Balanced accuracy, on the edition's labelled images, of guessing each image's label from its source alone.

    The rule answers 'covid' where COVID-19 is more frequent in the source than in the whole edition.
    """
    labelled = edition.images.dropna(subset="label")
    covid = labelled["label"] == "covid"
    guess = covid.groupby(labelled["source"]).transform("mean") > covid.mean()
    return float(balanced_accuracy_score(covid, guess))


def disputed_images(edition: Edition) -> pd.DataFrame:
    """Pictures that occur twice under statements that contradict each other: images by source and statement."""
    rows = edition.images[disputed(edition.images)]
    rows = rows.assign(healthy=rows["healthy"].map({True: "yes", False: "no"}))
    keys = ["source", "label", "healthy", "population"]
    table = rows.fillna({"label": "unlabelled", "healthy": "unknown"}).groupby(keys)
    return table.agg(images=("image_id", "size"), pictures=("repeat", "nunique")).reset_index()


def chestxray_history() -> pd.DataFrame:
    """One row a published state of covid-chestxray-dataset's table, oldest first.

    `covid` and `no_finding` count what the released code takes, split by what the image is: `_frontal`, `_lateral`,
    `_other_xray` and `_ct`. `frontal` counts frontal X-rays of any finding in folder `images`,
    `covid_frontal_patients` the people with such a COVID-19 X-ray.
    """
    states = manifests.covid_chestxray_states().groupby("state")
    return pd.DataFrame([{"date": date, **_state(table[table["folder"] == "images"])} for date, table in states])


def _state(table: pd.DataFrame) -> dict[str, int]:
    view, xray = views(table["view"]), table["modality"] == "X-ray"
    frontal, lateral, ct = xray & view.isin(FRONTAL_VIEWS), xray & view.isin(LATERAL_VIEWS), table["modality"] == "CT"
    kinds = {"frontal": frontal, "lateral": lateral, "other_xray": xray & ~frontal & ~lateral, "ct": ct}
    taken = released_filter(table)["label"].reindex(table.index)
    row: dict[str, int] = {}
    for name, label in (("covid", "covid"), ("no_finding", "non_covid")):
        row[name] = int((taken == label).sum())
        row |= {f"{name}_{kind}": int((is_kind & (taken == label)).sum()) for kind, is_kind in kinds.items()}
    people = table.loc[frontal & (taken == "covid"), "patientid"].nunique()
    return row | {"frontal": int(frontal.sum()), "covid_frontal_patients": people}


def distance_distribution(images: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of images lie at each Hamming distance of their hashes: `kind`, `distance` (0 to 256), `pairs`.

    Kinds: 'linked by the publisher' (a common duplicate group or file), 'same patient' (other pairs of one
    patient) and 'unlinked' (all remaining pairs, those across sources included).
    """
    table = perceptual_hashes(images).merge(images, on="image_id", validate="one_to_one")
    packed = pack(table["hash"])
    total = np.zeros(BITS + 1, np.int64)
    for _, distance in distance_blocks(packed):
        distance[np.tril_indices(len(distance), m=distance.shape[1])] = BITS + 1  # each pair once
        total += np.bincount(distance.ravel(), minlength=BITS + 2)[: BITS + 1]
    repeats = _pairs_within(table["duplicate_group"]) | _pairs_within(table["sha256"])
    pairs = {"linked by the publisher": repeats, "same patient": _pairs_within(table["patient_id"]) - repeats}
    histogram = {kind: _histogram(packed, found) for kind, found in pairs.items()}
    histogram["unlinked"] = total - sum(histogram.values())
    table = pd.DataFrame(histogram).rename_axis("distance").reset_index()
    return table.melt("distance", var_name="kind", value_name="pairs")[["kind", "distance", "pairs"]]


def _pairs_within(groups: pd.Series) -> set[tuple[int, int]]:
    """Pairs of positions (i < j) that share a value of `groups`; nulls share nothing."""
    members = pd.Series(range(len(groups))).groupby(groups.reset_index(drop=True)).agg(list)
    return {pair for rows in members for pair in combinations(rows, 2)}


def _histogram(packed: np.ndarray, pairs: set[tuple[int, int]]) -> np.ndarray:
    index = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    differing = np.bitwise_xor(packed[index[:, 0]], packed[index[:, 1]])
    return np.bincount(np.unpackbits(differing, axis=1).sum(axis=1), minlength=BITS + 1)


def sample_rows(edition: Edition, per_source: int = 5, seed: int = 0) -> pd.DataFrame:
    """Up to `per_source` labelled X-rays of each class and source, drawn with `seed`: rows of the image table."""
    images = edition.images[edition.images["label"].notna() & (edition.images["modality"] != "CT")]
    drawn = images.sample(frac=1, random_state=seed).groupby(["label", "source"]).head(per_source)
    return drawn.sort_values(["label", "source", "image_id"], ignore_index=True)


@recorded_analysis("grey_levels")
def grey_levels(edition: Edition, size: int = 256, seed: int = 0, bins: int = 32) -> pd.DataFrame:
    """Mean grey-level histogram of up to `PER_SOURCE` prepared images of each source and class (`bins` divides 256).

    Columns: source, label, level (centre of the bin, in [0, 1]), share (of pixels, mean over images), images.
    """
    rows = sample_rows(edition, PER_SOURCE, seed)
    store = open_store(rows, size)
    rows = rows[rows["image_id"].isin(store.table["image_id"])]
    level, tables = (np.arange(bins) + 0.5) / bins, []
    for (label, source), group in rows.groupby(["label", "source"]):
        n = np.bincount(store.take(group["image_id"]).ravel(), minlength=256).reshape(bins, -1).sum(axis=1)
        columns = {"source": source, "label": label, "level": level, "share": n / n.sum(), "images": len(group)}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
