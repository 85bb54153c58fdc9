"""Validation of arguments."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.pipeline.functions.argument_validation import ValidatedArguments, validate
from extproc.shared.filter_config import (
    EndpointCall,
    EnumValue,
    HttpMethod,
    Items,
    JsonValue,
    Parameter,
    ParameterType,
    Target,
)


def parameter(
    kind: str,
    *,
    required: bool = True,
    default: str | None = None,
    enum: tuple[EnumValue, ...] = (),
    form: str | None = None,
    items: Items | None = None,
) -> Parameter:
    return Parameter(
        name="x",
        type=ParameterType(kind),
        description="",
        required=required,
        default_json=default,
        enum=enum,
        format=form,
        items=items,
    )


def elements(kind: str, *, enum: tuple[EnumValue, ...] = (), form: str | None = None) -> Items:
    return Items(type=ParameterType(kind), enum=enum, format=form)


def validated(declared: Parameter, value: JsonValue) -> ValidatedArguments:
    call = EndpointCall(endpoint="e", upstream="endpoint_e", method=HttpMethod.POST, path="/")
    return validate(Target(name="t", description="", call=call, parameters=(declared,)), {"x": value, "invented": 1})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", 3, 3),
        ("int", 250.0, 250),
        ("int", "7", 7),
        ("int", "1,500", 1500),
        ("int", "five days", 5),
        ("int", [3], 3),
        ("float", 3, 3.0),
        ("float", "2.5", 2.5),
        ("float", "$1,234.50", 1234.5),
        ("float", "2.5 km", 2.5),
        ("bool", True, True),
        ("bool", "Yes", True),
        ("bool", "false", False),
        ("bool", "off", False),
        ("str", " Paris ", "Paris"),
        ("str", 90210, "90210"),
        ("str", 3.0, "3"),
        ("str", ["Paris"], "Paris"),
        ("str", ["flour", "eggs"], "flour, eggs"),
        ("list", ["a"], ["a"]),
        ("list", '["a", 1]', ["a", 1]),
        ("list", "Paris", ["Paris"]),
        ("list", 5, [5]),
        ("list", "Paris, Rome and Oslo", ["Paris", "Rome", "Oslo"]),
        ("list", ["a", None], ["a"]),
        ("list", [], []),
        ("dict", {"a": 1}, {"a": 1}),
        ("dict", '{"a": 1}', {"a": 1}),
        ("dict", {"a": None, "b": {"c": None, "d": [None, 1]}}, {"b": {"d": [1]}}),
    ],
)
def test_value_is_converted_to_declared_type(kind: str, value: JsonValue, expected: JsonValue) -> None:
    result = validated(parameter(kind), value)
    assert result.arguments == {"x": expected}
    assert json.dumps(result.arguments) == json.dumps({"x": expected})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 2.5),
        ("int", True),
        ("int", "2 or 3"),
        ("int", "some"),
        ("int", "1e400"),
        ("int", [1, 2]),
        ("float", "nan"),
        ("float", float("inf")),
        ("float", 10**400),
        ("int", 10**400),
        ("float", [True]),
        ("bool", "perhaps"),
        ("bool", 1),
        ("str", ""),
        ("str", True),
        ("str", {"a": 1}),
        ("str", ["a", 1]),
        ("list", "Paris, France"),
        ("list", ""),
        ("list", "[1"),
        ("list", {"a": 1}),
        ("list", [None]),
        ("dict", "[1]"),
        ("dict", "{"),
        ("dict", "a: 1"),
        ("int", None),
    ],
)
def test_value_of_another_type_is_missing(kind: str, value: JsonValue) -> None:
    assert validated(parameter(kind), value) == ValidatedArguments({}, ("x",))


@pytest.mark.parametrize(
    ("items", "value", "expected"),
    [
        (elements("int"), ["1", 2.0, "three"], [1, 2, 3]),
        (elements("int"), "1, 2 and 3", [1, 2, 3]),
        (elements("int"), "4, 5", [4, 5]),
        (elements("float"), "1,500", [1500.0]),
        (elements("str"), [90210, "a"], ["90210", "a"]),
        (elements("str", enum=("Red", "Blue")), ["red", "BLUE"], ["Red", "Blue"]),
        (elements("str", form="date"), ["May 3, 2026"], ["2026-05-03"]),
        (elements("dict"), {"a": 1}, [{"a": 1}]),
        (elements("bool"), ["yes"], [True]),
    ],
)
def test_list_elements_are_converted_to_their_type(items: Items, value: JsonValue, expected: JsonValue) -> None:
    result = validated(parameter("list", items=items), value)
    assert json.dumps(result.arguments) == json.dumps({"x": expected})


@pytest.mark.parametrize(
    ("items", "value"),
    [(elements("int"), ["1", "many"]), (elements("str", enum=("a",)), ["a", "b"]), (elements("dict"), ["a"])],
)
def test_one_invalid_element_makes_the_list_missing(items: Items, value: JsonValue) -> None:
    assert validated(parameter("list", items=items), value).missing == ("x",)


def test_invalid_optional_value_gets_default_or_is_left_out() -> None:
    assert validated(parameter("int", required=False, default="5"), "many") == ValidatedArguments({"x": 5}, ())
    assert validated(parameter("int", required=False), "many") == ValidatedArguments({}, ())
    assert validated(parameter("str", required=False, default="null"), None) == ValidatedArguments({"x": None}, ())


@pytest.mark.parametrize(
    ("enum", "value", "expected"),
    [
        (("Celsius", "Fahrenheit"), "celsius", "Celsius"),
        (("one-way", "round_trip"), "One way", "one-way"),
        (("one-way", "round_trip"), "round trips", "round_trip"),
        (("movie", "series"), "movies", "movie"),
        (("N.Y.", "L.A."), "NY", "N.Y."),
        (("1", "2"), 2, "2"),
        ((1, 2), "2", 2),
        ((0.5, 1), "0.50", 0.5),
    ],
)
def test_enum_value_gets_the_spelling_of_its_member(
    enum: tuple[EnumValue, ...], value: JsonValue, expected: JsonValue
) -> None:
    kind = "str" if isinstance(enum[0], str) else "float"
    assert json.dumps(validated(parameter(kind, enum=enum), value).arguments) == json.dumps({"x": expected})


@pytest.mark.parametrize(
    ("enum", "value"),
    [
        (("Celsius",), "kelvin"),
        (("Celsius",), True),
        (("a-b", "ab"), "a b"),
        (("vegetarian",), "non-vegetarian"),
        ((1,), 2),
    ],
)
def test_value_outside_the_enum_or_ambiguous_is_missing(enum: tuple[EnumValue, ...], value: JsonValue) -> None:
    assert validated(parameter("str", enum=enum), value).missing == ("x",)


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
def test_format_is_validated(form: str, good: str, bad: str) -> None:
    assert validated(parameter("str", form=form), good).arguments == {"x": good}
    assert validated(parameter("str", form=form), bad).missing == ("x",)


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("date", "November 22, 2026", "2026-11-22"),
        ("date", "22nd of Nov 2026", "2026-11-22"),
        ("date", "Sunday, Nov. 22 2026", "2026-11-22"),
        ("date", "2026/11/22", "2026-11-22"),
        ("date", "5.6.2026", "2026-06-05"),
        ("date", "11/22/2026", "2026-11-22"),
        ("date", "22/11/2026", "2026-11-22"),
        ("date", "6/6/2026", "2026-06-06"),
        ("date-time", "2026-11-22 10:00", "2026-11-22T10:00"),
        ("time", "3 pm", "15:00:00"),
        ("time", "12:30 a.m.", "00:30:00"),
    ],
)
def test_unambiguous_date_or_time_is_converted_to_its_format(form: str, value: str, expected: str) -> None:
    assert validated(parameter("str", form=form), value).arguments == {"x": expected}


@pytest.mark.parametrize(
    ("form", "value"),
    [("date", "5/6/2026"), ("date", "Nov 22"), ("date", "31.2.2026"), ("time", "13 pm"), ("date-time", "2026-11-22")],
)
def test_ambiguous_or_invalid_date_or_time_is_missing(form: str, value: str) -> None:
    assert validated(parameter("str", form=form), value).missing == ("x",)


def test_unknown_format_is_not_validated() -> None:
    assert validated(parameter("str", form="city, state"), "Seattle, WA").arguments == {"x": "Seattle, WA"}


def test_undeclared_argument_is_dropped() -> None:
    assert "invented" not in validated(parameter("int"), 1).arguments


def test_too_deeply_nested_value_is_missing() -> None:
    deep: Any = None
    for _ in range(100_000):
        deep = {"a": deep}
    assert validated(parameter("dict"), deep).missing == ("x",)
    assert validated(parameter("list"), "[" * 100_000).missing == ("x",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PARAMETERS = st.builds(
    parameter,
    st.sampled_from([kind.value for kind in ParameterType]),
    required=st.booleans(),
    enum=st.lists(st.text(min_size=1) | st.integers(), max_size=3, unique_by=str).map(tuple),
    form=st.none() | st.sampled_from(["date", "time", "date-time", "uri", "city"]),
    items=st.none() | st.builds(elements, st.sampled_from([kind.value for kind in ParameterType])),
)
PYTHON_TYPES = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict}


@given(PARAMETERS, JSON)
@settings(deadline=None)
def test_any_value_is_typed_or_missing_and_validation_is_idempotent(declared: Parameter, value: JsonValue) -> None:
    result = validated(declared, value)
    assert ("x" in result.arguments) or not declared.required or result.missing == ("x",)
    if "x" in result.arguments:
        kept = result.arguments["x"]
        if declared.type is ParameterType.LIST or not declared.enum:
            assert type(kept) is PYTHON_TYPES[declared.type.value]
        else:
            assert kept in declared.enum
        assert validated(declared, kept).arguments == result.arguments


@given(st.integers(-(10**15), 10**15))
def test_thousands_separators_do_not_change_a_number(value: int) -> None:
    for written in (str(value), f"{value:,}", f"{value:,} days", float(value)):
        assert validated(parameter("int"), written).arguments == {"x": value}
