"""Correction of badly copied arguments."""

from typing import Any

import pytest

from triton_models.function.argument_repair import repair_arguments
from triton_models.function.evidence import Evidence


def one(text: str, value: Any, **declared: Any) -> Any:
    schema = {"properties": {"x": declared}, "required": ["x"]}
    return repair_arguments({"x": value}, schema, Evidence(text))["x"]


def test_percentage_is_a_share_for_a_rate_and_a_number_for_percent() -> None:
    rate = {"type": "number", "description": "The annual interest rate"}
    assert one("at 8%", 8.0, **rate) == 0.08
    assert one("at 8%", 0.08, **rate) == 0.08
    assert one("at 8", 8.0, **rate) == 8.0
    assert one("at 8%", 0.08, type="number", description="The rate in percent") == 8.0
    assert one("at 8%", 8.0, type="number", description="The rate in percent, 0.08 for 8%") == 0.08
    assert one("humidity of 60%", 60.0, type="number", description="Humidity") == 60.0


def test_completes_a_partly_copied_code() -> None:
    assert one("SNP rs6034464 please", "s6034464", type="string") == "rs6034464"
    assert one("the superconductors", "conductor", type="string") == "conductor"
    assert one("either ab-1234x or b-1234y", "b-1234", type="string") == "b-1234"
    assert one("ids rs111 and rs2222", ["s2222"], type="array") == ["rs2222"]


@pytest.mark.parametrize(
    ("text", "value", "kind", "expected"),
    [
        ("he is 5.6 feet tall", 5, "number", 5.6),
        ("x = -3", 3, "integer", -3),
        ("5.6 feet", 5, "integer", 5),
        ("5.6 or 5.7 feet", 5, "number", 5),
        ("7 days", 5, "integer", 5),
    ],
)
def test_completes_a_partly_copied_number(text: str, value: float, kind: str, expected: float) -> None:
    assert one(text, value, type=kind) == expected


def test_completes_a_partly_copied_list_of_numbers() -> None:
    assert one("of [7, 8, 9, 8, 7]", [7, 8, 9], type="array") == [7, 8, 9, 8, 7]
    assert one("flows of -$100, $40 and $60", [-100.0, 40.0], type="array") == [-100.0, 40.0, 60.0]
    assert one("[1, 2, 3] and then [1, 2, 4]", [1, 2], type="array") == [1, 2]


@pytest.mark.parametrize(
    ("pattern", "expected"), [("MM-DD-YYYY", "11-22-2026"), ("dd/mm/yyyy", "22/11/2026"), ("YYYY-MM-DD", "2026-11-22")]
)
def test_date_gets_the_pattern_of_the_description(pattern: str, expected: str) -> None:
    assert one("on 2026/11/22", "2026/11/22", type="string", description=f"The date, {pattern}") == expected


def test_removes_an_optional_number_that_repeats_another() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}
    assert repair_arguments({"a": 440, "b": 440}, schema, Evidence("at 440 Hz")) == {"a": 440}
    assert repair_arguments({"a": 5, "b": 5}, schema, Evidence("5 by 5")) == {"a": 5, "b": 5}


def test_boolean_named_without_negation_is_true() -> None:
    schema = {"properties": {"include_history": {"type": "boolean"}}}
    assert repair_arguments({}, schema, Evidence("with its history")) == {"include_history": True}
    assert repair_arguments({}, schema, Evidence("without any history")) == {}
    assert repair_arguments({}, schema, Evidence("with prehistory")) == {}


def test_only_missing_count_gets_the_only_unused_number() -> None:
    schema = {"properties": {"topic": {"type": "string"}, "limit": {"type": "integer"}, "year": {"type": "integer"}}}
    given = {"topic": "jogging", "year": 2020}
    assert repair_arguments(given, schema, Evidence("three facts on jogging in 2020")) == {**given, "limit": 3}
    assert repair_arguments(given, schema, Evidence("3 or 4 facts on jogging in 2020")) == given


def test_enum_values_of_the_text_replace_others() -> None:
    features = {"type": "array", "items": {"type": "string", "enum": ["Camping", "Scenic View", "Fishing", "Dog Park"]}}
    text = "a park with camping and scenic views"
    assert one(text, ["Camping", "Camping", "Fishing"], **features) == ["Camping", "Scenic View"]
    assert one("a park with dogs", ["Dog Park", "Fishing"], **features) == ["Dog Park", "Fishing"]
    colour = {"type": "string", "enum": ["red", "blue"]}
    assert one("the blue one", "red", **colour) == "blue"
    assert one("red or blue", "red", **colour) == "red"
    assert one("some colour", "red", **colour) == "red"
    assert one("fish and fish", ["fish", "fish"], type="array") == ["fish"]
    assert one("2 and 2", [2, 2], type="array") == [2, 2]


def test_removes_articles_and_the_noun_of_the_parameter() -> None:
    schema = {
        "properties": {"energy_type": {"type": "string"}, "city": {"type": "string"}, "topic": {"type": "string"}}
    }
    given = {"energy_type": "renewable energy", "city": "New York City", "topic": "the theory of evolution"}
    kept = {"energy_type": "renewable", "city": "New York City", "topic": "theory of evolution"}
    assert repair_arguments(given, schema, Evidence("anything")) == kept
    assert repair_arguments({"city": "The Hague", "energy_type": "energy"}, schema, Evidence("")) == {
        "city": "The Hague",
        "energy_type": "energy",
    }
