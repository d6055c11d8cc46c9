"""Cross-fitting: no component on both sides, every image scored once a seed, networks read back from the cache."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis import cross_fitting as fitting
from cxrlib.analysis.shortcuts.sample import eligible
from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError


@pytest.fixture
def edition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.05")
    return load_edition("phantom")


def made() -> pd.DataFrame:
    """Eligible rows: a (large) and c have both classes, b negatives, d COVID-19 alone; two images a component."""
    source = np.repeat(["a", "b", "c", "d"], [200, 900, 60, 30])
    n = np.arange(len(source))
    label = np.where(
        source == "b", "non_covid", np.where(source == "d", "covid", np.where(n // 2 % 2, "covid", "non_covid"))
    )
    rows = pd.DataFrame(
        {"image_id": [f"{s}/{k:04d}" for s, k in zip(source, n, strict=True)], "source": source, "label": label}
    )
    return rows.assign(origin=source, component=n // 2, population=np.where(n < 4, "paediatric", "adult"))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_image_is_scored_once_by_a_network_that_saw_no_image_of_its_component(seed):
    tasks = fitting.tasks(made(), seed)
    crossed = [task for task in tasks if task.design == fitting.CROSS_FITTED]
    assert len(crossed) == fitting.FOLDS
    for task in tasks:
        assert not set(task.train["component"]) & set(task.test["component"])
        assert (task.train["population"] == "adult").all()
    scored = pd.concat([task.test for task in crossed])
    assert scored["image_id"].is_unique
    assert scored["source"].value_counts().to_dict() == {"b": fitting.OTHERS, "a": 196, "c": 60}


def test_the_external_network_never_sees_the_sources_it_is_tested_on():
    external = [fitting.tasks(made(), seed)[-1] for seed in (0, 1)]
    assert external[0].design == fitting.EXTERNAL
    assert set(external[0].train["source"]) == {"a", "b"}
    assert set(external[0].test["source"]) == {"b", "c", "d"}
    assert set(external[0].test["image_id"]) == set(external[1].test["image_id"]), "the same images for every seed"
    only = made()
    only = only[only["source"].isin(["a", "b"])]
    assert {task.design for task in fitting.tasks(only, 0)} == {fitting.CROSS_FITTED}
    with pytest.raises(DataError, match="both classes"):
        fitting.tasks(only[only["label"] == "non_covid"], 0)


@pytest.mark.slow
def test_a_fold_is_trained_and_read_back_from_the_cache(edition, monkeypatch):
    task = fitting.tasks(eligible(edition), 0)[0]
    config = fitting.settings(edition, 0, epochs=1)
    first = fitting.fitted(edition, task, config)

    def never(*_):
        raise AssertionError("trained twice")

    monkeypatch.setattr(fitting, "train", never)
    again = fitting.fitted(edition, task, config)
    assert all((a == b).all() for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    monkeypatch.setattr(fitting, "tasks", lambda rows, seed: [task])
    table = fitting.cross_fitting(edition, seeds=(0,), epochs=1)
    assert list(table) == fitting.COLUMNS
    assert set(table["image_id"]) == set(task.test["image_id"])
    assert np.isfinite(table["logit"]).all()
