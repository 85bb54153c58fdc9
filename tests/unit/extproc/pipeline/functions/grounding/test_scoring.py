"""Support of values by a text: per case a value that the text supports, and a similar one that it does not."""

from __future__ import annotations

import string
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.pipeline.functions.grounding import ParsedText, support_score
from extproc.shared.filter_config import Items, JsonValue, Parameter, ParameterType

TODAY = date(2026, 11, 22)  # a Sunday
T = ParameterType


def parameter(name: str, kind: ParameterType = T.STR, description: str = "", **more: object) -> Parameter:
    return Parameter(name=name, type=kind, description=description, **more)  # type: ignore[arg-type]


def score(of: Parameter, value: JsonValue, text: str) -> float:
    return support_score(of, value, ParsedText(text, TODAY))


def supported(of: Parameter, value: JsonValue, text: str) -> bool:
    return score(of, value, text) >= 0.5


@pytest.mark.parametrize(
    ("text", "value", "nearly"),
    [
        ("15 seats", 15, 50),
        ("fifteen seats", 15, 50),
        ("two hundred and five seats", 205, 250),
        ("twenty-one seats", 21, 20),
        ("a couple of seats", 2, 3),
        ("two dozen seats", 24, 12),
        ("half a million seats", 500_000, 5_000_000),
        ("1,250 seats", 1250, 125),
        ("1.5k seats", 1500, 1.5),
        ("the 3rd seat", 3, 13),
        ("seats 4, 8 and 9", 8, 48),
        ("between five and six thousand", 5000, 500),
        ("minus seven", -7, 7),
        ("5-7 seats", 7, -7),
    ],
)
def test_number_is_supported_in_any_notation(text: str, value: float, nearly: float) -> None:
    of = parameter("value", T.FLOAT, "A number")
    assert supported(of, value, text)
    assert not supported(of, nearly, text)


@pytest.mark.parametrize(
    ("name", "text", "value", "nearly"),
    [
        ("minutes", "for 2 hours", 120, 2),
        ("minutes", "an hour and a half", 90, 60),
        ("minutes", "1 hour 20", 80, 120),
        ("seconds", "three quarters of a minute", 45, 34),
        ("days", "for the next two weeks", 14, 2),
        ("distance_m", "1.5 km", 1500, 1.5),
        ("height_cm", "1m82", 182, 128),
        ("months", "two and a half years", 30, 24),
        ("rate", "4.25 percent", 0.0425, 0.425),
        ("rate", "4.25%", 4.25, 42.5),
        ("rooms", "a room with a view", 1, 2),
        ("children", "no children", 0, 1),
        ("guests", "just me", 1, 2),
        ("year", "on 3 May 2031", 2031, 2030),
    ],
)
def test_number_is_converted_to_the_parameter_unit(name: str, text: str, value: float, nearly: float) -> None:
    of = parameter(name, T.FLOAT, name)
    assert supported(of, value, text)
    assert not supported(of, nearly, text)


@pytest.mark.parametrize(
    ("text", "value", "nearly"),
    [
        ("today", "2026-11-22", "2026-11-23"),
        ("tomorrow", "2026-11-23", "2026-11-22"),
        ("the day after tomorrow", "2026-11-24", "2026-11-23"),
        ("next Friday", "2026-11-27", "2026-11-26"),
        ("last Friday", "2026-11-20", "2026-11-27"),
        ("a week from Tuesday", "2026-12-01", "2026-11-25"),
        ("in three days", "2026-11-25", "2026-11-26"),
        ("two weeks ago", "2026-11-08", "2026-12-06"),
        ("in a month", "2026-12-22", "2026-11-22"),
        ("end of next month", "2026-12-31", "2026-11-30"),
        ("the 3rd of May", "2027-05-03", "2027-05-04"),
        ("May 3rd, 2025", "2025-05-03", "2027-05-03"),
        ("twenty-first of June", "2027-06-21", "2027-06-20"),
        ("05/03/2027", "2027-05-03", "2027-05-05"),
        ("from Dec 12 till the 15th", "2026-12-15", "2026-11-15"),
        ("Christmas Eve", "2026-12-24", "2026-12-25"),
        ("February 29", "2028-02-29", "2027-03-01"),
        ("in 2024", "2024-01-01", "2024-06-01"),
        ("June 2031", "2031-06", "2031-07"),
    ],
)
def test_dates_are_relative_to_today(text: str, value: str, nearly: str) -> None:
    of = parameter("date", description="Which day", format="date")
    assert supported(of, value, text)
    assert not supported(of, nearly, text)


@pytest.mark.parametrize(
    ("text", "value", "nearly"),
    [
        ("at 6pm", "18:00", "06:00"),
        ("at 6:30 a.m.", "06:30", "18:30"),
        ("noon", "12:00", "00:00"),
        ("half past three", "15:30", "14:30"),
        ("quarter to nine in the evening", "20:45", "08:45"),
        ("17:20", "17:20", "17:02"),
        ("3 o'clock", "15:00", "13:00"),
    ],
)
def test_time_of_day_can_be_in_words(text: str, value: str, nearly: str) -> None:
    assert supported(parameter("time"), value, text)
    assert not supported(parameter("time"), nearly, text)


def test_date_time_needs_day_and_time() -> None:
    of = parameter("start", format="date-time")
    assert supported(of, "2026-11-23T09:00:00", "tomorrow at 9am")
    assert not supported(of, "2026-11-23T10:00:00", "tomorrow at 9am")
    assert not supported(of, "2026-11-24T09:00:00", "tomorrow at 9am")
    assert supported(of, "2026-11-23T00:00:00", "tomorrow")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("breakfast", "a room with breakfast", True),
        ("breakfast", "a room without breakfast", False),
        ("breakfast", "I don't need any breakfast", False),
        ("send_receipt", "Please send me the receipt", True),
        ("notifications", "turn notifications off", False),
        ("smoking", "smoking: no", False),
        ("gift_wrap", "yes please", True),
        ("sugar", "make it sugar-free", False),
        ("breakfast", "without breakfast. No, with breakfast after all", True),
    ],
)
def test_boolean_is_read_from_name_and_negation(name: str, text: str, value: bool) -> None:
    of = parameter(name, T.BOOL, "")
    assert supported(of, value, text)
    assert not supported(of, not value, text)


def test_unmentioned_boolean_is_not_supported() -> None:
    of = parameter("pets", T.BOOL, "Whether pets come along")
    assert not supported(of, True, "a hotel in Bonn for two nights")
    assert not supported(of, False, "a hotel in Bonn for two nights")


@pytest.mark.parametrize(
    ("enum", "description", "text", "value"),
    [
        (("celsius", "fahrenheit"), "", "in °C please", "celsius"),
        (("celsius", "fahrenheit"), "", "In Fahrenheit!", "fahrenheit"),
        (("S", "M", "L"), "", "a large one", "L"),
        (("km", "mi"), "", "how many miles", "mi"),
        (("USD", "EUR", "GBP"), "", "in pounds sterling", "GBP"),
        (("en", "de", "fr"), "", "answer in German", "de"),
        (("es-ES", "zh-CN"), "", "I speak Spanish", "es-ES"),
        (("asc", "desc"), "", "in ascending order", "asc"),
        (("x", "y"), "Way to go: 'x' for walking, 'y' for cycling", "I am walking", "x"),
        (("economy", "premium_economy", "business"), "", "business, I think", "business"),
        (("1", "2", "3"), "", "two bedrooms", "2"),
        (("True", "False", "dontcare"), "Whether parking is free", "I need no parking", "False"),
    ],
)
def test_enum_member_has_synonyms(enum: tuple[str, ...], description: str, text: str, value: str) -> None:
    of = parameter("parking" if "True" in enum else "choice", description=description, enum=enum)
    assert supported(of, value, text)
    assert not any(supported(of, other, text) for other in enum if other != value)


@pytest.mark.parametrize(
    ("text", "value", "nearly"),
    [
        ("a train to paris", "Paris", "Parma"),
        ("weather in são paulo", "Sao Paulo", "San Pablo"),
        ("what is on in NYC", "New York City", "New Orleans"),
        ("flights to new york city", "New York City", "York City Hall"),
        ("in the UK", "United Kingdom", "Ukraine"),
        ("holidays in Germany", "DE", "DK"),
        ("into yen", "JPY", "CNY"),
        ("Canadian dollars", "CAD", "USD"),
        ("weather in Seattle", "Seattle, WA", "Portland, WA"),
        ("tomatoes", "tomato", "potato"),
        ("write to anna@example.org", "anna@example.org", "ann@example.org"),
        ("see https://docs.acme.io/start", "docs.acme.io/start", "https://docs.acme.com/start"),
        ("order ab-1207 x", "AB-1207-X", "AB-1270-X"),
        ("call +49 170 555 0199", "+491705550199", "+491705550198"),
        ("the Museum of Art", "Museum of Art", "Museum of Modern Art"),
        ("Tokyo time", "Asia/Tokyo", "Asia/Seoul"),
        ("我想在肯德基买汉堡", "肯德基", "麦当劳"),
    ],
)
def test_text_matches_in_another_spelling(text: str, value: str, nearly: str) -> None:
    assert supported(parameter("text"), value, text)
    assert not supported(parameter("text"), nearly, text)


def test_every_element_and_leaf_must_be_supported() -> None:
    cities = parameter("cities", T.LIST, items=Items(type=T.STR))
    assert supported(cities, ["Tokyo", "Osaka"], "compare tokyo and osaka")
    assert not supported(cities, ["Tokyo", "Kyoto"], "compare tokyo and osaka")
    place = parameter("place", T.DICT)
    assert supported(place, {"street": "12 Rose Street", "city": "Leeds"}, "12 Rose Street in Leeds")
    assert not supported(place, {"street": "12 Rose Street", "city": "London"}, "12 Rose Street in Leeds")


def test_default_is_always_supported() -> None:
    of = parameter("unit", default_json='"celsius"', enum=("celsius", "fahrenheit"))
    assert score(of, "celsius", "hello") == 1.0
    assert score(of, "fahrenheit", "hello") < 0.5


@given(st.integers(min_value=-(10**9), max_value=10**9))
def test_digits_support_their_number_and_not_the_next(number: int) -> None:
    of = parameter("value", T.INT)
    assert supported(of, number, f"make it {number} please")
    assert not supported(of, number + 1, f"make it {number} please")


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)), st.integers(min_value=1, max_value=300))
def test_written_date_supports_itself_only(day: date, off: int) -> None:
    of = parameter("date", format="date")
    for text in (f"on {day:%d %B %Y}", f"on {day:%B %d, %Y}", f"on {day.isoformat()}"):
        assert supported(of, day.isoformat(), text)
        assert not supported(of, (day + timedelta(days=off)).isoformat(), text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# Texts with the characters that the parsers look for.
TEXTS = st.text(max_size=60) | st.text(string.digits + " .,:/-+%$kKmMeE^*apd°½'", max_size=60)


@given(st.sampled_from(list(ParameterType)), VALUES, TEXTS, st.dates())
def test_any_value_and_text_have_a_score(kind: ParameterType, value: JsonValue, text: str, today: date) -> None:
    for enum in ((), ("a", "b"), ("1", "2"), ("True", "False")):
        days = parameter("number_of_days", kind, "Number of days", enum=enum)
        assert 0.0 <= support_score(days, value, ParsedText(text, today)) <= 1.0


WORDS = [
    "in",
    "two",
    "weeks",
    "ago",
    "next",
    "last",
    "friday",
    "may",
    "3rd",
    "of",
    "the",
    "end",
    "month",
    "year",
    "half",
    "past",
    "9",
    "pm",
    "noon",
    "a",
    "dozen",
    "minus",
    "hundred",
    "and",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.dates())
def test_any_order_of_known_words_has_a_score(text: str, today: date) -> None:
    for value in ("2026-11-22", "10:30", "2026-11-22T10:30:00", 7, "May 3"):
        assert 0.0 <= support_score(parameter("when", T.STR, "When"), value, ParsedText(text, today)) <= 1.0
