"""Strips of paired differences stand a study without pairs and keep every pair they are given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cxrlib.figures.style import strip_panels


@pytest.mark.parametrize("pairs", [0, 3])
def test_strips_hold_every_pair(pairs: int) -> None:
    table = pd.DataFrame({"row": "a", "kind": "b", "difference": [0.1, 0.1, 0.2]}).head(pairs)
    axis = strip_panels({"bACC": table}, "row", ["a"], "kind", {"b": "red"}, {"bACC": 0.05}).axes[0]
    assert sum(len(points.get_offsets()) for points in axis.collections) == pairs
    plt.close("all")
