"""Parameters, protocols and run configs: what is allowed passes, everything else stops with one sentence."""

import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cxrlib.book.chapter import CHAPTERS, Experiments
from cxrlib.config import (
    IDENTITY,
    PROFILES,
    RunConfig,
    RunParameters,
    checked,
    declarations,
    notebook_parameters,
)
from cxrlib.errors import ParameterError
from cxrlib.protocols import CHOICES, PROTOCOLS, Protocol
from cxrlib.training.configure import resolve, run_config
from tests.builders import make_config

RESOLVED = {"edition": "phantom", "pretraining": "none"}  # so that no data or weights are looked for


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"beta": 1}, 1.0),
        ({"beta": None}, None),
        ({"rerun": "true"}, True),
        ({"rerun": "False"}, False),
        ({"seed": 5}, 5),
    ],
)
def test_allowed_values_pass(given_: dict[str, object], expected: object) -> None:
    value = getattr(checked(Experiments, given_), next(iter(given_)))
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"beta": -1}, "beta must be a number above 0 and of at most 1000000, or None."),
        ({"beta": 0}, "beta must be a number above 0"),
        ({"beta": float("nan")}, "beta must be a number above 0"),
        ({"beta": float("inf")}, "beta must be a number above 0"),
        ({"beta": True}, "beta must be a number above 0"),
        ({"beta": "0.75"}, "beta must be a number above 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0 and of at most 2147483647."),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"seed": 2**31}, "seed must be a whole number"),
        ({"epochs": "3"}, "epochs must be a whole number of at least 1"),
        ({"image_size": 16}, "image_size must be a whole number of at least 32"),
        ({"model": "resnet5"}, "model must be one of auto, resnet50, acnn, squeezenet, vgg19."),
        ({"model": ["acnn"]}, "model must be one of"),
        ({"protocol": "dirty"}, "unknown protocol 'dirty': choose one of released, paper, clean."),
        ({"loss": "focal"}, "loss = 'focal' takes no weight: give beta = None"),
        ({"recipe": "deepcovid"}, "recipe = 'deepcovid' trains without a weight"),
        ({"model": "acnn", "pretraining": "imagenet"}, "does not exist for model 'acnn'"),
        ({"model": "acnn", "head": "native"}, "does not exist for model 'acnn'"),
        ({"bata": 0.75}, "unknown parameter 'bata'; did you mean 'beta'?"),
        ({"zzz": 1}, "unknown parameter 'zzz'; known are "),
        ({"rerun": 1}, "unknown parameter 'rerun'"),
    ],
)
def test_other_values_stop_with_one_sentence_that_says_what_is_allowed(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        checked(RunParameters, wrong)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=50)
@given(st.integers(min_value=-(2**40), max_value=2**40))
def test_a_range_is_exactly_its_ends(value: int) -> None:
    if 0 <= value <= 2**31 - 1:
        assert checked(RunParameters, {"seed": value}).seed == value
    else:
        with pytest.raises(ParameterError):
            checked(RunParameters, {"seed": value})


def test_a_namespace_may_hold_modules_functions_and_private_names_but_no_other_variable() -> None:
    harmless = {"types": types, "print": print, "_i1": "source", "In": [], "Out": {}, "RunConfig": RunConfig}
    assert notebook_parameters(RunParameters, {**harmless, "seed": 4}).seed == 4
    with pytest.raises(ParameterError, match="unknown parameter 'sead'; did you mean 'seed'"):
        notebook_parameters(RunParameters, {**harmless, "sead": 4})


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_default_is_itself_allowed_and_every_parameter_has_a_description(chapter: str) -> None:
    for declared in declarations(CHAPTERS[chapter]):
        assert checked(CHAPTERS[chapter], {declared.name: declared.default}) is not None
        assert declared.description != "None" and declared.allowed


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_what_is_not_given_and_yields_to_what_is(profile: str) -> None:
    filled = run_config(**RESOLVED, profile=profile)
    assert {name: getattr(filled, name) for name in PROFILES[profile]} == PROFILES[profile]
    changed = run_config(**RESOLVED, profile=profile, image_size=48, model="resnet50")
    assert (changed.image_size, changed.model, changed.head) == (48, "resnet50", "released")


def test_the_recipe_of_the_baseline_sets_its_size_rate_and_head() -> None:
    config = run_config(**RESOLVED, profile="cpu", recipe="deepcovid", beta=None)
    assert (config.image_size, config.learning_rate, config.head, config.batch_size) == (224, 1e-4, "native", 20)
    assert run_config(**RESOLVED, recipe="deepcovid", beta=None, image_size=64).image_size == 64
    rate = {"recipe": "deepcovid", "beta": None, "learning_rate": 2e-4}  # the other recipe's rate
    assert run_config(**RESOLVED, **rate).learning_rate == 2e-4
    cell = {declared.name: declared.default for declared in declarations(CHAPTERS["05_experiments"])}
    asked = notebook_parameters(CHAPTERS["05_experiments"], cell | RESOLVED | {"recipe": "deepcovid", "beta": None})
    assert resolve(asked.run).image_size == 224, "a notebook names every parameter, open ones too"


def test_a_config_survives_its_dictionary_cannot_be_changed_and_is_checked_again() -> None:
    config = make_config(beta=None, seed=7, protocol="paper+checkpoint=last")
    assert checked(RunConfig, config.model_dump()) == config and hash(config) == hash(config.replace())
    assert tuple(config.model_dump()) == IDENTITY
    with pytest.raises(ValidationError):
        config.seed = 8  # type: ignore[misc]
    with pytest.raises(ParameterError, match="seed"):
        config.replace(seed=-1)
    with pytest.raises(ParameterError, match="edition is missing"):
        checked(RunConfig, {})


def test_an_override_changes_one_field_and_a_vain_one_nothing() -> None:
    changed = Protocol.parse("paper+checkpoint=last")
    assert {f for f in CHOICES if getattr(changed, f) != getattr(PROTOCOLS["paper"], f)} == {"checkpoint"}
    assert make_config(protocol=f"paper+checkpoint={PROTOCOLS['paper'].checkpoint}").protocol == "paper"


@given(st.permutations(["checkpoint=last", "rotation=random", "split=patient"]))
def test_the_order_of_overrides_does_not_matter(overrides: list[str]) -> None:
    whole = Protocol.parse("paper+checkpoint=last+rotation=random+split=patient")
    assert Protocol.parse("+".join(["paper", *overrides])) == whole


@pytest.mark.parametrize(
    "text", ["", "Paper", "paper+speed=fast", "paper+checkpoint=middle", "paper+checkpoint", "paper+"]
)
def test_a_wrong_protocol_stops(text: str) -> None:
    with pytest.raises(ParameterError):
        Protocol.parse(text)


def test_the_protocols_take_allowed_values_and_differ() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert all(getattr(protocol, field) in allowed for field, allowed in CHOICES.items())
    assert len({tuple(getattr(p, f) for f in CHOICES) for p in PROTOCOLS.values()}) == len(PROTOCOLS)
