"""Dose and response: phantoms whose confounding is set by hand, the same patients at every dose.

The generator decides site and label apart, so what a border or a histogram can say of the label is known: at
confounding c the site alone decides at best with balanced accuracy (1 + c) / 2 (`cxrlib.images.phantom.site`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrlib.images.decoding import min_max, to_uint8
from cxrlib.images.phantom import PhantomSpec, images, masks, render
from cxrlib.images.phantom.render import _NOISE
from cxrlib.images.phantom.site import draw_site
from cxrlib.images.phantom.spec import parse_path

DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZE = 64  # pixels a side


def sites(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    """Acquisition site, 0 or 1, of each phantom named, int64 [N]: the draw that `cxrlib.images.phantom.render` makes."""
    found = []
    for path in paths:
        spec, kind, _, number = parse_path(path)
        rng = np.random.default_rng([spec.seed, number, _NOISE])
        rng.normal(0, 0.35), rng.uniform(4.0, 12.0), rng.uniform(93.0, 98.5)  # exposure and window come first
        found.append(draw_site(kind == "covid", spec.confounding, rng))
    return np.array(found, np.int64)


def best_from_site(confounding: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Largest balanced accuracy that knowing the site alone gives: (1 + c) / 2."""
    return (1 + np.asarray(confounding, np.float64)) / 2


def phantoms(confounding: float, per_class: int, seed: int) -> pd.DataFrame:
    """Image rows of `per_class` phantoms with and as many without COVID-19; the same patients at every confounding."""
    scale = min(max(per_class / 400, 0.01), 10.0)
    rows = images(PhantomSpec(seed=seed, confounding=confounding, scale=scale))
    drawn = [part.head(per_class) for _, part in rows.sample(frac=1, random_state=seed).groupby("label", sort=True)]
    return pd.concat(drawn).sort_values("image_id").reset_index(drop=True)


def dose_response(per_class: int = 80, seed: int = 0, doses: Sequence[float] = DOSES) -> pd.DataFrame:
    """COVID-19 and site told at each dose from each input, by logistic regression on 16 x 16 block means or the histogram.

    Columns: confounding, target ("COVID-19", or "site" among the negatives), input, bacc, low, high, truth (`best_from_site`
    for COVID-19; NaN for the site). Rows of the site are missing where the negatives come from one site.
    """
    from cxrlib.analysis.shortcuts.features import histograms, thumbnails
    from cxrlib.analysis.shortcuts.probes import label_probe, origin_probe
    from cxrlib.analysis.shortcuts.regions import cover
    from cxrlib.analysis.shortcuts.sample import Sample

    parts = []
    lungs = masks(phantoms(doses[0], per_class, seed)["path"].tolist(), SIZE)[0]  # the same patients at every dose
    for dose in doses:
        table = phantoms(dose, per_class, seed)
        paths = table["path"].tolist()
        pixels = np.stack([to_uint8(min_max(image)) for image in render(paths, SIZE)])
        table = table.assign(component=pd.factorize(table["patient_id"])[0], origin=[f"site {s}" for s in sites(paths)])
        sample = Sample(pixels, table)
        seen = {
            name: thumbnails(cover(pixels, name, lungs), 16)
            for name in ("whole image", "border only", "lungs only", "lungs hidden")
        } | {"histogram": histograms(pixels)}
        label = label_probe(seen, sample, seed).rename(columns={"bacc_low": "low", "bacc_high": "high"})
        parts.append(label.assign(target="COVID-19", confounding=dose, truth=float(best_from_site(dose))))
        parts.append(origin_probe(seen, sample, seed).assign(target="site", confounding=dose, truth=np.nan))
    columns = ["confounding", "target", "input", "images", "bacc", "low", "high", "truth"]
    return pd.concat(parts, ignore_index=True)[columns]
