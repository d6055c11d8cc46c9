"""Parameters, protocols and run configs: what is allowed passes, everything else stops with one sentence."""

import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrlib.config import PROFILES, RUN_PARAMETER, RUN_PARAMETERS, RunConfig
from cxrlib.errors import ParameterError
from cxrlib.parameters import Parameter, check_namespace, check_values
from cxrlib.protocols import CHOICES, PROTOCOLS, Protocol

RESOLVED = {"edition": "phantom", "pretraining": "none"}  # so that no data or weights are looked for
COUNT = Parameter("count", int, 3, "how many", low=1, high=10)
RATE = Parameter("rate", float, 0.5, "how fast", low=0.0, open_low=True, high=1.0, optional=True)
FLAG = Parameter("flag", bool, False, "whether")
KIND = Parameter("kind", str, "a", "which", choices=("a", "b"))


@pytest.mark.parametrize(
    ("parameter", "given", "expected"),
    [
        (COUNT, 1, 1),
        (COUNT, 10, 10),
        (RATE, 1, 1.0),
        (RATE, None, None),
        (FLAG, True, True),
        (FLAG, "true", True),
        (FLAG, "False", False),
        (KIND, "b", "b"),
    ],
)
def test_allowed_values_pass(parameter: Parameter, given: object, expected: object) -> None:
    value = parameter.check(given)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        (COUNT, 0),
        (COUNT, 11),
        (COUNT, 2.0),
        (COUNT, True),
        (COUNT, None),
        (COUNT, "3"),
        (RATE, 0.0),
        (RATE, -1),
        (RATE, float("nan")),
        (RATE, float("inf")),
        (RATE, "0.5"),
        (FLAG, 1),
        (FLAG, "yes"),
        (KIND, "c"),
        (KIND, ["a"]),
    ],
)
def test_other_values_stop_and_say_what_is_allowed(parameter: Parameter, given: object) -> None:
    with pytest.raises(ParameterError) as caught:
        parameter.check(given)
    assert parameter.name in str(caught.value)
    assert parameter.allowed in str(caught.value)


@given(st.integers())
def test_a_range_is_exactly_its_ends(value: int) -> None:
    if 1 <= value <= 10:
        assert COUNT.check(value) == value
    else:
        with pytest.raises(ParameterError):
            COUNT.check(value)


def test_unknown_names_come_with_the_nearest_known_one() -> None:
    with pytest.raises(ParameterError, match=r"^unknown parameter 'bata'; did you mean 'beta'\?$"):
        check_values({"bata": 0.75}, RUN_PARAMETERS)
    with pytest.raises(ParameterError, match="unknown parameter 'zzz'; known are count, rate"):
        check_values({"zzz": 1}, (COUNT, RATE))


def test_what_is_not_given_takes_its_default() -> None:
    assert check_values({"count": 5}, (COUNT, RATE)) == {"count": 5, "rate": 0.5}


def test_a_namespace_may_hold_modules_functions_and_private_names_but_no_other_variable() -> None:
    harmless = {"types": types, "print": print, "_i1": "source", "In": [], "Out": {}, "Parameter": Parameter}
    assert check_namespace({**harmless, "count": 4}, (COUNT,)) == {"count": 4}
    with pytest.raises(ParameterError, match="unknown parameter 'cuont'; did you mean 'count'"):
        check_namespace({**harmless, "cuont": 4}, (COUNT,))


def test_every_default_is_itself_allowed_and_every_parameter_has_help() -> None:
    for parameter in RUN_PARAMETERS:
        assert parameter.check(parameter.default) == parameter.default
        assert parameter.help


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_what_is_not_given_and_yields_to_what_is(profile: str) -> None:
    filled = RunConfig.create(**RESOLVED, profile=profile)
    assert {name: getattr(filled, name) for name in PROFILES[profile]} == PROFILES[profile]
    assert RunConfig.create(**RESOLVED, profile=profile, image_size=48, epochs=2).image_size == 48


def test_a_config_survives_its_dictionary_and_cannot_be_changed() -> None:
    config = RunConfig.create(**RESOLVED, beta=None, seed=7)
    assert RunConfig.from_dict(config.to_dict()) == config
    with pytest.raises(AttributeError):
        config.seed = 8  # type: ignore[misc]
    with pytest.raises(ParameterError, match="seed"):
        config.replace(seed=-1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"beta": -1}, "beta must be a number above 0"),
        ({"beta": 0}, "beta must be a number above 0"),
        ({"model": "resnet5"}, "one of resnet50, acnn, squeezenet"),
        ({"protocol": "dirty"}, "unknown protocol 'dirty'"),
        ({"model": "acnn", "pretraining": "imagenet"}, "does not exist for model 'acnn'"),
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"image_size": 16}, "image_size must be a whole number of at least 32"),
    ],
)
def test_a_wrong_config_stops(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        RunConfig.create(**{**RESOLVED, **wrong})
    assert sentence in str(caught.value)


def test_a_stored_config_with_an_unknown_key_stops_and_a_later_field_takes_its_default() -> None:
    config = RunConfig.create(**RESOLVED)
    values = config.to_dict()
    with pytest.raises(ParameterError, match="no field 'gamma'"):
        RunConfig.from_dict({**values, "gamma": 1})
    assert RunConfig.from_dict({k: v for k, v in values.items() if k != "batch_augmentation"}) == config


def test_an_override_changes_one_field_and_a_vain_one_nothing() -> None:
    changed = Protocol.parse("paper+checkpoint=last")
    assert changed.checkpoint == "last"
    assert {f for f in CHOICES if getattr(changed, f) != getattr(PROTOCOLS["paper"], f)} == {"checkpoint"}
    assert Protocol.parse(f"paper+checkpoint={PROTOCOLS['paper'].checkpoint}") == PROTOCOLS["paper"]


@given(st.permutations(["checkpoint=last", "rotation=random", "split=patient"]))
def test_the_order_of_overrides_does_not_matter(overrides: list[str]) -> None:
    assert Protocol.parse("+".join(["paper", *overrides])) == Protocol.parse(
        "paper+checkpoint=last+rotation=random+split=patient"
    )


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
    assert RUN_PARAMETER["protocol"].check("clean+test_overlap=kept") == "clean+test_overlap=kept"
