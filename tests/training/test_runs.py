"""One run end to end on phantoms: it trains, it repeats, it is read back, it can be killed."""

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.__main__ import main
from cxrlib.analysis.beta.scores import effective_beta
from cxrlib.config import LOSSES, PREPARATIONS, PROFILES, RunConfig
from cxrlib.data.editions import load_edition
from cxrlib.errors import DataError, ParameterError
from cxrlib.losses.alternatives import ALTERNATIVES, build_alternative
from cxrlib.losses.weighted import build_loss
from cxrlib.records import record as records
from cxrlib.records.provenance import EQUIVALENT
from cxrlib.records.record import load_record, run_folder, run_key
from cxrlib.training import grid, runs, selection, study

TINY = {
    "edition": "phantom",
    "model": "squeezenet",
    "pretraining": "none",
    "image_size": 32,
    "epochs": 2,
    "train_limit": 96,
    "batch_size": 16,
}


@pytest.fixture
def edition(phantom_env, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_RESULTS", str(tmp_path / "results"))
    return load_edition("phantom")


@pytest.mark.parametrize("protocol", ["clean", "paper", "released"])
def test_a_run_leaves_a_whole_record_under_every_protocol(edition, protocol):
    config = RunConfig.create(**TINY, protocol=protocol, beta=None)
    record = runs.run(config, edition)
    test = record.test()
    assert len(record.history) == record.provenance["epochs_run"] <= 2
    assert sum(record.metrics["test"][name] for name in ("tp", "fn", "tn", "fp")) == len(test)
    assert np.allclose(test["probability"], 1 / (1 + np.exp(-test["logit"].astype(float))), atol=1e-6)
    assert not set(record.valid()["component"]) & set(test["component"]) or protocol != "clean"
    if protocol == "clean":
        assert not test["overlap"].any()
    if protocol == "released":
        assert record.provenance["epoch_kept"] == 1
    assert load_record(run_folder(record.key)).metrics == record.metrics
    assert runs.checkpoint_path(record.key).is_file()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(edition):
    config = RunConfig.create(**TINY)
    first = runs.run(config, edition)
    again = runs.run(config, edition, rerun=True)
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    pd.testing.assert_frame_equal(
        first.history.drop(columns="time", errors="ignore"), again.history.drop(columns="time", errors="ignore")
    )
    other = runs.run(config.replace(seed=1), edition)
    assert not np.allclose(other.history["train_loss"], first.history["train_loss"])


def test_a_recorded_run_is_read_and_not_trained_again(edition, monkeypatch):
    config = RunConfig.create(**TINY)
    first = runs.run(config, edition)
    monkeypatch.setattr(runs, "_train", lambda *_: pytest.fail("trained again"))
    assert runs.run(config, edition).metrics == first.metrics


def test_metrics_can_be_recomputed_from_the_predictions(edition):
    record = runs.run(RunConfig.create(**TINY), edition)
    again = runs.evaluate(record.predictions)
    assert again["test"]["tp"] == record.metrics["test"]["tp"]
    assert again["test"]["auroc"] == pytest.approx(record.metrics["test"]["auroc"])


def test_another_editions_data_are_refused(edition):
    with pytest.raises(DataError, match="asks for the open edition"):
        runs.run(RunConfig.create(**{**TINY, "edition": "open"}), edition)


def test_chest_xray_pretraining_is_trained_once_and_handed_over(edition, monkeypatch):
    config = RunConfig.create(**{**TINY, "pretraining": "chestxray"})
    network = runs.initial_network(config, edition)
    random = runs.initial_network(config.replace(pretraining="none"), edition)
    states = network.trunk.state_dict(), random.trunk.state_dict()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    import cxrlib.training.pretraining as module

    monkeypatch.setattr(module, "_pretrain", lambda *_: pytest.fail("trained again"))
    again = runs.initial_network(config, edition)
    assert all(torch.equal(again.trunk.state_dict()[name], value) for name, value in states[0].items())
    assert runs.run_inputs(config, edition)["weights"] == module.pretraining_key(config, edition)


def test_every_loss_has_its_own_key_and_old_keys_stay(edition):
    configs = [RunConfig.create(**TINY, beta=None, loss=loss) for loss in LOSSES]
    keys = [run_key(config, runs.run_inputs(config, edition)) for config in configs]
    assert len(set(keys)) == len(LOSSES) and "betanone" in keys[0] and "focal" in keys[LOSSES.index("focal")]
    without = {name: value for name, value in configs[0].to_dict().items() if name != "loss"}
    assert RunConfig.from_dict(without) == configs[0]


def test_a_loss_beside_a_weight_is_refused():
    with pytest.raises(ParameterError, match="focal' takes no weight: give beta = None"):
        RunConfig.create(**TINY, beta=0.75, loss="focal")


def test_alternatives_train_with_the_training_sets_counts(edition):
    labels = np.r_[np.ones(10, int), np.zeros(40, int)]
    logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for loss in ALTERNATIVES:
        built = runs.run_loss(RunConfig.create(**TINY, beta=None, loss=loss), labels)
        expected = build_alternative(loss, [40, 10])
        target = torch.as_tensor(labels)
        assert torch.equal(built(logits, target), expected(logits, target))
    plain = runs.run_loss(RunConfig.create(**TINY, beta=None, loss="resampled"), labels)
    assert torch.equal(plain(logits, target), build_loss(None, "cross_entropy")(logits, target))


def test_losses_give_different_runs_on_the_same_images(edition):
    records = [
        runs.run(RunConfig.create(**TINY, beta=None, loss=loss), edition) for loss in ("wce", "focal", "resampled")
    ]
    assert len({record.inputs["samples"] for record in records}) == 1
    losses = [record.history["train_loss"].iloc[0] for record in records]
    assert len(set(losses)) == 3
    assert grid.standard(records[0].config.replace(**PROFILES["quick"])) != grid.standard(
        records[1].config.replace(**PROFILES["quick"])
    )
    assert effective_beta(records[0]) == 1 and effective_beta(records[1]) is None


def test_a_record_of_code_that_computes_the_same_is_current(edition, monkeypatch):
    record = runs.run(RunConfig.create(**TINY), edition)
    monkeypatch.setitem(record.provenance, "training_code", "0" * 16)
    assert not record.current
    monkeypatch.setitem(EQUIVALENT, "0" * 16, "runs trained again gave the same predictions")
    assert record.current


def test_the_command_of_a_record_repeats_its_config(edition):
    config = RunConfig.create(**TINY, beta=None, protocol="paper+checkpoint=last")
    words = runs.command(config).split()
    given = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"}
    assert given["beta"] == "None" and given["protocol"] == "paper+checkpoint=last" and given["image_size"] == "32"
    typed = {name: type(getattr(config, name))(value) for name, value in given.items() if name != "beta"}
    assert RunConfig.create(**typed, beta=None) == config


def test_the_grid_lists_what_is_missing_and_stops_at_its_time_limit(edition):
    tiny = [grid.Cell("sweep", RunConfig.create(**TINY, beta=beta)) for beta in grid.BETA_SWEEP[:3]]
    configs = [cell.config for cell in tiny]
    assert study.missing(tiny, edition) == tiny
    assert study.run_cells(configs, edition, seconds=0.0) == 0
    assert study.run_cells(configs[:1], edition) == 1
    assert study.missing(tiny, edition) == tiny[1:]
    assert len(records.all_records()) == 1
    assert [cell["recorded"] for cell in study.make_plan(tiny, edition, "quick")["cells"]] == [True, False, False]


def test_the_list_names_the_loss_and_the_preparation(edition, capsys, monkeypatch):
    for module in (runs, selection):
        monkeypatch.setattr(module, "imagenet_digest", lambda model: "0" * 64)
    assert (
        main(["study", "list", "--profile", "quick", "--edition", "phantom", "--parts", "alternatives", "related"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[-1] for line in lines[1:]}
    assert found == {*LOSSES[1:], *PREPARATIONS[1:]} and len(lines) == 1 + len(LOSSES) + len(PREPARATIONS) - 2


def test_the_grid_holds_every_row_of_table_2_under_three_protocols():
    planned = grid.cells("cpu", "open", seeds=2)
    combined = [cell.config for cell in planned if cell.part == "combined" and cell.config.seed == 0]
    assert len(combined) == (10 + 2) * 3
    assert (combined[0].protocol, combined[0].beta, combined[0].pretraining) == ("clean", 0.75, "imagenet")
    assert len([cell for cell in planned if cell.part == "augmented"]) == 10 * 3 * 2
    sweep = {
        cell.config.beta
        for cell in planned
        if cell.config.protocol == "clean"
        and cell.config.pretraining == "imagenet"
        and cell.config.cohort == "combined"
    }
    assert sweep == {None, *grid.BETA_SWEEP}
    assert len({cell.config for cell in planned}) == len(planned)
