"""Conversion of arguments to the types of the schema."""

from typing import Any

import pytest

from triton_models.function.argument_conversion import conform, without_paths, without_unsupported_dates


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (250.0, "integer", 250),
        (2.5, "integer", 2.5),
        ("5", "integer", 5),
        ("five", "integer", "five"),
        ("2.50", "number", 2.5),
        ("1e3", "number", "1e3"),
        ("1234567890123456789", "integer", "1234567890123456789"),
        (True, "integer", True),
        (5, "string", "5"),
        ("TRUE", "boolean", True),
        ("yes", "boolean", "yes"),
        ([1.0, "2"], "array", [1.0, "2"]),
    ],
)
def test_converts_only_without_loss(value: object, kind: str, expected: object) -> None:
    result = conform(value, {"type": kind})
    assert result == expected
    assert type(result) is type(expected)


def test_enum_value_gets_the_spelling_of_its_member() -> None:
    assert conform("CELSIUS", {"type": "string", "enum": ["celsius", "fahrenheit"]}) == "celsius"
    assert conform("kelvin", {"type": "string", "enum": ["celsius"]}) == "kelvin"


def test_converts_inside_objects_and_lists_and_drops_unknown_properties() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"guests": {"type": "array", "items": {"type": "integer"}}, "at": {"type": "object"}},
    }
    assert conform({"guests": [2.0], "at": {"x": 1}, "invented": 1}, schema) == {"guests": [2], "at": {"x": 1}}


def test_removes_ungrounded_paths() -> None:
    arguments = {"location": "Oslo", "days": 3, "guest": {"name": "Ann", "age": 9}, "list": [1, 2]}
    assert without_paths(arguments, ["days", "guest.age", "list[1]", "absent"]) == {
        "location": "Oslo",
        "guest": {"name": "Ann"},
    }


def test_removes_dates_without_a_word_about_time() -> None:
    arguments = {"id": "E1", "start": "2026-11-22"}
    assert without_unsupported_dates(arguments, "onboard the new employee") == {"id": "E1"}
    assert without_unsupported_dates(arguments, "onboard her today") == arguments
    assert without_unsupported_dates(arguments, "onboard her on the 1st") == arguments
