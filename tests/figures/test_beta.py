"""The figures on the weight draw every weight and every loss."""

import matplotlib.pyplot as plt
import pytest

from cxrlib.analysis.beta import tables, theory
from cxrlib.figures import beta


@pytest.mark.slow
def test_the_figures_draw_every_beta():
    x, labels = theory.separable_sample(size=60)
    table = theory.overlapping_table(betas=(0.5, 1.0, 2.0), size=200)
    equations, curves, overlapping, separable = (
        beta.plot_equation_curves(tables.equation_curves()),
        beta.plot_beta_curves(tables.beta_curves()),
        beta.plot_overlapping(table),
        beta.plot_separable(tables.separable_curves(x, labels), x, labels),
    )
    assert {text.get_text() for text in equations.axes[0].get_legend().get_texts()} == set(tables.EQUATIONS)
    assert len(overlapping.axes[0].lines) == 2 + len(table)
    for figure in (curves, separable):
        texts = figure.axes[0].get_legend().get_texts()
        assert [text.get_text() for text in texts] == ["0.25", "0.5", "0.75", "1", "2", "4"]
    plt.close("all")
