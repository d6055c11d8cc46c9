"""From a folder and a table to a trained model and its report; the division; the examples; the checklists."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError

from cxrlib.analysis.audit import audit, read_table
from cxrlib.analysis.benchmark.predict import load_model
from cxrlib.analysis.benchmark.submissions import thumbnail_baseline
from cxrlib.analysis.new_data.example import PROBLEMS, write_example
from cxrlib.analysis.new_data.run import (
    FOR_YOU,
    MARKER,
    NewRun,
    against_baseline,
    by_source,
    checklist,
    new_config,
    report_tables,
    train_on,
    write_files,
)
from cxrlib.cli.main import main
from cxrlib.cli.own import plain, read_parameters
from cxrlib.data.division import PARTS, Division, divide
from cxrlib.data.editions import edition_of
from cxrlib.data.readers import CATALOGUE, READERS, own
from cxrlib.data.samples import Samples
from cxrlib.errors import DataError, ParameterError, RecordError
from cxrlib.images.store import open_store
from cxrlib.networks.classifier import TRUNKS
from cxrlib.paths import results_root
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.record import load_record
from cxrlib.training import runs
from tests import extensions

FAST = {
    "model": "squeezenet",
    "pretraining": "none",
    "image_size": 32,
    "epochs": 1,
    "beta": 2.0,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("own") / "data", PROBLEMS)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("own") / "data", patients=18)


@pytest.fixture(scope="module")
def run(planted: Path) -> NewRun:
    return train_on(planted, **FAST)


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


def test_a_run_tests_on_unseen_patients_and_repeats_itself(run: NewRun, planted: Path) -> None:
    test = run.record.test()
    assert set(test["image_id"]) == set(run.division.test["image_id"])
    assert len(test) == run.record.metrics["test"]["n"]
    again = train_on(planted, **FAST).record
    np.testing.assert_array_equal(again.predictions["logit"], run.record.predictions["logit"])
    assert again.key == run.record.key
    assert str(planted) not in json.dumps(dict(run.record.provenance))


def test_the_report_holds_everything_and_adds_up(run: NewRun, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    listed = write_files(run, report_tables(run), folder)
    assert set(listed["file"]) == {path.name for path in folder.iterdir()}
    metrics = json.loads((folder / "record.json").read_text())["metrics"]["test"]
    predictions = pd.read_csv(folder / "predictions.csv").query("split == 'test'")
    positive = predictions["probability"] > 0.5
    assert metrics["tp"] == int((positive & (predictions["label"] == 1)).sum())
    again = load_model(folder)
    assert again.config == run.record.config
    state = run.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.network.state_dict().items())
    row = {"name": "own", **{key: round(metrics[key], 4) for key in ("sensitivity", "specificity", "accuracy")}}
    pd.DataFrame([row]).to_csv(tmp_path / "row.csv", index=False)
    assert audit(read_table(str(tmp_path / "row.csv"), metrics["positives"], metrics["negatives"])).clean
    write_files(run, report_tables(run), folder)  # an earlier report is replaced
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"notes\.txt"):
        write_files(run, report_tables(run), folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_baseline_sees_what_thumbnails_show_and_no_more() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    noise = rng.integers(0, 256, (80, 32, 32))
    bright = np.clip(noise + 60 * labels[:, None, None], 0, 255).astype(np.uint8)
    table = pd.DataFrame({"component": np.arange(80)})

    def auroc(pixels: np.ndarray) -> float:
        parts = [Samples(pixels[s], labels[s], table.iloc[s]) for s in (slice(0, 40), slice(40, 80))]
        return float(thumbnail_baseline(*parts)["auroc"])

    assert auroc(bright) > 0.95
    assert 0.2 < auroc(noise.astype(np.uint8)) < 0.8


@pytest.mark.slow
def test_the_report_is_the_chapter_without_its_explanations(
    clean: Path, phantom_env: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = FAST | {"preparation": "lungs", "recipe": "deepcovid", "beta": None, "learning_rate": 2e-4}
    options = [text for name, value in given.items() for text in ("-p", f"{name}={value}")]
    report = tmp_path / "report"
    assert main(["own", str(clean), "--report", str(report), *options]) in (0, 3)
    page = (report / "index.html").read_text()
    assert "{glue" not in page and "{ref}" not in page and "papermill" not in page.split("<body")[1][:3000]
    assert "AUROC of 0." in page or "AUROC of 1." in page
    config = json.loads((report / "config.json").read_text())["config"]
    assert {name: config[name] for name in given} == given, "a given value wins, also where it is the usual default"
    assert set(json.loads((report / MARKER).read_text())["files"]) == {p.name for p in report.iterdir()} - {MARKER}
    assert str(report) in capsys.readouterr().out
    assert (clean / "images.csv").is_file()
    assert len(list((clean / "images").iterdir())) == 36


@pytest.mark.parametrize("place", ["precious", "data", "parent", "inside", "file"])
def test_a_report_never_replaces_what_is_not_one(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_example(tmp_path / "all" / "data", patients=1)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    report = {
        "precious": tmp_path / "precious", "data": data, "parent": tmp_path / "all", "inside": data / "report",
        "file": tmp_path / "precious" / "thesis.tex",
    }[place]  # fmt: skip
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr("cxrlib.cli.own.execute", lambda *_: pytest.fail("it must be told before the work"))
    assert main(["own", str(data), "--report", str(report)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_results_that_cannot_be_written_are_told_before_training(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_RESULTS", "/proc/none")
    monkeypatch.setattr("cxrlib.analysis.new_data.run.train", lambda *_: pytest.fail("it must be told before training"))
    with pytest.raises(ParameterError, match="cannot be written"):
        train_on(clean, **FAST)


def test_a_disk_that_fills_up_at_the_end_loses_no_record(
    run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_CACHE", str(tmp_path))
    save = runs.save_record

    def full(record: object, root: Path | None = None) -> Path:
        if root is None:
            raise OSError(28, "No space left on device")
        return save(record, root)  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "save_record", full)
    with pytest.raises(RecordError, match=r"No space left on device.*it is kept at"):
        runs.keep(run.record, run.network)
    assert load_record(tmp_path / "unsaved" / run.record.key).metrics == run.record.metrics


def test_weights_that_cannot_be_written_lose_no_record(
    run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path))

    def full(*_: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(runs, "save_state", full)
    with pytest.raises(RecordError, match=r"weights could not be written .No space left.*the record is at"):
        runs.keep(run.record, run.network)
    assert load_record(tmp_path / "local" / run.record.key).metrics == run.record.metrics


def test_changed_copies_never_stand_on_both_sides(tmp_path: Path) -> None:
    """A mirrored copy of a test image, of another patient, is linked to it and so leaves training."""
    folder = write_example(tmp_path / "own", patients=18)
    table = pd.read_csv(folder / "images.csv")
    row = table[table["split"] == "test"].iloc[0]
    ImageOps.mirror(Image.open(folder / row["file"])).save(folder / "images" / "mirrored.png")
    copy = row.to_frame().T.assign(file="images/mirrored.png", patient="somebody else", split="train")
    pd.concat([table, copy]).to_csv(folder / "images.csv", index=False)
    found = train_on(folder, save=False, **FAST)
    assert found.check.verdicts["leakage"].count == 2
    held = {name: set(getattr(found.division, name)["component"]) for name in PARTS}
    assert not held["test"] & (held["train"] | held["valid"])
    assert "own/images/mirrored.png" not in set(found.division.train["image_id"])


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"beta": None}, {"loss": "focal", "beta": None}, {"preparation": "equalised"}])
def test_a_recorded_command_repeats_its_record(changes: dict[str, object], run: NewRun, planted: Path) -> None:
    first = train_on(planted, **(FAST | changes)).record
    command = shlex.split(first.provenance["command"])
    assert command[:5] == ["python", "-m", "cxrlib", "own", planted.name]
    again = train_on(planted, **read_parameters(command[6::2])).record
    assert again.config == first.config
    np.testing.assert_array_equal(again.predictions["logit"], first.predictions["logit"])
    assert not np.array_equal(first.predictions["logit"], run.record.predictions["logit"])
    assert (results_root() / "local" / first.key / "record.json").is_file()


def test_markdown_of_the_book_becomes_plain() -> None:
    text = "(sec-a)=\n# Title\n\n{glue:text}`n:d` images ({numref}`fig-a`), as {cite:p}`x2020` says ({ref}`sec-b`)."
    assert plain(text, {"n": "7"}) == "# Title\n\n7 images, as says."


def test_parameters_of_the_command_line_have_their_types() -> None:
    found = read_parameters(["beta=None", "epochs=3", "learning_rate=1e-3"])
    assert found == {"beta": None, "epochs": 3, "learning_rate": 1e-3}
    for wrong, message in {
        "epochs=many": "whole number",
        "bata=1": "did you mean 'beta'",
        "data=x": "NAME=VALUE",
    }.items():
        with pytest.raises(ParameterError, match=message):
            read_parameters([wrong])


@pytest.mark.parametrize(
    "wrong",
    [{"model": "vgg"}, {"pretraining": "chestxray"}, {"model": "acnn", "pretraining": "imagenet"}, {"epochs": 0}],
)
def test_wrong_parameters_stop(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        new_config(**wrong)


@pytest.mark.slow
def test_every_example_runs_and_leaves_no_trace() -> None:
    before = [set(registry) for registry in (TRUNKS, PROTOCOLS, CATALOGUE, READERS)]
    table = extensions.run_all(**FAST).set_index("extension")
    assert before == [set(registry) for registry in (TRUNKS, PROTOCOLS, CATALOGUE, READERS)]
    assert (table["lines"] < 30).all()
    assert table.loc["examples/add_collection.py", "collection"] == "clinic"
    assert table.loc["examples/add_model.py", "model"] == "small"
    assert table.loc["examples/add_loss.py", "loss"] == "WeightedBrier"
    assert table.loc["examples/add_protocol.py", "protocol"] == "unstopped"
    assert table["AUROC"].between(0, 1).all()


def test_the_example_loss_is_the_brier_score_weighted() -> None:
    loss = extensions.load("add_loss")["WeightedBrier"](beta=3.0)
    logits, target = torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([1, 0])
    expected = (3 * 0.25 + torch.tensor(2.0).sigmoid().item() ** 2) / 2
    assert loss(logits, target).item() == pytest.approx(expected)


def test_checklists_are_whole_and_honest(run: NewRun) -> None:
    listed = checklist(run.record, run.check)
    assert listed["checklist"].value_counts().to_dict() == {"CLAIM": 42, "TRIPOD+AI": 52}
    assert listed.query("checklist == 'CLAIM'")["item"].tolist() == [str(number) for number in range(1, 43)]
    assert listed.query("checklist != 'CLAIM'")["item"].str.rstrip("abcdefg").nunique() == 27
    table = checklist(run.record, run.check)
    assert table["by"].eq("you").equals(table["answer"].eq(FOR_YOU))
    answers = table.set_index(["checklist", "item"])["answer"]
    assert answers["CLAIM", "42"] == answers["TRIPOD+AI", "17"] == FOR_YOU
    assert f"{run.record.metrics['test']['sensitivity']:.3f}" in answers["CLAIM", "36"]
    assert "weighted by 2" in answers["TRIPOD+AI", "13"]
    assert "leakage" in answers["TRIPOD+AI", "7"]


def test_network_and_baseline_stand_side_by_side(run: NewRun) -> None:
    table = against_baseline(run)
    assert table.groupby("by").size().to_dict() == {"8 x 8 thumbnails": 4, "network": 4}
    assert (table["low"] <= table["value"]).all()


def test_a_published_layout_trains_as_two_classes_and_is_read_as_three(clean: Path, tmp_path: Path) -> None:
    layout = tmp_path / "COVIDX-Ray-5K"
    images = own.read(clean).images
    for n, (path, label, part) in enumerate(images[["path", "label", "split"]].dropna().to_numpy()):
        folder = layout / part / ("covid" if label == "covid" else f"non/{('No_Finding', 'Edema')[n % 2]}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"patient{n:05}.png").write_bytes(Path(path).read_bytes())
    run = train_on(layout, **FAST)
    assert run.check.collection.name == "covidx_ray_5k"
    assert set(run.division.test["finding"]) == {"COVID-19", "No Finding", "Edema"}
    table, metrics = by_source(run), run.record.metrics["test"]
    assert (table["specificity"] * table["negatives"]).sum() == pytest.approx(metrics["tn"])


def test_a_ct_collection_passes_through_the_same_table(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "own", patients=15)
    pd.read_csv(folder / "images.csv").assign(modality="CT").to_csv(folder / "images.csv", index=False)
    run = train_on(folder, **FAST)
    assert run.division.test["modality"].eq("CT").all()
    assert run.record.metrics["test"]["n"] == len(run.division.test)
