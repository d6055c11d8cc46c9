"""One run end to end on phantoms: it trains, it repeats, it is read back, its command repeats it, nothing is lost."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError, ParameterError, RecordError
from cxrlib.losses.alternatives import ALTERNATIVES
from cxrlib.networks.classifier import build_network
from cxrlib.records.record import checkpoint_path, interrupted, load_record, read_records, run_folder
from cxrlib.training import callbacks, runs
from cxrlib.training.configure import run_config
from cxrlib.training.train import train

TINY = {
    "edition": "phantom", "model": "squeezenet", "pretraining": "none", "image_size": 32, "epochs": 2, "train_limit": 96,
    "batch_size": 16, "precision": "float32",
}  # fmt: skip


@pytest.fixture
def edition(phantom_env, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))
    return load_edition("phantom")


def test_a_run_leaves_a_whole_record_that_repeats_and_is_read_back(edition, monkeypatch):
    config = run_config(**TINY)
    first = runs.run(config, edition)
    again = runs.run(config, edition, rerun=True)
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    assert len(first.history) == first.provenance["epochs_run"] <= 2 and first.provenance["cuda"] is None
    assert first.metrics["test"]["n"] == len(first.test()) and first.predictions["source"].nunique() >= 1
    assert not set(first.valid()["component"]) & set(first.test()["component"]) and not first.test()["overlap"].any()
    assert load_record(run_folder(config, first.inputs)).metrics == first.metrics
    assert checkpoint_path(first.key).is_file()
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained again"))
    assert runs.run(config, edition).metrics == first.metrics


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_to_the_same_numbers(edition, killed_after, monkeypatch):
    config = run_config(**TINY).replace(epochs=4)
    whole = runs.run(config, edition)
    inputs = runs.run_inputs(config, edition)
    begin, state = callbacks.Schedule.before_epoch, interrupted(whole.key)
    with killed_after(2):
        runs.run(config, edition, rerun=True)
    assert state.is_file() and load_record(run_folder(config, inputs)).metrics == whole.metrics
    trained = []
    monkeypatch.setattr(callbacks.Schedule, "before_epoch", lambda self: (begin(self), trained.append(self.epoch)))
    again = runs.run(config, edition, rerun=True)
    assert len(trained) == again.provenance["resumed_after_epochs"] == 2 and not state.exists()
    pd.testing.assert_frame_equal(again.predictions, whole.predictions)
    pd.testing.assert_frame_equal(again.history, whole.history)

    state.parent.mkdir(exist_ok=True)
    state.write_bytes(b"damaged")
    pd.testing.assert_frame_equal(runs.run(config, edition, rerun=True).predictions, whole.predictions)


def test_seed_and_draw_seed_are_two_things(edition):
    base = run_config(**TINY)
    inputs = [runs.run_inputs(config, edition) for config in (base, base.replace(seed=1), base.replace(draw_seed=1))]
    assert inputs[0] == inputs[1] != inputs[2]
    samples = runs.run_samples(base, edition)
    histories = [train(config, samples).history for config in (base, base.replace(seed=1))]
    assert not np.allclose(histories[0]["train_loss"], histories[1]["train_loss"])


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_other_protocols_train_and_released_uses_the_last_epoch(edition, protocol):
    record = runs.run(run_config(**TINY, protocol=protocol, beta=None), edition)
    assert record.config.protocol == protocol
    assert protocol != "released" or record.provenance["epoch_kept"] == 1


def test_losses_give_different_runs_on_the_same_images(edition):
    base = run_config(**{**TINY, "epochs": 1}, beta=None)
    samples = runs.run_samples(base, edition)
    losses = {
        loss: train(base.replace(loss=loss), samples).history["train_loss"].iloc[0]
        for loss in ("wce", "resampled", *ALTERNATIVES)
    }
    assert len(set(losses.values())) == len(losses)


def test_a_frozen_trunk_stays_as_it_was_and_the_head_learns(edition):
    config = run_config(**{**TINY, "image_size": None, "batch_size": None}, beta=None, recipe="deepcovid").replace(
        image_size=32
    )
    samples = runs.run_samples(config, edition)
    trained = train(config, samples)
    from_start = build_network("squeezenet", 32, config.seed, head="native")
    states = [network.state_dict() for network in (trained.network, from_start)]
    trunk = [name for name in states[0] if name.startswith("trunk.")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in trunk)
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0] if name not in trunk)


def test_another_editions_data_are_refused(edition):
    with pytest.raises(DataError, match="asks for the open edition"):
        runs.run(run_config(**{**TINY, "edition": "open"}), edition)


def test_chest_xray_pretraining_is_trained_once_and_its_file_is_named(edition, monkeypatch):
    monkeypatch.setitem(runs.SCHEDULE, "epochs", 1)
    config = run_config(**{**TINY, "pretraining": "chestxray"})
    before = runs.run_inputs(config, edition)["weights"]
    state = runs.initial_trunk(config, edition)
    monkeypatch.setattr(runs, "_pretrain", lambda *_: pytest.fail("trained again"))
    again = runs.initial_trunk(config, edition)
    assert state and again and all(torch.equal(again[name], value) for name, value in state.items())
    assert before == runs.run_inputs(config, edition)["weights"] == runs.pretraining_key(config, edition)
    (stored,) = (runs.results_root() / "pretraining").glob("*.json")
    assert stored.stem == before and len(json.loads(stored.read_text())["trunk_sha256"]) == 64


def test_the_command_of_a_record_repeats_its_config(edition):
    config = run_config(**TINY, beta=None, protocol="paper+checkpoint=last", seed=3)
    words = shlex.split(runs.repeat_command(config))
    given = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"}
    assert given.pop("rerun") == "True" and given["beta"] == "None" and given["precision"] == "float32"
    typed = {name: None if text == "None" else type(getattr(config, name))(text) for name, text in given.items()}
    assert run_config(**typed) == config


def test_what_cannot_be_written_is_said_before_training_and_a_record_is_kept_if_it_fails_after(
    edition, monkeypatch, tmp_path
):
    config = run_config(**TINY)
    (tmp_path / "file").touch()
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "file" / "results"))
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises((ParameterError, NotADirectoryError)):
        runs.run(config, edition)
    monkeypatch.undo()


def test_a_record_that_cannot_be_written_at_the_end_is_kept_in_the_cache(edition, monkeypatch):
    config = run_config(**{**TINY, "epochs": 1})
    save = runs.save_record

    def full(record, root=None):
        if root is None:
            raise OSError(28, "No space left on device")
        return save(record, root)

    monkeypatch.setattr(runs, "save_record", full)
    with pytest.raises(RecordError, match=r"No space left on device.*kept at"):
        runs.run(config, edition)
    kept, _ = read_records(runs.cache_root() / "unsaved")
    assert [record.config for record in kept] == [config]
