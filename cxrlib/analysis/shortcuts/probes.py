"""Linear probes: how well can the label, or the origin, be read from what is left of an image?

They are tried out on phantoms first, whose generator decides site and label apart: at confounding c the site alone decides
at best with balanced accuracy (1 + c) / 2 (`cxrlib.images.phantom`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.analysis.sentences import estimate
from cxrlib.analysis.shortcuts.sample import adults, draw, eligible, load
from cxrlib.data.editions import Edition
from cxrlib.data.folds import grouped_folds
from cxrlib.data.masks import has_mask, lung_masks
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError
from cxrlib.evaluation.metrics import summary
from cxrlib.images.decoding import min_max, thumbnails, to_uint8
from cxrlib.images.phantom import FINDINGS, PhantomSpec, masks, render, sites
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import Classifier, build_network
from cxrlib.networks.weights import imagenet_file, load_imagenet
from cxrlib.records.analyses import recorded_analysis

PENALTY = 0.01  # scikit-learn's C, on standardised features: fixed, never tuned
FOLDS = 4
FEWEST = 8  # components that an origin needs to take part
MASKED = 120  # most images of an origin and class among those with a lung mask
SIZE, PER_ORIGIN = 96, 60
COHORT = "COVIDX-Ray-5K + COVID-ChestXray"  # the cohort of the paper's best rows, as Table I names it
BORDER = 1 / 8
"""Width of the frame that counts as border, as a share of the side."""
REGIONS = ("whole image", "border only", "centre blacked out", "lungs only", "lungs hidden")
CONFOUNDING, PHANTOM_SIZE = (0.0, 0.25, 0.5, 0.75, 1.0), 64
PANELS = ("COVID-19, all adults", "COVID-19, images with lung masks", "origin of a negative")
COLUMNS = ["input", "images", "covid", "bacc", "bacc_low", "bacc_high", "auroc", "auroc_low", "auroc_high", "share"]
Floats = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


def cover(pixels: Pixels, region: str, lungs: Masks | None = None) -> Pixels:
    """`pixels`, uint8 [N, S, S], with all black that `region` (of `REGIONS`) does not show.

    "border only" shows the outer eighth on each side; "centre blacked out" hides the central half of the side. `lungs`, bool
    [N, S, S], is needed for the regions that name them: DataError without.
    """
    if region == "whole image":
        return pixels
    size, shown = pixels.shape[1], lungs
    if "lungs" not in region:
        edge = max(round(size * (BORDER if region == "border only" else 1 / 4)), 1)
        shown = np.ones((size, size), bool)
        shown[edge:-edge, edge:-edge] = False
    if shown is None:
        raise DataError(f"'{region}' needs a lung mask for every image: select the images that have one.")
    return np.where(~shown if region == "lungs hidden" else shown, pixels, np.uint8(0))


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


@recorded_analysis("known_confounding")
def known_confounding(edition: Edition, per_class: int = 80, levels: Sequence[float] = CONFOUNDING) -> pd.DataFrame:
    """COVID-19 and site read at each confounding from each input, by logistic regression on 16 x 16 block means or the histogram.

    Columns: confounding, target ("COVID-19", or "site" among the negatives), input, images, bacc with its interval, truth
    ((1 + c) / 2 for COVID-19, NaN for the site). Phantoms are the same on every machine; `edition` plays no part.
    """
    lungs = masks(phantoms(0, per_class)["path"].tolist(), PHANTOM_SIZE)[0]  # the same patients at every confounding
    parts = []
    for level in levels:
        table = phantoms(level, per_class)
        pixels = np.stack([to_uint8(min_max(image)) for image in render(table["path"].tolist(), PHANTOM_SIZE)])
        sample = Samples(pixels, (table["label"] == "covid").to_numpy(np.int64), table)
        shown = (region for region in REGIONS if region != "centre blacked out")
        seen = {region: thumbnails(cover(pixels, region, lungs), 16).reshape(len(pixels), -1) for region in shown}
        seen["histogram"] = histograms(pixels)
        parts.append(label_probe(seen, sample).assign(target="COVID-19", confounding=level, truth=(1 + level) / 2))
        parts.append(origin_probe(seen, sample).assign(target="site", confounding=level, truth=np.nan))
    columns = ["confounding", "target", "input", "images", "bacc", "bacc_low", "bacc_high", "truth"]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)[columns]


def phantoms(confounding: float, per_class: int) -> pd.DataFrame:
    """`per_class` phantoms of each class, the same patients at every confounding: path, label, component, origin (the site)."""
    spec, others = PhantomSpec(seed=0, confounding=confounding), [name for name in FINDINGS if name != "covid"]
    findings = ["covid"] * per_class + [others[n % len(others)] for n in range(per_class)]
    paths = [spec.path(finding, n, n) for n, finding in enumerate(findings)]
    label = np.where(np.array(findings) == "covid", "covid", "non_covid")
    origin = [f"site {site}" for site in sites(paths)]
    return pd.DataFrame({"path": paths, "label": label, "component": range(len(paths)), "origin": origin})


def frozen_network(size: int, seed: int = 0) -> Classifier:
    """The SqueezeNet whose features the probes use: ImageNet's weights where they are at hand, else random ones."""
    state = load_imagenet("squeezenet") if imagenet_file("squeezenet") else None
    return build_network("squeezenet", size, seed, trunk_state=state, normalise=state is not None).eval()


@torch.inference_mode()
def network_features(network: Classifier, pixels: Pixels, batch: int = 64) -> Floats:
    """Feature map of the trunk averaged over the image, float32 [N, C], for uint8 images [N, S, S]."""
    parts = torch.from_numpy(np.ascontiguousarray(pixels)).split(batch)
    return torch.cat([network.features(part[:, None].float() / 255).mean(dim=(2, 3)) for part in parts]).numpy()


def histograms(pixels: Pixels, bins: int = 32) -> Floats:
    """Share of each image's pixels in each of `bins` equal ranges of grey, float64 [N, bins]; rows sum to 1."""
    return np.stack([np.histogram(image, bins, (0, 256))[0] / image.size for image in pixels])


def inputs(
    sample: Samples, network: Classifier, regions: tuple[str, ...], lungs: Masks | None = None
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

    COVID-19 images of `sample` are left out, as are origins of few components. bACC is the mean recall over origins, chance
    one over their number. An empty table where the negatives come from one origin.
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
    values: npt.ArrayLike, classes: npt.ArrayLike, groups: npt.ArrayLike, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over classes of the mean value in each, with a 95 % percentile interval: (mean, low, high); NaN without values.

    Components (`groups`) are drawn with replacement within each class, 500 times; for `values` that say whether a prediction
    is right the mean is the balanced accuracy. All are [N].
    """
    x, class_, group = np.asarray(values, np.float64), np.asarray(classes), np.asarray(groups)
    generator, drawn, plain = np.random.default_rng(seed), [], []
    for name in np.unique(class_):
        _, member = np.unique(group[class_ == name], return_inverse=True)
        total, size = np.bincount(member, x[class_ == name]), np.bincount(member)
        weights = generator.multinomial(len(size), np.full(len(size), 1 / len(size)), size=500)
        drawn.append((weights @ total) / (weights @ size))
        plain.append(x[class_ == name].mean())
    if not plain:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return float(np.mean(plain)), float(low), float(high)


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
