"""Linear probes: how well can the label, or the origin, be read from what is left of an image?"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.analysis.shortcuts.regions import REGIONS, cover
from cxrlib.analysis.shortcuts.sample import adults, draw, eligible, load
from cxrlib.data.editions import Edition
from cxrlib.data.folds import grouped_folds
from cxrlib.data.masks import has_mask, lung_masks
from cxrlib.data.samples import Samples
from cxrlib.evaluation.metrics import summary
from cxrlib.images.decoding import thumbnails
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.weights import imagenet_at_hand, load_imagenet
from cxrlib.records.analyses import recorded_analysis

PENALTY = 0.01  # scikit-learn's C, on standardised features: fixed, never tuned
FOLDS = 4
FEWEST = 8  # components that an origin needs to take part
MASKED = 120  # most images of an origin and class among those with a lung mask
SIZE, PER_ORIGIN = 96, 60
PANELS = ("COVID-19, all adults", "COVID-19, images with lung masks", "origin of a negative")
COLUMNS = ["input", "images", "covid", "bacc", "bacc_low", "bacc_high", "auroc", "auroc_low", "auroc_high", "share"]
Floats = npt.NDArray[np.floating]


@recorded_analysis("source_probes")
def source_probes(
    edition: Edition, image_size: int = SIZE, per_origin: int = PER_ORIGIN, seed: int = 0
) -> pd.DataFrame:
    """Every probe in one table: panel (of `PANELS`), input, images, covid, bacc and auroc with intervals, chance, share.

    Children take no part. The panel with lung masks is missing where no image of both classes has one.
    """
    rows = eligible(edition)
    rows, network = rows[adults(rows)], frozen_network(image_size, seed)
    drawn = draw(rows, per_origin, seed)
    sample = load(drawn, open_store(drawn, image_size))
    seen = inputs(sample, network, REGIONS[:3])
    parts = [label_probe(seen, sample, seed).assign(panel=PANELS[0], chance=0.5)]
    masked = rows[has_mask(rows)]
    if len(set(masked["label"])) > 1:
        drawn = draw(masked, min(per_origin, MASKED), seed)
        part = load(drawn, open_store(drawn, image_size))
        seen_masked = inputs(part, network, REGIONS, lung_masks(part.table, image_size))
        parts.append(label_probe(seen_masked, part, seed).assign(panel=PANELS[1], chance=0.5))
    parts.append(origin_probe(seen, sample, seed).assign(panel=PANELS[2]))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)[["panel", *COLUMNS, "chance"]]


def frozen_network(size: int, seed: int = 0) -> Classifier:
    """The SqueezeNet whose features the probes use: ImageNet's weights where they are at hand, else random ones."""
    state = load_imagenet("squeezenet") if imagenet_at_hand("squeezenet") else None
    return build_network("squeezenet", size, seed, trunk_state=state, normalise=state is not None).eval()


@torch.inference_mode()
def network_features(network: Classifier, pixels: npt.NDArray[np.uint8], batch: int = 64) -> Floats:
    """Feature map of the trunk averaged over the image, float32 [N, C], for uint8 images [N, S, S]."""
    parts = torch.from_numpy(np.ascontiguousarray(pixels)).split(batch)
    return torch.cat([network.features(part[:, None].float() / 255).mean(dim=(2, 3)) for part in parts]).numpy()


def histograms(pixels: npt.NDArray[np.uint8], bins: int = 32) -> Floats:
    """Share of each image's pixels in each of `bins` equal ranges of grey, float64 [N, bins]; rows sum to 1."""
    return np.stack([np.histogram(image, bins, (0, 256))[0] / image.size for image in pixels])


def inputs(
    sample: Samples, network: Classifier, regions: tuple[str, ...], lungs: npt.NDArray[np.bool_] | None = None
) -> dict[str, Floats]:
    """Features of each reduced input, by name: the regions through the network, then thumbnail and histogram."""
    found = {region: network_features(network, cover(sample.pixels, region, lungs)) for region in regions}
    return found | {
        "8 × 8 thumbnail": thumbnails(sample.pixels, 8).reshape(len(sample), -1),
        "histogram": histograms(sample.pixels),
    }


def linear_model() -> Pipeline:
    """Logistic regression on standardised features, classes weighted to balance."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000))


def out_of_fold(features: Floats, classes: npt.NDArray[np.int64], groups: npt.ArrayLike, seed: int = 0) -> Floats:
    """Probability of each class for each row from a model that has not seen its component, float64 [N, K].

    Folds keep components whole; DataError where a class has fewer components than there are folds.
    """
    found = np.full((len(classes), len(np.unique(classes))), np.nan)
    for train, test in grouped_folds(classes, groups, FOLDS, seed):
        found[test] = linear_model().fit(features[train], classes[train]).predict_proba(features[test])
    return found


def label_probe(features: Mapping[str, Floats], sample: Samples, seed: int = 0) -> pd.DataFrame:
    """COVID-19 read from each input on the same images and folds: `COLUMNS`, intervals by component.

    `share`: of the first input's bACC above chance, what this input reaches, (bacc - 1/2) / (bacc of the first - 1/2).
    """
    rows, groups = [], sample.table["component"].to_numpy()
    for name, values in features.items():
        probability = out_of_fold(values, sample.labels, groups, seed)[:, 1]
        found = summary(sample.labels, probability, groups=groups, seed=seed, draws=500)
        rows.append({"input": name, "images": len(sample), "covid": int(sample.labels.sum()), **found})
    table = pd.DataFrame(rows)
    above = table["bacc"] - 0.5
    return table.assign(share=above / above[0] if above[0] > 0 else np.nan)[COLUMNS]


def origin_probe(features: Mapping[str, Floats], sample: Samples, seed: int = 0) -> pd.DataFrame:
    """The origin of a negative read from each input: input, images, origins, bacc with its interval, chance.

    `features` are rows of the whole `sample`; its COVID-19 images are left out, as are origins of few components. bACC is the
    mean recall over origins, chance one over their number. An empty table where the negatives come from one origin.
    """
    negative = sample.table[sample.labels == 0]
    size = negative.groupby("origin")["component"].nunique()
    chosen = np.flatnonzero((sample.labels == 0) & sample.table["origin"].isin(size.index[size >= FEWEST]))
    part = sample.table.iloc[chosen]
    names, code = np.unique(part["origin"].to_numpy(str), return_inverse=True)
    rows = []
    for name, values in features.items() if len(names) > 1 else ():
        right = out_of_fold(values[chosen], code, part["component"], seed).argmax(axis=1) == code
        bacc, low, high = mean_over_classes(right, code, part["component"], seed)
        counts = {"input": name, "images": len(part), "covid": 0, "origins": len(names)}
        rows.append({**counts, "bacc": bacc, "bacc_low": low, "bacc_high": high, "chance": 1 / len(names)})
    return pd.DataFrame(rows).reindex(columns=[*COLUMNS, "origins", "chance"])


def mean_over_classes(
    values: npt.ArrayLike, classes: npt.ArrayLike, groups: npt.ArrayLike, seed: int = 0, draws: int = 500
) -> tuple[float, float, float]:
    """Mean over classes of the mean value in each, with a 95 % percentile interval: (mean, low, high).

    Components (`groups`) are drawn with replacement within each class; for `values` that say whether a prediction is right
    the mean is the balanced accuracy. All are [N].
    """
    x, class_, group = np.asarray(values, np.float64), np.asarray(classes), np.asarray(groups)
    generator, drawn, plain = np.random.default_rng(seed), [], []
    for name in np.unique(class_):
        _, member = np.unique(group[class_ == name], return_inverse=True)
        total, size = np.bincount(member, x[class_ == name]), np.bincount(member)
        weights = generator.multinomial(len(size), np.full(len(size), 1 / len(size)), size=draws)
        drawn.append((weights @ total) / (weights @ size))
        plain.append(x[class_ == name].mean())
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return float(np.mean(plain)), float(low), float(high)
