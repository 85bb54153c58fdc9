"""Values that state one number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.pipeline.functions.numerals import parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-3", -3),
        ("−3", -3),  # noqa: RUF001 - the minus sign of typography
        ("1,500.50", 1500.5),
        ("10 000", 10_000),
        ("$1,500", 1500),
        ("EUR 30", 30),
        ("1.5k", 1500),
        ("2.5 million dollars", 2_500_000),
        ("5%", 5),
        ("3rd", 3),
        ("5 m", 5),
        ("20 degrees Celsius", 20),
        ("twenty-five", 25),
        ("minus five", -5),
        ("a dozen eggs", 12),
        ("a hundred and five km", 105),
        ("sixteen hundred", 1600),
        ("two hundred five thousand", 205_000),
    ],
)
def test_parses_a_single_number(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "five or six",
        "one two",
        "2 to 3",
        "2-3",
        "10:30",
        "2026-11-22",
        "room 5",
        "nan",
        "1e400",
        "6'2\"",
        "half",
    ],
)
def test_no_or_several_numbers_return_none(text: str) -> None:
    assert parse_number(text) is None


@given(st.text())
def test_any_text_returns_a_finite_number_or_none(text: str) -> None:
    value = parse_number(text)
    assert value is None or math.isfinite(value)
