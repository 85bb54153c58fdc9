"""Arguments as declared."""

import json

import pytest

from extproc.contract import EndpointCall, HttpMethod, JsonValue, Parameter, ParameterType, Target
from extproc.pipeline.arguments import Checked, check


def parameter(
    kind: str, *, required: bool = True, default: str | None = None, enum: tuple[str, ...] = (), form: str | None = None
) -> Parameter:
    return Parameter(
        name="x",
        type=ParameterType(kind),
        description="",
        required=required,
        default_json=default,
        enum=enum,
        format=form,
    )


def checked(declared: Parameter, given: JsonValue) -> Checked:
    call = EndpointCall(endpoint="e", cluster="endpoint_e", method=HttpMethod.POST, path="/")
    return check(Target(name="t", description="", call=call, parameters=(declared,)), {"x": given, "invented": 1})


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", 3, 3),
        ("int", 250.0, 250),
        ("int", "7", 7),
        ("float", 3, 3.0),
        ("float", "2.5", 2.5),
        ("bool", True, True),
        ("bool", "Yes", True),
        ("bool", "false", False),
        ("str", " Paris ", "Paris"),
        ("str", 90210, "90210"),
        ("list", ["a"], ["a"]),
        ("list", '["a", 1]', ["a", 1]),
        ("dict", {"a": 1}, {"a": 1}),
        ("dict", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_value_takes_its_declared_type(kind: str, given: JsonValue, value: JsonValue) -> None:
    result = checked(parameter(kind), given)
    assert result.arguments == {"x": value}
    assert json.dumps(result.arguments) == json.dumps({"x": value})


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", 2.5),
        ("int", True),
        ("int", "three"),
        ("int", "1e400"),
        ("float", "nan"),
        ("float", [1]),
        ("bool", "perhaps"),
        ("bool", 1),
        ("str", ""),
        ("str", True),
        ("str", {"a": 1}),
        ("list", "a, b"),
        ("list", {"a": 1}),
        ("dict", "[1]"),
        ("int", None),
    ],
)
def test_a_value_that_cannot_have_the_type_is_asked_for(kind: str, given: JsonValue) -> None:
    assert checked(parameter(kind), given) == Checked({}, ("x",))


def test_an_optional_one_falls_back_to_its_default_or_is_left_out() -> None:
    assert checked(parameter("int", required=False, default="5"), "many") == Checked({"x": 5}, ())
    assert checked(parameter("int", required=False), "many") == Checked({}, ())
    assert checked(parameter("str", required=False, default="null"), None) == Checked({"x": None}, ())


def test_an_enum_is_matched_whatever_the_case_and_given_in_its_own_spelling() -> None:
    declared = parameter("str", enum=("Celsius", "Fahrenheit"))
    assert checked(declared, "celsius").arguments == {"x": "Celsius"}
    assert checked(declared, "kelvin").missing == ("x",)
    assert checked(parameter("int", enum=("1", "2")), 2).arguments == {"x": 2}


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date", "2026-11-22", "tomorrow"),
        ("date-time", "2026-11-22T10:00:00Z", "ten"),
        ("time", "10:30", "25:99"),
        ("email", "a@b.org", "a at b"),
        ("uri", "https://a.org/x", "a b"),
        ("uuid", "12345678-1234-5678-1234-567812345678", "1234"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", "10.0.0.1"),
    ],
)
def test_a_format_is_checked(form: str, good: str, bad: str) -> None:
    assert checked(parameter("str", form=form), good).arguments == {"x": good}
    assert checked(parameter("str", form=form), bad).missing == ("x",)


def test_a_format_that_is_a_hint_to_the_model_is_not_checked() -> None:
    assert checked(parameter("str", form="city, state"), "Seattle, WA").arguments == {"x": "Seattle, WA"}


def test_what_was_not_declared_is_dropped() -> None:
    assert "invented" not in checked(parameter("int"), 1).arguments
