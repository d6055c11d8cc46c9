"""Everything the chapter measures on images, put together: probes on all adults and on images with lung masks."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.analysis.attribution import Explained, LinearOnTrunk, grad_cam, inside_lungs, randomisation_check
from cxrlib.analysis.shortcuts.external import external_table
from cxrlib.analysis.shortcuts.features import frozen_network, network_features
from cxrlib.analysis.shortcuts.probes import inputs, label_probe, linear_model, origin_probe
from cxrlib.analysis.shortcuts.regions import REGIONS, Masks, has_mask, lung_masks
from cxrlib.analysis.shortcuts.sample import CHILDREN, Sample, draw_sample, eligible
from cxrlib.data.editions import Edition
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import Classifier

_UNMASKED = REGIONS[:3]
MASKED = 120
"""Most images of an origin and class among those with a lung mask."""


@dataclass(frozen=True)
class Evidence:
    """Results of the live probes; `masked` is None where no image has a lung mask."""

    sample: Sample
    network: Classifier
    features_name: str
    label: pd.DataFrame
    origin: pd.DataFrame
    external: pd.DataFrame
    masked: Sample | None
    lungs: Masks | None
    masked_label: pd.DataFrame
    explained: Explained

    def panels(self) -> pd.DataFrame:
        """The probes in one table: panel, input, images, bacc, low, high, chance."""
        label = [
            ("COVID-19 told, all adults", self.label),
            ("COVID-19 told, images with lung masks", self.masked_label),
        ]
        parts = [
            part.rename(columns={"bacc_low": "low", "bacc_high": "high"}).assign(panel=name, chance=0.5)
            for name, part in label
        ]
        parts.append(self.origin.assign(panel="origin of a negative told"))
        columns = ["panel", "input", "images", "bacc", "low", "high", "chance"]
        return pd.concat([part[columns] for part in parts if len(part)], ignore_index=True)


def gather(edition: Edition, image_size: int, per_origin: int, seed: int) -> Evidence:
    """All live probes on a draw of `per_origin` images of each origin and class, at image_size x image_size.

    Children take part in the external test alone. Lung masks, where there are any, give a second draw that is probed with every region.
    """
    rows = eligible(edition)
    sample = draw_sample(rows, image_size, per_origin, seed)
    network, name = frozen_network(image_size, seed)
    whole = network_features(network, sample.pixels)
    adult = (sample.table["population"] != CHILDREN).to_numpy()
    adults = sample.select(adult)
    seen = {_UNMASKED[0]: whole[adult], **inputs(adults, network, None, _UNMASKED[1:])}
    masked_rows = rows[has_mask(rows).to_numpy() & (rows["population"] != CHILDREN).to_numpy()]
    masked, lungs, masked_label = None, None, pd.DataFrame()
    if len(set(masked_rows["label"])) > 1:
        masked = draw_sample(masked_rows, image_size, min(per_origin, MASKED), seed)
        lungs = lung_masks(masked.table, image_size)
        masked_label = label_probe(inputs(masked, network, lungs, REGIONS), masked, seed)
    return Evidence(
        sample,
        network,
        name,
        label_probe(seen, adults, seed),
        origin_probe(seen, adults, seed),
        external_table(sample, whole, seed),
        masked,
        lungs,
        masked_label,
        linear_network(network, name, whole, sample, masked, image_size),
    )


def linear_network(
    network: Classifier,
    name: str,
    features: npt.NDArray[np.floating],
    sample: Sample,
    masked: Sample | None,
    image_size: int,
) -> Explained:
    """The probe on whole images as a network of its own, fitted without the adults' components that `masked` shows."""
    keep = (sample.table["population"] != CHILDREN).to_numpy()
    if masked is not None:
        apart = keep & ~np.isin(sample.groups, masked.groups)
        keep = apart if 0 < sample.labels[apart].sum() < apart.sum() else keep
    model = linear_model().fit(features[keep], sample.labels[keep])
    scaler, head = model[0], model[1]
    weight = head.coef_[0] / scaler.scale_
    bias = float(head.intercept_[0] - weight @ scaler.mean_)
    return Explained(LinearOnTrunk(network, weight, bias).eval(), f"logistic regression on a {name}", image_size)


@dataclass(frozen=True)
class Attribution:
    """Maps [N, S, S] of the images of `sample`, their lungs, shares (`inside_lungs`) and the check on some of them."""

    sample: Sample
    maps: npt.NDArray[np.float32]
    lungs: Masks
    shares: pd.DataFrame
    check: pd.DataFrame


def attribute(
    explained: Explained, rows: pd.DataFrame, per_class: int = 12, checked: int = 8, seed: int = 0
) -> Attribution:
    """Grad-CAM of `explained` on at most `per_class` images of each class of `rows`, with the randomisation check on `checked`.

    The lungs are known where a mask is (`regions.has_mask`): rows without one must not be passed.
    """
    drawn = rows.sample(frac=1, random_state=seed).groupby("label", sort=True).head(per_class)
    drawn = drawn.sort_values(["label", "image_id"]).reset_index(drop=True)
    pixels = open_store(drawn, explained.image_size).take(drawn["image_id"])
    lungs = lung_masks(drawn, explained.image_size)
    maps = grad_cam(explained.network, pixels)
    some = np.linspace(0, len(drawn) - 1, min(checked, len(drawn))).astype(int)
    check = randomisation_check(explained.network, pixels[some], seed=seed)
    return Attribution(Sample(pixels, drawn), maps, lungs, inside_lungs(maps, lungs), check)
