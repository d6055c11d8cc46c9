"""What the grid costs: seconds of cells, missing ones, the closed formula for several workers."""

from types import SimpleNamespace

import pandas as pd
import pytest

from cxrlib.analysis import scaling
from cxrlib.figures import study as figures
from cxrlib.training.grid import PARTS, cells

PLANNED = cells("cpu", "open", precision="float32")


def record(config, seconds):
    """As much of a record as the costs need; made on a machine of another precision."""
    provenance = {"wall_s": seconds, "epochs_run": 10, "train_images_per_s": 50.0, "peak_memory_mib": 900.0}
    return SimpleNamespace(config=config.replace(precision="bfloat16"), provenance=provenance, machine="one, 1 thread")


@pytest.fixture
def records():
    """Two cells of SqueezeNet and one of ResNet-50, at 64 pixels."""
    chosen = {
        name: [
            c.config
            for c in PLANNED
            if c.config.model == name and c.config.image_size == 64 and c.config.recipe == "paper"
        ]
        for name in ("squeezenet", "resnet50")
    }
    return [record(chosen["squeezenet"][0], 40.0), record(chosen["squeezenet"][1], 60.0), record(chosen["resnet50"][0], 600.0)]  # fmt: skip


def test_a_cell_costs_what_its_record_says_or_its_network_s_median(records):
    planned = scaling.plan(PLANNED, records)
    assert len(planned) == len(PLANNED) and planned["recorded"].sum() == 3
    assert set(planned.loc[planned["recorded"], "seconds"]) == {40.0, 60.0, 600.0}
    left = planned[~planned["recorded"]]
    of = {(model, size): set(part["seconds"].dropna()) for (model, size), part in left.groupby(["model", "image_size"])}
    assert of["squeezenet", 64] == {50.0} and of["resnet50", 64] == {600.0}
    assert of["resnet50", 128] == {2400.0}, "no record at this size: in proportion to the pixels"
    assert left.loc[left["model"] == "acnn", "seconds"].isna().all(), "nothing is known of this network"


def test_parts_and_missing_cells_add_up(records):
    planned = scaling.plan(PLANNED, records)
    parts = scaling.by_part(planned)
    assert list(parts["part"]) == [part for part in PARTS if part in set(planned["part"])]
    assert parts["recorded"].sum() == 3 and (parts["recorded"] + parts["missing"] == parts["cells"]).all()
    assert parts["hours_spent"].sum() == pytest.approx(700 / 3600)
    missing = scaling.missing(planned)
    assert missing["cells"].sum() == parts["missing"].sum() and missing["cells"].max() > 1


def test_hours_are_the_work_shared_evenly_but_never_less_than_the_longest_chain():
    planned = pd.DataFrame({"seconds": [3600.0, 3600.0, 1800.0], "pretraining": ["none", "none", "imagenet+chestxray"]})
    assert scaling.hours(planned, [1, 2, 4])["hours"].tolist() == [2.5, 1.25, 1.0]
    planned.loc[2, "seconds"] = 2700.0
    assert scaling.hours(planned, [4])["hours"].tolist() == [1.5], "a pretraining, then the cell that waits for it"


def test_costs_by_network_and_the_answer(records):
    costs = scaling.costs(records)
    table = scaling.by_network(costs).set_index("model")
    assert table.loc["squeezenet", ["cells", "seconds", "shortest", "longest"]].tolist() == [2, 50.0, 40.0, 60.0]
    planned = scaling.plan(PLANNED, records)
    text = scaling.answer(planned, costs)
    assert text.startswith(f"The whole study is {len(PLANNED):,} cells") and "3 cells are recorded" in text
    assert "0.8 minutes for SqueezeNet and 10.0 minutes for ResNet-50" in text
    figures.plot_cost(costs, scaling.hours(planned))


def test_without_records_nothing_is_known_and_said_so():
    planned, costs = scaling.plan(PLANNED, []), scaling.costs([])
    assert not planned["recorded"].any() and planned["seconds"].isna().all()
    assert scaling.by_network(costs).empty and len(scaling.missing(planned))
    assert (
        scaling.answer(planned, costs)
        == f"The grid has {len(PLANNED):,} cells. None is recorded, so its cost is not known."
    )
    figures.plot_cost(costs, scaling.hours(planned))
