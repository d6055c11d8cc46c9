"""The benchmark kit from end to end on phantoms: split, network, predictions, score; and what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrlib.analysis.benchmark import predict as predicting
from cxrlib.analysis.benchmark.score import (
    COLUMNS,
    paired_tests,
    read_split,
    read_table,
    results_table,
    score,
    split_table,
    write_report,
)
from cxrlib.analysis.benchmark.submissions import read_card, score_submissions
from cxrlib.cli.main import main
from cxrlib.data.editions import load_edition
from cxrlib.data.selection import run_samples
from cxrlib.errors import DataError, ParameterError, WeightsError
from cxrlib.protocols import PROTOCOLS
from cxrlib.records.record import Record, load_record, run_folder
from cxrlib.training.configure import run_config
from cxrlib.training.runs import run

FAST = {
    "edition": "phantom",
    "pretraining": "none",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 32,
    "precision": "float32",
}


@pytest.fixture(scope="module", autouse=True)
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No data but a few phantoms, for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("CXR_PHANTOM_SCALE", "0.05")
        yield


@pytest.fixture(scope="module")
def record(phantoms: None) -> Record:
    """A short run on few phantoms, recorded in the session's results."""
    return run(run_config(**FAST))


@pytest.fixture(scope="module")
def split(phantoms: None) -> pd.DataFrame:
    return split_table(load_edition("phantom"))


def as_predictions(record: Record) -> pd.DataFrame:
    return record.predictions[["split", "image_id", "logit", "probability"]]


def test_the_split_is_the_one_a_run_uses(record: Record, split: pd.DataFrame) -> None:
    samples = run_samples(record.config, load_edition("phantom"))
    assert list(split) == list(COLUMNS)
    for name in ("train", "valid", "test"):
        part, table = split[split["split"] == name], getattr(samples, name)
        assert part["image_id"].tolist() == table.table["image_id"].tolist()
        assert part["label"].tolist() == table.labels.tolist()
        assert part["component"].tolist() == table.table["component"].tolist()


def test_the_open_split_needs_no_image_and_names_every_original() -> None:
    split = split_table(load_edition("open"))
    assert split["split"].value_counts().to_dict() == {"test": 3040, "train": 1876, "valid": 470}
    assert split["repository"].str.fullmatch(r"[\w.-]+/[\w.-]+").all()
    for column in ("sha256", "original_sha256"):
        assert split[column].str.fullmatch("[0-9a-f]{64}").all()
    assert split["commit"].str.fullmatch("[0-9a-f]{40}").all()
    assert not split["overlap"].any()
    assert not set(split.loc[split["split"] == "test", "component"]) & set(
        split.loc[split["split"] != "test", "component"]
    )
    released = split_table(load_edition("open"), "released")
    assert released.loc[released["split"] == "test", "overlap"].any()
    with pytest.raises(ParameterError, match="cohort"):
        split_table(load_edition("open"), cohort="augmented")


def test_a_records_own_predictions_score_to_its_metrics_to_the_last_digit(
    record: Record, split: pd.DataFrame, tmp_path: Path
) -> None:
    parquet = run_folder(record.config, record.inputs) / "predictions.parquet"
    assert score("run", read_table(parquet), split).metrics == record.metrics
    split.to_csv(tmp_path / "split.csv", index=False)
    as_predictions(record).astype({"logit": float, "probability": float}).to_csv(tmp_path / "own.csv", index=False)
    scored = score("run", read_table(tmp_path / "own.csv"), read_split(tmp_path / "split.csv"))
    assert scored.metrics == record.metrics
    assert scored.test()["image_id"].tolist() == record.test()["image_id"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_committed_records_predictions_score_to_its_metrics(protocol: str, project: Path) -> None:
    keys = sorted(path.name for path in (project / "results" / "runs").glob(f"*-combined-*-{protocol}-d0s0-*"))
    record = load_record(project / "results" / "runs" / keys[0])
    split = split_table(load_edition("open"), protocol)
    scored = score("run", as_predictions(record), split)
    assert scored.metrics == record.metrics
    assert split.duplicated(["split", "image_id"]).any() == (protocol != "clean")


BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing": (lambda p: p.drop(p.index[-1]), "lacks 1 images of the split"),
    "doubled": (lambda p: pd.concat([p, p.tail(2)]), "has 2 images twice"),
    "unknown": (
        lambda p: pd.concat([p, p.tail(1).assign(image_id="elsewhere/1")]),
        "has 1 images that are not in the split",
    ),
    "NaN": (
        lambda p: p.assign(probability=p["probability"].mask(p.index == p.index[-1])),
        "is nan; all must be numbers",
    ),
    "text": (lambda p: p.assign(probability="high"), "is high; all must be numbers"),
    "above 1": (lambda p: p.assign(probability=p["probability"] + 1), "all must be numbers from 0 to 1"),
    "below 0": (lambda p: p.assign(probability=-p["probability"]), "all must be numbers from 0 to 1"),
    "logit": (lambda p: p.assign(logit=p["logit"].to_numpy()[::-1] + 1), "are not of one model"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_predictions_are_refused_in_one_sentence(name: str, record: Record, split: pd.DataFrame) -> None:
    change, message = BAD[name]
    with pytest.raises(DataError, match=message):
        score("mine", change(as_predictions(record).drop(columns="split").drop_duplicates("image_id")), split)


def test_training_rows_are_allowed_and_a_split_column_tells_parts_apart(record: Record, split: pd.DataFrame) -> None:
    both = as_predictions(record)
    train = split[split["split"] == "train"].assign(logit=0.0, probability=0.5)[list(both)]
    assert score("run", pd.concat([both, train]), split).metrics == record.metrics


def test_two_files_are_compared_in_pairs_and_the_report_replaces_only_itself(
    record: Record, split: pd.DataFrame, tmp_path: Path
) -> None:
    first = score("first", as_predictions(record), split)
    second = score("second", as_predictions(record).drop(columns="logit").assign(probability=0.4), split)
    tests = paired_tests(first, second)
    assert tests["metric"].tolist() == ["sensitivity", "specificity", "accuracy", "auroc"]
    assert tests["sentence"].str.contains("first").all()
    table = results_table([first, second], [record])
    assert table["by"].value_counts().to_dict() == {"submitted": 2, "recorded": 1}
    own = table.set_index("name")
    pd.testing.assert_series_equal(own.loc["first"].drop("by"), own.loc[record.key].drop("by"), check_names=False)
    for _ in range(2):
        write_report(tmp_path / "report", [first, second], [record])
    (tmp_path / "report" / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"notes\.txt"):
        write_report(tmp_path / "report", [first], [])
    assert (tmp_path / "report" / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_from_splits_to_score_by_command(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split, out, report = (str(tmp_path / name) for name in ("split.csv", "predictions.csv", "report"))
    options = ["splits", "--edition", "phantom", "--images", str(tmp_path / "images"), "--size", "32", "--out", split]
    assert main(options) == 0
    assert main(options) == 2, "nothing is overwritten"
    assert main(["predict", record.key, split, "--out", out]) == 0
    found = pd.read_csv(out).set_index("image_id")
    expected = record.predictions.drop_duplicates("image_id").set_index("image_id")
    assert len(found) == len(pd.read_csv(split))
    np.testing.assert_allclose(found.loc[expected.index, "logit"], expected["logit"], atol=1e-5)
    assert main(["score", out, record.key, "--split", split, "--report", report]) == 0
    assert "test images; " in capsys.readouterr().out
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert record.metrics in metrics.values()
    assert main(["score", str(tmp_path / "no.csv"), "--split", split]) == 2
    assert "there are no predictions" in capsys.readouterr().err


def test_unreadable_images_are_listed_and_a_killed_call_goes_on(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(folder / "sub" / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "sub" / "0.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    monkeypatch.setattr(predicting, "CHUNK", 4)
    whole = tmp_path / "whole.csv"
    assert main(["predict", record.key, str(folder), "--out", str(whole)]) == 3
    assert "cut.png (truncated file)" in capsys.readouterr().err
    assert pd.read_csv(f"{whole}.unreadable.csv")["image_id"].tolist() == ["cut.png"]
    calls = []
    chunk = predicting._predict_chunk

    def killed(*arguments: object) -> pd.DataFrame:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return chunk(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(predicting, "_predict_chunk", killed)
    again = tmp_path / "again.csv"
    assert main(["predict", record.key, str(folder), "--out", str(again)]) == 130
    part = next(tmp_path.glob(".again.csv.*.part"))
    part.write_bytes(part.read_bytes() + b"sub/8.png,0.12")  # a line cut by the kill
    assert main(["predict", record.key, str(folder), "--out", str(again)]) == 3
    assert len(calls) == 2 + 2, "the first chunk is not predicted again"
    assert again.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".again*"))


def test_a_killed_call_on_other_files_is_not_taken_over(record: Record, tmp_path: Path) -> None:
    from PIL import Image

    rng, model = np.random.default_rng(0), predicting.load_model(record.key)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / name / "0.png")
    Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / "elsewhere.png")
    (tmp_path / "b" / "linked").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "gone.png").symlink_to("nowhere.png")
    parts = []
    for name in ("a", "b"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "unlink", lambda path, **_: parts.append(path.name))
            lost = predicting.predict_images(model, predicting.list_images(tmp_path / name), tmp_path / "out.csv")
    assert len({part for part in parts if part.endswith(".part")}) == 2
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["image_id"].tolist() == ["0.png", "linked/0.png"]
    assert lost[["image_id", "reason"]].to_numpy().tolist() == [["gone.png", "missing file"]]


def test_the_key_of_a_doctored_record_is_not_scored(record: Record, split: pd.DataFrame, tmp_path: Path) -> None:
    split.to_csv(tmp_path / "split.csv", index=False)
    parquet = run_folder(record.config, record.inputs) / "predictions.parquet"
    whole = parquet.read_bytes()
    try:
        perfect = record.predictions.assign(logit=lambda p: np.where(p["label"] == 1, 9, -9).astype(np.float32))
        perfect.to_parquet(parquet)
        assert main(["score", record.key, "--split", str(tmp_path / "split.csv")]) == 2
    finally:
        parquet.write_bytes(whole)
    assert main(["score", record.key, "--split", str(tmp_path / "split.csv")]) == 0


def test_models_and_images_that_are_none_are_told_in_one_sentence(record: Record, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no model"):
        predicting.load_model("nothing")
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a network"):
        predicting.load_model(tmp_path)
    with pytest.raises(DataError, match="there is no image"):
        predicting.list_images(tmp_path)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="column path, file or image_id"):
        predicting.list_images(tmp_path / "table.csv")


@pytest.mark.slow
def test_the_submissions_that_ship_are_scored_everywhere(project: Path) -> None:
    cards, scored, aside = score_submissions(load_edition("open"), project / "results" / "submissions")
    assert not aside
    assert {"thumbnails-8x8", "squeezenet-frozen-224"} <= set(cards)
    for one in scored:
        assert one.metrics["test"]["n"] == 3040
        assert 0.5 < one.metrics["test"]["auroc"] < 1


def test_truth_values_count_as_certain_and_components_must_be_whole(split: pd.DataFrame, tmp_path: Path) -> None:
    certain = split[split["split"] != "train"][["split", "image_id"]].assign(probability=split["label"] == 1)
    certain.to_csv(tmp_path / "certain.csv", index=False)
    assert score("certain", read_table(tmp_path / "certain.csv"), split).metrics["test"]["auroc"] == 1
    split.assign(component=split["component"] + 0.5).to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(DataError, match="components must be whole numbers"):
        read_split(tmp_path / "split.csv")
    assert results_table([]).empty


def test_a_wrong_card_or_table_sets_its_submission_aside(project: Path, tmp_path: Path) -> None:
    good = project / "results" / "submissions" / "thumbnails-8x8"
    shutil.copytree(good, tmp_path / "a")
    for name, card in {
        "b": "who: me\n",
        "c": "- 1\n",
        "d": "who: [",
        "e": "who: us\nwhat: a network\nlicence: CC0\nrank: 1\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.yml").write_text(card)
        with pytest.raises(DataError):
            read_card(tmp_path / name / "card.yml")
    cards, scored, aside = score_submissions(load_edition("open"), tmp_path)
    assert list(cards) == [one.name for one in scored] == ["a"]
    assert len(aside) == 4
    assert all(sentence.startswith("submission ") and "\n" not in sentence for sentence in aside)


@pytest.mark.slow
def test_the_example_learns_and_is_scored(
    record: Record, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_PHANTOM_SCALE", "0.3")
    split, out, report = tmp_path / "split.csv", tmp_path / "mine.csv", tmp_path / "report"
    assert main(["splits", "--edition", "phantom", "--images", str(tmp_path / "images"), "--out", str(split)]) == 0
    subprocess.run([sys.executable, project / "examples" / "train_anything.py", split, out], check=True)
    assert main(["score", str(out), "--split", str(split), "--report", str(report)]) == 0
    assert json.loads((report / "metrics.json").read_text())["mine"]["test"]["auroc"] > 0.8
