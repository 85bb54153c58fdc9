"""Numbers, words and dates of a text, and its unused values."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_models.function.evidence import Evidence, leaves
from triton_models.function.number_spans import find_numbers
from triton_models.function.sentences import count_unused_values, sentences_with_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1, b=-3, c=2", [1, -3, 2]),
        ("between -1 and 3", [-1, 3]),
        ("-$100, $40.50 and $1,200", [-100, 40.5, 1200]),
        ("100 million shares, 3k users", [100_000_000, 3000]),
        ("three of twenty-five, two hundred and five, one and two", [3, 25, 205, 1, 2]),
        ("the 16th, 5m, x^2 but not rs603 or A4", [16, 5, 2]),
        ("on 2026-11-22", [2026, 11, 22]),
        ("1e-3 and .5", [0.001, 0.5]),
    ],
)
def test_finds_numbers_in_digits_and_words(text: str, values: list[float]) -> None:
    assert [number.value for number in find_numbers(text)] == values


def test_marks_percentages() -> None:
    assert [number.is_percent for number in find_numbers("5% and 7 percent of 9")] == [True, True, False]


@given(st.text())
def test_number_spans_are_ordered_and_inside_the_text(text: str) -> None:
    spans = find_numbers(text)
    assert all(0 <= number.start < number.end <= len(text) for number in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))


TEXT = "Book two rooms in San Francisco from July 10, 2022 for $1,500 at 8%, with 'sea view'"


@pytest.mark.parametrize(
    "value",
    [2, 1500, 1500.0, 8, 0.08, "San Francisco", "san francisco", "sea views", "2022-07-10", ["sea view", 2], {"a": 8}],
)
def test_contains_values_in_other_forms(value: Any) -> None:
    assert Evidence(TEXT).contains(value)


@pytest.mark.parametrize("value", [3, 15, "Francisco San", "Fran", "2022-08-10", "", None, True, [], ["sea", "land"]])
def test_does_not_contain_other_values(value: Any) -> None:
    assert not Evidence(TEXT).contains(value)


def test_word_about_time_supports_any_date() -> None:
    assert Evidence("next Friday").contains("2026-11-27")


def test_leaves_yields_nested_values() -> None:
    assert list(leaves({"a": [1, {"b": "x"}], "c": None})) == [1, "x", None]


def test_counts_unused_values() -> None:
    evidence = Evidence("Find case 12 in Oslo and 'case 13' in Rome")
    assert count_unused_values(evidence, []) == 5
    assert count_unused_values(evidence, [{"n": 12, "place": "Oslo"}]) == 3
    assert count_unused_values(evidence, [{"n": 12, "place": "Oslo"}, {"n": 13, "place": "Rome", "q": "case"}]) == 0


def test_returns_only_sentences_with_values() -> None:
    text = "Hello there. The first has 5 apples. The second has 7 pears. Thanks!"
    assert sentences_with_values(text) == ["The first has 5 apples.", "The second has 7 pears."]
    assert sentences_with_values("only 5 here. Nothing there.") == []
