"""Train on some collections, test on others: does what was learned travel?"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.analysis.shortcuts.features import Floats
from cxrlib.analysis.shortcuts.probes import FOLDS, linear_model, out_of_fold
from cxrlib.analysis.shortcuts.sample import CHILDREN, Sample
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import summary

Rows = npt.NDArray[np.bool_]
VALUES = ("auroc", "bacc", "sensitivity", "specificity")


def both_classes(sample: Sample) -> list[str]:
    """Origins with both classes from at least as many components as there are folds, sorted."""
    counts = sample.table.pivot_table("component", "origin", "label", aggfunc="nunique", fill_value=0)
    counts = counts.reindex(columns=["covid", "non_covid"], fill_value=0)
    return [str(name) for name in counts.index[(counts >= FOLDS).all(axis=1)]]


def pools(sample: Sample) -> dict[str, Rows]:
    """The sets to train on, by name, bool [N] each: children never, always both classes.

    Each origin with both classes alone, COVID-19 of the one-class origins against the negatives of each other
    one-class origin (there the label is the origin), and everything together.
    """
    table = sample.table
    adult = (table["population"] != CHILDREN).to_numpy()
    both = both_classes(sample)
    alone = {name: adult & (table["origin"] == name).to_numpy() for name in both}
    single = adult & ~table["origin"].isin(both).to_numpy()
    covid = single & (table["label"] == "covid").to_numpy()
    negatives = {str(name) for name in table.loc[single & ~covid, "origin"]} if covid.any() else set()
    positive = " + ".join(sorted(set(table.loc[covid, "origin"])))
    paired = {
        f"{positive} | {name}": covid | (single & ~covid & (table["origin"] == name)) for name in sorted(negatives)
    }
    found = {**alone, **{name: np.asarray(rows, bool) for name, rows in paired.items()}, "all adults": adult}
    labels = sample.labels
    return {name: rows for name, rows in found.items() if 0 < labels[rows].sum() < rows.sum()}


def tests(sample: Sample) -> dict[str, Rows]:
    """The sets to test on, by name, bool [N] each: origins with both classes, and each other origin with its one class."""
    names = both_classes(sample)
    rest = sorted(set(map(str, sample.table["origin"])) - set(names))
    return {name: (sample.table["origin"] == name).to_numpy() for name in [*names, *rest]}


def external_table(sample: Sample, features: Floats, seed: int = 0) -> pd.DataFrame:
    """Every pool against every test set: train, test, kind, covid, non_covid, and `VALUES` with `_low` and `_high`.

    features: [N, D]. Test images of the pool itself are predicted out of fold ("internal"); for the others the model is
    fitted to the pool without any component of the test set ("external"; "partly internal" where the test set lies in the
    pool together with other origins: out of fold too). Areas and bACC are NaN for a test set of one class; their intervals
    are bootstrapped by component, the rates' exact. Combinations that leave a class without images are left out.
    """
    rows = []
    trained = pools(sample)
    for name, pool in trained.items():
        inside = _out_of_fold(features, sample, pool, seed)
        for test_name, test in tests(sample).items():
            covered = pool[test].mean()
            kind = "external" if covered == 0 else "internal" if (pool == (pool & test)).all() else "partly internal"
            used = test & pool if covered else test
            probability = inside[used] if covered else _fit_elsewhere(features, sample, pool, used)
            if probability is None:
                continue
            found = summary(sample.labels[used], probability, groups=sample.groups[used], seed=seed, draws=500)
            values = {key: found[key] for value in VALUES for key in (value, f"{value}_low", f"{value}_high")}
            counts = {"covid": found["positives"], "non_covid": found["negatives"]}
            rows.append({"train": name, "test": test_name, "kind": kind, **counts, **values})
    table = pd.DataFrame(rows)
    if table.empty:
        raise DataError("no set of images at hand has both classes: the external test needs COVID-19 and other images.")
    return table.astype({name: float for name in table if name.startswith(VALUES)})


def by_test(table: pd.DataFrame, value: str = "auroc") -> pd.DataFrame:
    """`value` as text with its interval, a row a training pool and a column a test set: "0.912 [0.880, 0.940]"."""
    shown = [
        f"{v:.3f} [{low:.3f}, {high:.3f}]{'' if kind == 'external' else ' *'}" if v == v else None
        for v, low, high, kind in zip(
            table[value], table[f"{value}_low"], table[f"{value}_high"], table["kind"], strict=True
        )
    ]
    wide = table.assign(shown=shown).dropna(subset="shown")
    order: Mapping[str, None] = dict.fromkeys(wide["test"])
    return wide.pivot_table(index="train", columns="test", values="shown", aggfunc="first", sort=False)[
        list(order)
    ].reset_index()


def drop_outside(table: pd.DataFrame) -> tuple[float, float]:
    """Mean AUROC of the internal and of the external tests with both classes: (inside, outside); NaN where there are none."""
    known = table.dropna(subset="auroc")
    inside, outside = (known.loc[known["kind"] == kind, "auroc"].mean() for kind in ("internal", "external"))
    return float(inside), float(outside)


def _out_of_fold(features: Floats, sample: Sample, pool: Rows, seed: int) -> Floats:
    found = np.full(len(sample), np.nan)
    found[pool] = out_of_fold(features[pool], sample.labels[pool], sample.groups[pool], seed)
    return found


def _fit_elsewhere(features: Floats, sample: Sample, pool: Rows, test: Rows) -> Floats | None:
    train = pool & ~np.isin(sample.groups, sample.groups[test])
    if not 0 < sample.labels[train].sum() < train.sum():
        return None
    model = linear_model().fit(features[train], sample.labels[train])
    return np.asarray(model.predict_proba(features[test])[:, 1], np.float64)
