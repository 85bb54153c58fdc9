"""Calls that a list of the text adds, and texts that must add none."""

from typing import Any

import pytest

from triton_models.function.call_expansion import expand_calls
from triton_models.function.evidence import Evidence

SCHEMAS: dict[str, Any] = {
    "f": {
        "properties": {
            "place": {"type": "string"},
            "n": {"type": "integer"},
            "m": {"type": "integer"},
            "rate": {"type": "number"},
            "size": {"type": "string", "enum": ["small", "large"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["place"],
    }
}


def expanded(text: str, *arguments: dict[str, Any], schemas: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    schemas = schemas or {"f": {**SCHEMAS["f"], "required": []}}
    return [made for _, made in expand_calls([("f", each) for each in arguments], schemas, Evidence(text))]


@pytest.mark.parametrize(
    ("text", "made", "expected"),
    [
        ("the weather in Paris, Rome and Oslo", "Rome", ["Paris", "Rome", "Oslo"]),
        ("Paris, Rome, and Oslo please", "Paris", ["Paris", "Rome", "Oslo"]),
        (
            "events of Abraham Lincoln and George Washington.",
            "Abraham Lincoln",
            ["Abraham Lincoln", "George Washington"],
        ),
        ("in Berlin and Madrid's shops", "Berlin", ["Berlin", "Madrid"]),
        ("for Paris, France and for Rome, Italy", "Rome, Italy", ["Paris, France", "Rome, Italy"]),
        ("for Paris, France and Rome, Italy", "Paris", ["Paris", "Rome"]),
        ("the resistivity of copper and aluminum", "copper", ["copper", "aluminum"]),
        ("cases 28473 and 64725, with details", "28473", ["28473", "64725"]),
        ("play 'Hey Jude' and 'Let It Be'", "Hey Jude", ["Hey Jude", "Let It Be"]),
        ("a list: alpha; beta; gamma.", "beta", ["alpha", "beta", "gamma"]),
    ],
)
def test_makes_a_call_per_list_element_in_text_order(text: str, made: str, expected: list[str]) -> None:
    assert expanded(text, {"place": made}) == [{"place": element} for element in expected]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("in Paris, France", {"place": "Paris"}),
        ("buy shoes and send it home", {"place": "shoes"}),
        ("from Paris to Rome and Oslo", {"place": "Rome", "tags": ["Oslo"]}),
        ("5 km, with 10 minutes and 20 seconds", {"n": 5}),
        ("at 5%, for 10, 20 and 30 years", {"rate": 5.0}),
        ("large and heavy boxes", {"size": "large"}),
        ("not in the text at all", {"place": "Paris"}),
    ],
)
def test_other_texts_add_no_call(text: str, made: dict[str, Any]) -> None:
    assert expanded(text, made) == [made]


def test_splits_two_elements_in_one_value() -> None:
    made = [{"place": "Paris, Rome", "n": 3}, {"place": "Rome", "n": 3}]
    assert expanded("Paris, Rome and Oslo for 3 days", *made) == [
        {"place": place, "n": 3} for place in ("Paris", "Rome", "Oslo")
    ]


def test_expands_numbers_with_units_and_as_shares() -> None:
    assert expanded("for 10, 20 and 30 years", {"n": 10}) == [{"n": 10}, {"n": 20}, {"n": 30}]
    assert expanded("at 5% and 7%", {"rate": 0.05}) == [{"rate": 0.05}, {"rate": 0.07}]


def test_expands_pairs_of_numbers() -> None:
    expected = [{"n": 3, "m": 4}, {"n": 5, "m": 12}]
    assert expanded("sides 3 and 4, 5 and 12", {"n": 3, "m": 4}) == expected
    assert expanded("(3, 4) and (5, 12)", {"n": 3, "m": 4}) == expected


def test_combines_two_lists_but_not_matched_elements() -> None:
    both = expanded("Lakers and Bulls in 2018 and 2020", {"place": "Lakers", "n": 2018}, {"place": "Bulls", "n": 2018})
    assert both == [{"place": place, "n": year} for place in ("Lakers", "Bulls") for year in (2018, 2020)]
    matched = [{"place": "Paris", "n": 1}, {"place": "Rome", "n": 2}]
    assert expanded("Paris, Rome and Oslo, 1 and 2", *matched) == matched


def test_incomplete_call_is_not_expanded() -> None:
    assert expanded("between Paris and Rome for 2 and 3 days", {"n": 2}, schemas=SCHEMAS) == [{"n": 2}]


def test_too_long_list_is_not_expanded() -> None:
    text = ", ".join(str(number) for number in range(10, 40)) + " and 40"
    assert expanded(text, {"n": 10}) == [{"n": 10}]


def test_continues_an_incomplete_series() -> None:
    text = (
        "the first weighs 85 kg and has 175 cm, the second 60 kg and 160 cm, the third 90 kg and 185 cm, within 2 days"
    )
    made = [{"n": 85, "m": 175}, {"n": 60, "m": 160}]
    assert expanded(text, *made) == [*made, {"n": 90, "m": 185}]
    assert expanded(text, {"n": 85, "m": 160}, {"n": 60, "m": 175}) == [{"n": 85, "m": 160}, {"n": 60, "m": 175}]


def test_bracketed_groups_are_calls_even_if_mixed() -> None:
    expected = [{"n": 45, "m": 60}, {"n": 81, "m": 63}]
    assert expanded("the pairs (45, 60) and (81, 63)", {"n": 45, "m": 63}) == expected


def test_respectively_combines_lists_element_by_element() -> None:
    text = "Drama and Comedy of 2010 and 2012 respectively"
    expected = [{"place": "Drama", "n": 2010}, {"place": "Comedy", "n": 2012}]
    assert expanded(text, {"place": "Drama", "n": 2010}) == expected


def test_or_does_not_expand() -> None:
    assert expanded("roots, real or complex", {"place": "real"}) == [{"place": "real"}]
