"""From a folder and a table to a trained model and its report; the division; the examples; the checklists."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from cxrlib.__main__ import main
from cxrlib.analysis.audit.report import audit
from cxrlib.analysis.audit.table import read_table
from cxrlib.analysis.checklists import FOR_YOU, ITEMS, checklist
from cxrlib.analysis.own import extensions
from cxrlib.analysis.own.command import parameters
from cxrlib.analysis.own.example import PLANTED, write_example
from cxrlib.analysis.own.frozen import deep_features, feature_svm
from cxrlib.analysis.own.report import TITLES, against_baseline, summary_sentence, write_report
from cxrlib.data.division import PARTS, Division, divide, edition_of
from cxrlib.data.readers import CATALOGUE, READERS, own
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError, ParameterError
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import TRUNKS, build_network
from cxrlib.protocols import PROTOCOLS
from cxrlib.training.own import OwnConfig, OwnRun, baseline, by_group, train_own

FAST = {"model": "squeezenet", "pretraining": "none", "image_size": 32, "epochs": 1, "beta": 2.0}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("own") / "data", PLANTED)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("own") / "data", patients=18)


@pytest.fixture(scope="module")
def run(planted: Path) -> OwnRun:
    return train_own(planted, **FAST)


def division_of(folder: Path, protocol: str = "clean", drop_split: bool = False, seed: int = 0) -> Division:
    if drop_split:
        pd.read_csv(folder / "images.csv").drop(columns="split", errors="ignore").to_csv(
            folder / "images.csv", index=False
        )
    edition = edition_of(own.read(folder))
    return divide(edition, open_store(edition.images, 32).quarantined, PROTOCOLS[protocol], seed)


def test_published_parts_are_kept_and_cleaned(planted: Path) -> None:
    division = division_of(planted)
    table = own.read(planted).images.set_index("image_id")
    assert table.loc[division.test["image_id"], "split"].eq("test").all()
    held = [set(getattr(division, name)["component"]) for name in PARTS]
    assert not held[0] & held[1]
    assert not held[2] & (held[0] | held[1])
    assert not division.test["overlap"].any()
    accounted = [*division.left_out["image_id"], *(i for name in PARTS for i in getattr(division, name)["image_id"])]
    assert sorted(accounted) == sorted(table.index)  # nothing lost, nothing twice
    assert set(division.left_out["reason"]) == {
        "truncated file",
        "constant image",
        "no label",
        "its repeats state something else",
        "repeats a picture of its part",
        "shares a patient or picture with a later part",
    }


def test_released_protocol_keeps_what_leaks_and_says_so(planted: Path) -> None:
    assert division_of(planted, "released").test["overlap"].sum() >= 1


def test_without_a_published_split_patients_are_drawn(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "own", patients=15)
    first, again = (division_of(folder, drop_split=True, seed=1) for _ in range(2))
    other = division_of(folder, seed=2)
    assert first.test["image_id"].tolist() == again.test["image_id"].tolist() != other.test["image_id"].tolist()
    assert first.test["label"].value_counts().to_dict() == {"covid": 3, "non_covid": 3}
    assert first.counts()["images"].sum() == 30


def test_too_few_patients_is_one_clear_sentence(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "own", patients=4)
    with pytest.raises(DataError, match="can be divided"):
        division_of(folder, drop_split=True)


def test_a_run_tests_on_unseen_patients_and_repeats_itself(run: OwnRun, planted: Path) -> None:
    test = run.record.test()
    assert set(test["image_id"]) == set(run.division.test["image_id"])
    assert len(test) == run.record.metrics["test"]["n"]
    again = train_own(planted, **FAST).record
    np.testing.assert_array_equal(again.predictions["logit"], run.record.predictions["logit"])
    assert again.key == run.record.key
    assert str(planted) not in json.dumps(dict(run.record.provenance))


def test_the_report_holds_everything_and_adds_up(run: OwnRun, tmp_path: Path) -> None:
    page = write_report(run, tmp_path / "report")
    text = page.read_text()
    assert summary_sentence(run) in text
    assert all(title in text for title in TITLES.values())
    assert "http" not in text.split("<h2>")[0]
    metrics = json.loads((page.parent / "record.json").read_text())["metrics"]["test"]
    predictions = pd.read_csv(page.parent / "predictions.csv").query("split == 'test'")
    called = predictions["probability"] > 0.5
    assert metrics["tp"] == int((called & (predictions["label"] == 1)).sum())
    state = load_file(page.parent / "model.safetensors")
    assert state.keys() == run.network.state_dict().keys()
    row = {"name": "own", **{key: round(metrics[key], 4) for key in ("sensitivity", "specificity", "accuracy")}}
    pd.DataFrame([row]).to_csv(tmp_path / "row.csv", index=False)
    assert audit(read_table(str(tmp_path / "row.csv"), metrics["positives"], metrics["negatives"])).clean


def test_the_baseline_sees_what_thumbnails_show_and_no_more() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    noise = rng.integers(0, 256, (80, 32, 32))
    bright = np.clip(noise + 60 * labels[:, None, None], 0, 255).astype(np.uint8)
    table = pd.DataFrame({"component": np.arange(80)})

    def auroc(pixels: np.ndarray) -> float:
        parts = [Samples(pixels[s], labels[s], table.iloc[s]) for s in (slice(0, 40), slice(40, 80))]
        return float(baseline(*parts)["auroc"])

    assert auroc(bright) > 0.95
    assert 0.2 < auroc(noise.astype(np.uint8)) < 0.8


def test_one_command_writes_the_report(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [text for name, value in FAST.items() for text in ("-p", f"{name}={value}")]
    assert main(["own", str(clean), "--report", str(tmp_path / "report"), *options]) == 0
    assert (tmp_path / "report" / "index.html").is_file()
    assert "AUROC" in capsys.readouterr().out
    assert main(["own", str(clean), "-p", "modle=acnn"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_parameters_of_the_command_line_have_their_types() -> None:
    assert parameters(["beta=None", "epochs=3", "learning_rate=1e-3"]) == {
        "beta": None,
        "epochs": 3,
        "learning_rate": 1e-3,
    }
    with pytest.raises(ParameterError, match="whole number"):
        parameters(["epochs=many"])


@pytest.mark.parametrize(
    "wrong",
    [{"model": "vgg"}, {"pretraining": "chestxray"}, {"model": "acnn", "pretraining": "imagenet"}, {"epochs": 0}],
)
def test_wrong_parameters_stop(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        OwnConfig.of("own", **wrong)


def test_every_example_runs_and_leaves_no_trace(clean: Path, tmp_path: Path) -> None:
    before = [set(registry) for registry in (TRUNKS, PROTOCOLS, CATALOGUE, READERS)]
    table = extensions.run_all(clean, tmp_path, **FAST).set_index("extension")
    assert before == [set(registry) for registry in (TRUNKS, PROTOCOLS, CATALOGUE, READERS)]
    assert (table["lines"] < 30).all()
    assert table.loc["examples/add_collection.py", "collection"] == "clinic"
    assert table.loc["examples/add_model.py", "model"] == "small"
    assert table.loc["examples/add_loss.py", "loss"] == "WeightedBrier"
    assert table.loc["examples/add_protocol.py", "protocol"] == "unstopped"
    assert table["AUROC"].between(0, 1).all()


def test_the_example_loss_is_the_brier_score_weighted() -> None:
    loss = extensions.load("add_loss").WeightedBrier(beta=3.0)
    logits, target = torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([1, 0])
    expected = (3 * 0.25 + torch.tensor(2.0).sigmoid().item() ** 2) / 2
    assert loss(logits, target).item() == pytest.approx(expected)


def test_checklists_are_whole_and_honest(run: OwnRun) -> None:
    assert [len(items) for items in ITEMS.values()] == [42, 52]
    assert [*ITEMS["CLAIM"]] == [str(number) for number in range(1, 43)]
    assert len({item.rstrip("abcdefg") for item in ITEMS["TRIPOD+AI"]}) == 27
    table = checklist(run.record, run.check)
    assert table["by"].eq("you").equals(table["answer"].eq(FOR_YOU))
    answers = table.set_index(["checklist", "item"])["answer"]
    assert answers["CLAIM", "42"] == answers["TRIPOD+AI", "17"] == FOR_YOU
    assert f"{run.record.metrics['test']['sensitivity']:.3f}" in answers["CLAIM", "36"]
    assert "weighted by 2" in answers["TRIPOD+AI", "13"]
    assert "leakage" in answers["TRIPOD+AI", "7"]
    assert checklist(run.record).set_index(["checklist", "item"])["answer"]["TRIPOD+AI", "7"] == FOR_YOU


def test_network_and_baseline_stand_side_by_side(run: OwnRun) -> None:
    table = against_baseline(run)
    assert table.groupby("by").size().to_dict() == {"8 x 8 thumbnails": 4, "network": 4}
    assert (table["low"] <= table["value"]).all()


def test_covidx_trains_as_two_classes_and_is_read_as_three(clean: Path, tmp_path: Path) -> None:
    layout = tmp_path / "COVIDx"
    images = own.read(clean).images.reset_index(drop=True)
    names = {"covid": ["COVID-19"], "non_covid": ["normal", "pneumonia"]}
    for part in ("train", "test"):
        (layout / part).mkdir(parents=True)
        lines = []
        for number, row in images[images["split"] == part].iterrows():
            (layout / part / f"{number}.png").write_bytes(Path(row["path"]).read_bytes())
            kinds = names[row["label"]]
            lines.append(f"p{number} {number}.png {kinds[int(number) % len(kinds)]} cohen")
        (layout / f"{part}_COVIDx9.txt").write_text("\n".join(lines) + "\n")
    run = train_own(layout, **FAST)
    assert run.check.collection.name == run.record.config.edition == "COVIDx"
    table = by_group(run, "finding").set_index("finding")
    assert set(table.index) == {"COVID-19", "normal", "pneumonia"}
    assert table["negatives"].to_dict()["COVID-19"] == 0
    metrics = run.record.metrics["test"]
    called_right = (table["specificity"] * table["negatives"]).sum()
    assert called_right == pytest.approx(metrics["tn"])
    with pytest.raises(ParameterError, match="no column"):
        by_group(run, "colour")


def test_a_ct_collection_passes_through_the_same_table(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "own", patients=15)
    pd.read_csv(folder / "images.csv").assign(modality="CT").to_csv(folder / "images.csv", index=False)
    run = train_own(folder, **FAST)
    assert run.division.test["modality"].eq("CT").all()
    assert run.record.metrics["test"]["n"] == len(run.division.test)


def test_frozen_features_are_the_pooled_trunk_and_the_svm_separates_what_they_separate() -> None:
    network = build_network("resnet50", 32, seed=0)
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 2
    pixels = rng.integers(0, 80, (48, 32, 32)) + 120 * labels[:, None, None]
    table = pd.DataFrame({"component": np.arange(48)})
    parts = [Samples(pixels[s].astype(np.uint8), labels[s], table.iloc[s]) for s in (slice(0, 24), slice(24, 48))]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    features = deep_features(network, parts[0].pixels)
    assert features.shape == (24, 2048)
    with torch.inference_mode():
        images = torch.from_numpy(parts[0].pixels).float().div(255).unsqueeze(1).expand(-1, 3, -1, -1)
        expected = network.eval().trunk(images).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    found = feature_svm(network, *parts, beta=2.0)
    assert found["auroc"] > 0.95
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    shuffled = Samples(parts[0].pixels, rng.permutation(parts[0].labels), parts[0].table)
    assert feature_svm(network, shuffled, parts[1])["auroc"] < found["auroc"]
