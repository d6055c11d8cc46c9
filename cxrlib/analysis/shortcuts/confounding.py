"""Phantoms whose confounding is known: do the probes measure a shortcut of known size?

The generator decides site and label apart, so what a border or a histogram can say of the label is known: at
confounding c the site alone decides at best with balanced accuracy (1 + c) / 2 (`cxrlib.images.phantom`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.analysis.shortcuts.probes import histograms, label_probe, origin_probe
from cxrlib.analysis.shortcuts.regions import cover
from cxrlib.data.editions import Edition
from cxrlib.data.samples import Samples
from cxrlib.images.decoding import min_max, thumbnails, to_uint8
from cxrlib.images.phantom import FINDINGS, PhantomSpec, masks, render, sites
from cxrlib.records.analyses import recorded_analysis

CONFOUNDING = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZE = 64  # pixels a side
SHOWN = ("whole image", "border only", "lungs only", "lungs hidden")


@recorded_analysis("known_confounding")
def known_confounding(
    edition: Edition, per_class: int = 80, seed: int = 0, levels: Sequence[float] = CONFOUNDING
) -> pd.DataFrame:
    """COVID-19 and site read at each confounding from each input, by logistic regression on 16 x 16 block means or the histogram.

    Columns: confounding, target ("COVID-19", or "site" among the negatives), input, images, bacc with its interval, truth
    ((1 + c) / 2 for COVID-19, NaN for the site). Rows of the site are missing where the negatives come from one site. The
    phantoms are the same on every machine; `edition` plays no part.
    """
    lungs = masks(phantoms(0, per_class, seed)["path"].tolist(), SIZE)[0]  # the same patients at every confounding
    parts = []
    for level in levels:
        table = phantoms(level, per_class, seed)
        paths = table["path"].tolist()
        pixels = np.stack([to_uint8(min_max(image)) for image in render(paths, SIZE)])
        table = table.assign(origin=[f"site {site}" for site in sites(paths)])
        sample = Samples(pixels, (table["label"] == "covid").to_numpy(np.int64), table)
        seen = {name: thumbnails(cover(pixels, name, lungs), 16).reshape(len(pixels), -1) for name in SHOWN} | {
            "histogram": histograms(pixels)
        }
        parts.append(
            label_probe(seen, sample, seed).assign(target="COVID-19", confounding=level, truth=(1 + level) / 2)
        )
        parts.append(origin_probe(seen, sample, seed).assign(target="site", confounding=level, truth=np.nan))
    columns = ["confounding", "target", "input", "images", "bacc", "bacc_low", "bacc_high", "truth"]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)[columns]


def phantoms(confounding: float, per_class: int, seed: int) -> pd.DataFrame:
    """`per_class` phantoms with and as many without COVID-19: path, label, component; the same patients at every confounding."""
    spec = PhantomSpec(seed=seed, confounding=confounding)
    others = [name for name in FINDINGS if name != "covid"]
    findings = ["covid"] * per_class + [others[n % len(others)] for n in range(per_class)]
    table = pd.DataFrame({"path": [spec.path(finding, n, n) for n, finding in enumerate(findings)]})
    label = np.where(np.array(findings) == "covid", "covid", "non_covid")
    return table.assign(label=label, component=np.arange(len(table)))
