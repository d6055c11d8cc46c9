"""Train on some collections, test on others: does what was learned carry over?"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.analysis.shortcuts import probes
from cxrlib.analysis.shortcuts.sample import adults, draw, eligible, load, patients
from cxrlib.data.editions import Edition
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.store import open_store
from cxrlib.records.analyses import recorded_analysis

Rows = npt.NDArray[np.bool_]
VALUES = ("auroc", "bacc", "sensitivity", "specificity")


@recorded_analysis("external_tests")
def external_tests(
    edition: Edition, image_size: int = probes.SIZE, per_origin: int = probes.PER_ORIGIN, seed: int = 0
) -> pd.DataFrame:
    """`external_table` of the linear probe on whole images, children among the tests."""
    rows = draw(eligible(edition), per_origin, seed)
    sample = load(rows, open_store(rows, image_size))
    return external_table(sample, probes.network_features(probes.frozen_network(image_size, seed), sample.pixels), seed)


def pools(sample: Samples, both: list[str]) -> dict[str, Rows]:
    """The sets to train on, by name, bool [N] each: children never, always both classes. both: origins with both classes.

    Each origin with both classes alone, COVID-19 of the one-class origins against the negatives of each other
    one-class origin (there the label is the origin), and everything together.
    """
    origin, adult, covid = sample.table["origin"], adults(sample.table), sample.labels == 1
    found = {name: adult & (origin == name).to_numpy() for name in both}
    single = adult & ~origin.isin(both).to_numpy()
    positive = " + ".join(sorted(set(origin[single & covid])))
    for name in sorted(set(origin[single & ~covid])) if positive else ():
        found[f"{positive} | {name}"] = single & (covid | (origin == name).to_numpy())
    found["all adults"] = adult
    return {name: rows for name, rows in found.items() if 0 < sample.labels[rows].sum() < rows.sum()}


def external_table(sample: Samples, features: probes.Floats, seed: int = 0) -> pd.DataFrame:
    """Every pool against every origin: train, test, kind, covid, non_covid, and `VALUES` with `_low` and `_high`.

    features: [N, D]. Test images of the pool itself are predicted out of fold ("internal"); for the others the model is
    fitted to the pool without any component of the test set ("external"; "partly internal" where the test set lies in the
    pool together with other origins: out of fold too). Areas and bACC are NaN for a test set of one class; their intervals
    are bootstrapped by component, the rates' exact. Combinations that leave a class without images are left out.
    """
    rows, origin, groups = [], sample.table["origin"].to_numpy(str), sample.table["component"].to_numpy()
    counts = patients(sample.table)
    both = counts.index[(counts >= probes.FOLDS).all(axis=1)].tolist()
    for name, pool in pools(sample, both).items():
        inside = np.full(len(sample), np.nan)
        inside[pool] = probes.out_of_fold(features[pool], sample.labels[pool], groups[pool], seed)[:, 1]
        for test_name in [*both, *sorted(set(origin) - set(both))]:
            test = origin == test_name
            train = pool & ~np.isin(groups, groups[test])
            if (pool & test).any():
                kind, used = "internal" if (pool <= test).all() else "partly internal", test & pool
                probability = inside[used]
            elif 0 < sample.labels[train].sum() < train.sum():
                kind, used = "external", test
                model = probes.linear_model().fit(features[train], sample.labels[train])
                probability = model.predict_proba(features[test])[:, 1]
            else:
                continue
            found = summary(sample.labels[used], probability, groups=groups[used], seed=seed, draws=500)
            values = {key: found[key] for value in VALUES for key in (value, f"{value}_low", f"{value}_high")}
            sides = {"covid": found["positives"], "non_covid": found["negatives"]}
            rows.append({"train": name, "test": test_name, "kind": kind, **sides, **values})
    table = pd.DataFrame(rows)
    if table.empty:
        raise DataError("no set of images at hand has both classes: the external test needs COVID-19 and other images.")
    return table.astype({name: float for name in table if name.startswith(VALUES)})


def inside_and_outside(table: pd.DataFrame) -> tuple[float, float]:
    """Mean AUROC of the internal and of the external tests with both classes; NaN where there are none."""
    inside, outside = (table.loc[table["kind"] == kind, "auroc"].mean() for kind in ("internal", "external"))
    return float(inside), float(outside)
