"""Phantoms: physics that must hold, a truth that is known, and difficulty that can be set."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.data.readers.phantom import images
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.decoding import thumbnails
from cxrlib.images.phantom import PhantomSpec, attenuation, default_spec, expose, masks, render, sites
from cxrlib.images.phantom_anatomy import Patient, Pose, draw_patient, thorax

SIZE = 64


def _sample(confounding: float, count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels (1: COVID) of `count` COVID phantoms and as many others."""
    table = images(PhantomSpec(confounding=confounding, scale=0.4))
    covid = table[table["label"] == "covid"].head(count)
    other = table[(table["label"] == "non_covid") & (table["source"] == "phantom_b")].sample(count, random_state=0)
    rows = pd.concat([covid, other])
    return render(rows["path"].tolist(), SIZE), (rows["label"] == "covid").to_numpy().astype(int)


def _auroc(features: np.ndarray, labels: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    scores = cross_val_predict(model, features, labels, cv=5, method="decision_function")
    return float(roc_auc_score(labels, scores))


def _border(pixels: np.ndarray) -> np.ndarray:
    sides = pixels[:, :3], pixels[:, -3:], pixels[:, :, :3].swapaxes(1, 2), pixels[:, :, -3:].swapaxes(1, 2)
    return np.concatenate([side.mean(axis=1) for side in sides], axis=1)


def test_the_default_edition_mimics_table_1():
    table = images(PhantomSpec())
    assert table["covidx_candidate"].sum() == 218
    july = table[table["in_july2020_metadata"]]
    assert (july["label"].value_counts() == pd.Series({"covid": 512, "non_covid": 17})).all()
    assert table.loc[table["covidx_candidate"], "in_july2020_metadata"].all()
    others = table[table["source"] == "phantom_b"]
    assert (others["healthy"].sum(), (~others["healthy"]).sum()) == (6300, 2500)
    assert table["patient_id"].value_counts().max() > 2
    assert table["sha256"].is_unique


def test_the_scale_variable_makes_fewer(monkeypatch):
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.05")
    assert len(images(default_spec())) == pytest.approx(0.05 * 9329, abs=40)
    for wrong in ("small", "0", "nan", "11"):
        monkeypatch.setenv("CXR_PHANTOM_SCALE", wrong)
        with pytest.raises(ParameterError, match="is not a number from"):
            default_spec()


@pytest.mark.parametrize(
    "path", ["phantom:v3", "phantom:v3,seed=0,confounding=0.5:gout:1:1", "phantom:v2,seed=0,confounding=0:covid:1:1"]
)
def test_a_text_that_names_no_phantom_of_this_version_is_refused(path):
    with pytest.raises(DataError, match="names no phantom of this generator"):
        render([path], 32)


def test_an_image_depends_on_its_path_and_the_size_alone():
    paths = images(PhantomSpec(scale=0.05))["path"].tolist()[:6]
    together = render(paths, 48)
    assert together.dtype == np.uint8 and together.shape == (6, 48, 48)
    assert np.array_equal(together[::-1], render(paths[::-1], 48))
    assert np.array_equal(together[2], render([paths[2]], 48)[0])
    assert len({image.tobytes() for image in together}) == 6
    assert render([], 48).shape == (0, 48, 48)


def test_the_same_phantom_at_two_sizes_shows_the_same_patient():
    paths = images(PhantomSpec(scale=0.05))["path"].tolist()[:8]
    small = render(paths, 64).astype(float)
    reduced = render(paths, 128).reshape(8, 64, 2, 64, 2).mean(axis=(2, 4))
    for one, other in zip(small, reduced, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def _chest() -> tuple[Patient, Pose]:
    return draw_patient(np.random.default_rng(0)), Pose()


def test_more_tissue_transmits_less_and_filled_lung_attenuates_as_tissue():
    patient, pose = _chest()
    chest = thorax(patient, pose, SIZE)
    clear, filled = (attenuation(chest, np.full((SIZE, SIZE), share, np.float32)) for share in (0.0, 1.0))
    assert (filled >= clear - 1e-6).all()
    assert (filled - clear)[chest.mask].min() > 0.1
    centre, lung = clear[SIZE // 2, SIZE // 2], clear[chest.mask].mean()
    assert centre > lung > clear[SIZE // 2, 0]


def test_noise_falls_with_exposure():
    patient, pose = _chest()
    line = attenuation(thorax(patient, pose, SIZE), np.zeros((SIZE, SIZE), np.float32))
    spread = []
    for exposure in (0.1, 10.0):
        first, second = (expose(line, exposure, np.random.default_rng(k)) for k in (1, 2))
        spread.append(np.std(first - second))
    assert spread[0] > 5 * spread[1]


def test_the_heart_of_cardiomegaly_is_wider():
    patient, pose = _chest()
    normal, wide = (thorax(patient, pose, SIZE, scale).mask.sum() for scale in (1.0, 1.5))
    assert wide < normal


def test_findings_lie_in_the_lungs_and_normal_chests_have_none():
    table = images(PhantomSpec(scale=0.05))
    for finding, rows in table.groupby("finding"):
        lungs, marked = masks(rows["path"].tolist()[:5], SIZE)
        assert lungs.mean() == pytest.approx(0.25, abs=0.15)
        assert not (marked & ~lungs).any()
        assert marked.any() == (finding not in ("No Finding", "Cardiomegaly"))


def test_ground_glass_is_bilateral_and_low():
    table = images(PhantomSpec(scale=0.1))
    lungs, marked = masks(table[table["label"] == "covid"]["path"].tolist()[:20], SIZE)
    weight = marked.sum(axis=0)
    assert min(weight[:, : SIZE // 2].sum(), weight[:, SIZE // 2 :].sum()) > 0.3 * weight.sum()
    rows = np.arange(SIZE)
    assert np.average(rows, weights=weight.sum(axis=1)) > np.average(rows, weights=lungs.sum(axis=0).sum(axis=1))


@pytest.mark.parametrize("confounding", [0.0, 0.5, 1.0])
def test_the_site_follows_the_label_as_far_as_it_is_told(confounding):
    spec = PhantomSpec(confounding=confounding)
    covid, other = (sites([spec.path(kind, n, n) for n in range(4000)]).mean() for kind in ("covid", "normal"))
    assert covid - other == pytest.approx(confounding, abs=0.04)


def test_sites_are_those_that_the_images_show():
    """Site 1 darkens its border: the outermost pixels tell it from site 0."""
    paths = [PhantomSpec(confounding=1.0).path(kind, n, n) for n in range(6) for kind in ("covid", "normal")]
    site = sites(paths)
    assert site.tolist() == [1, 0] * 6
    dark = render(paths, SIZE)[:, :, 0].mean(axis=1)
    assert dark[site == 1].max() <= dark[site == 0].min()


def test_without_confounding_a_simple_model_is_neither_perfect_nor_blind():
    pixels, labels = _sample(0.0)
    assert 0.8 < _auroc(thumbnails(pixels, 16).reshape(len(pixels), -1), labels) < 0.995


@pytest.mark.slow
def test_what_the_border_alone_tells_rises_with_confounding():
    tells = [_auroc(_border(pixels), labels) for pixels, labels in (_sample(c) for c in (0.0, 0.6, 1.0))]
    assert tells[0] < 0.62
    assert tells[0] < tells[1] < tells[2]
    assert tells[2] > 0.9
