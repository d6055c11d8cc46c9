"""Linear probes: how well is the label, or the origin, told from what is left of an image?"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.analysis.shortcuts.features import Floats, histograms, network_features, thumbnails
from cxrlib.analysis.shortcuts.regions import Masks, cover
from cxrlib.analysis.shortcuts.sample import Sample
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import summary
from cxrlib.networks.classifier import Classifier

PENALTY = 0.01  # scikit-learn's C, on standardised features: fixed, never tuned
FOLDS = 4
FEWEST = 8  # components that an origin needs to take part
COLUMNS = ("input", "images", "covid", "bacc", "bacc_low", "bacc_high", "auroc", "auroc_low", "auroc_high", "kept")


def linear_model() -> Pipeline:
    """Logistic regression on standardised features, classes weighted to balance."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000))


def folds(
    classes: npt.ArrayLike, groups: npt.NDArray[np.int64], seed: int = 0
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Stratified folds that keep components whole; DataError where a class has fewer components than folds."""
    names = np.asarray(classes)
    for name in np.unique(names):
        if len(np.unique(groups[names == name])) < FOLDS:
            raise DataError(f"class {name} has images of fewer than {FOLDS} patients: use more data.")
    return list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(names, names, groups))


def out_of_fold(
    features: Floats, labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], seed: int = 0
) -> Floats:
    """Probability of class 1 for each row from a model that has not seen its component, float64 [N]."""
    found = np.full(len(labels), np.nan)
    for train, test in folds(labels, groups, seed):
        found[test] = linear_model().fit(features[train], labels[train]).predict_proba(features[test])[:, 1]
    return found


def score(
    labels: npt.NDArray[np.int64], probability: Floats, groups: npt.NDArray[np.int64], seed: int = 0
) -> dict[str, float]:
    """bACC at 1/2 and AUROC with 95 % bootstrap intervals by component: the columns from `bacc` to `auroc_high`."""
    found = summary(labels, probability, groups=groups, seed=seed, draws=500)
    return {name: found[name] for name in COLUMNS[3:9]}


def inputs(
    sample: Sample, network: Classifier, lungs: Masks | None = None, regions: tuple[str, ...] = ()
) -> dict[str, Floats]:
    """Features of each reduced input, by name: the regions through the network, then thumbnail and histogram."""
    found = {region: network_features(network, cover(sample.pixels, region, lungs)) for region in regions}
    return found | {"8 × 8 thumbnail": thumbnails(sample.pixels), "histogram": histograms(sample.pixels)}


def label_probe(features: Mapping[str, Floats], sample: Sample, seed: int = 0) -> pd.DataFrame:
    """COVID-19 told from each input on the same images and folds: the columns of `COLUMNS`.

    `kept`: share of the first input's bACC above chance that the input keeps, (bacc - 1/2) / (bacc of the first - 1/2).
    """
    rows: list[dict[str, object]] = []
    first = np.nan
    for name, values in features.items():
        found = score(sample.labels, out_of_fold(values, sample.labels, sample.groups, seed), sample.groups, seed)
        first = found["bacc"] if np.isnan(first) else first
        kept = (found["bacc"] - 0.5) / (first - 0.5) if first > 0.5 else np.nan
        rows.append({"input": name, "images": len(sample), "covid": int(sample.labels.sum()), **found, "kept": kept})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def origins_of(sample: Sample) -> npt.NDArray[np.bool_]:
    """Which images are negatives of an origin with enough components to be told, bool [N]."""
    negative = sample.table["label"] == "non_covid"
    size = sample.table[negative].groupby("origin")["component"].nunique()
    return (negative & sample.table["origin"].isin(size.index[size >= FEWEST])).to_numpy()


def origin_probe(features: Mapping[str, Floats], sample: Sample, seed: int = 0, draws: int = 500) -> pd.DataFrame:
    """The origin of a negative told from each input: input, images, origins, bacc, low, high, chance.

    `features` are rows of the whole `sample`; its COVID-19 images are left out. bACC is the mean recall over origins, chance one over their number;
    intervals resample components within each origin. An empty table where the negatives come from one origin.
    """
    rows = []
    chosen = origins_of(sample)
    part = sample.select(chosen)
    names, code = np.unique(part.table["origin"].to_numpy(str), return_inverse=True)
    for name, values in features.items() if len(names) > 1 else ():
        x, predicted = values[chosen], np.full(len(part), -1)
        for train, test in folds(code, part.groups, seed):
            predicted[test] = linear_model().fit(x[train], code[train]).predict(x[test])
        low, high = _recall_interval(code, predicted == code, part.groups, draws, seed)
        bacc = np.mean([(predicted == code)[code == k].mean() for k in range(len(names))])
        setting = {"input": name, "images": len(part), "origins": len(names)}
        rows.append({**setting, "bacc": float(bacc), "low": low, "high": high, "chance": 1 / len(names)})
    return pd.DataFrame(rows, columns=["input", "images", "origins", "bacc", "low", "high", "chance"])


def _recall_interval(
    code: npt.NDArray[np.int64],
    right: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.int64],
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """95 % percentile interval of the mean recall, components drawn with replacement within each class."""
    generator = np.random.default_rng(seed)
    recall = []
    for k in np.unique(code):
        _, member = np.unique(groups[code == k], return_inverse=True)
        hits, sizes = np.bincount(member, right[code == k]), np.bincount(member)
        weights = generator.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
        recall.append((weights @ hits) / (weights @ sizes))
    low, high = np.quantile(np.mean(recall, axis=0), (0.025, 0.975))
    return float(low), float(high)
