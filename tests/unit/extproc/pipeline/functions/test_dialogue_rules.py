"""Rules for answers to a clarification."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extproc.pipeline.functions.dialogue_rules import (
    answer_values,
    cancellation,
    is_agreement,
    is_correction,
    is_question,
    is_refusal,
    is_request,
)
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

TODAY = date(2026, 11, 22)
T = ParameterType


def parameter(name: str, kind: ParameterType = T.STR, **more: object) -> Parameter:
    return Parameter(name=name, type=kind, description=f"The {name}", required=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "new_request"),
    [
        ("never mind", ""),
        ("Nevermind, thanks.", ""),
        ("cancel", ""),
        ("ok, cancel that please", ""),
        ("oh, forget it", ""),
        ("I changed my mind", ""),
        ("no thanks", ""),
        ("forget it, tell me a joke", "tell me a joke"),
        ("never mind. What's the time?", "What's the time?"),
        ("Forget the weather and convert 5 dollars", "convert 5 dollars"),
    ],
)
def test_answer_can_cancel_with_or_without_a_new_request(answer: str, new_request: str) -> None:
    assert cancellation(answer) == new_request


@pytest.mark.parametrize(
    "answer", ["5", "Seattle", "no, Portland", "cancel my card", "stop at Paris", "no", "Nothing Hill"]
)
def test_plain_answer_cancels_nothing(answer: str) -> None:
    assert cancellation(answer) is None


@pytest.mark.parametrize("answer", ["no, make it Portland", "actually 5 days", "Sorry, I meant Rome", "London instead"])
def test_recognises_corrections(answer: str) -> None:
    assert is_correction(answer)


@pytest.mark.parametrize("answer", ["Portland", "no", "not on the terrace", "no onions please", "5 days"])
def test_plain_answer_is_no_correction(answer: str) -> None:
    assert not is_correction(answer)


def test_distinguishes_questions_from_answers_in_their_form() -> None:
    assert is_question("what is the difference between medium and large?")
    assert is_question("Why do you need that?")
    assert not is_question("what about Portland?")
    assert not is_question("which one is up to you")
    assert is_request("tell me a joke")
    assert not is_request("Tellico Plains")


@pytest.mark.parametrize(
    ("requested", "answer", "values"),
    [
        ([parameter("days", T.INT)], "five", {"days": 5}),
        ([parameter("days", T.INT)], "for a week", {"days": 7}),
        ([parameter("days", T.INT)], "5 or 6", {}),
        ([parameter("city")], "it's Portland, please.", {"city": "Portland"}),
        ([parameter("city")], "I don't know", {}),
        ([parameter("city")], "why?", {}),
        ([parameter("city")], "tell me a joke", {}),
        ([parameter("city"), parameter("days", T.INT)], "Seattle for 5 days", {"days": 5}),
        ([parameter("adults", T.INT), parameter("children", T.INT)], "2", {}),
        ([parameter("size", enum=("small", "large"))], "a large one", {"size": "large"}),
        ([parameter("size", enum=("small", "large"))], "small or large", {}),
        ([parameter("breakfast", T.BOOL)], "yes please", {"breakfast": True}),
        ([parameter("breakfast", T.BOOL)], "no, I don't need one", {"breakfast": False}),
        ([parameter("time", format="time")], "at half past six in the evening", {"time": "18:30"}),
        ([parameter("time", format="time")], "at six", {}),
        ([parameter("day", format="date")], "tomorrow", {"day": "2026-11-23"}),
        ([parameter("guests", T.INT), parameter("time", format="time")], "at 7pm", {"time": "19:00"}),
        ([parameter("tags", T.LIST)], "a, b", {}),
    ],
)
def test_reads_unambiguous_values_of_an_answer(
    requested: list[Parameter], answer: str, values: dict[str, JsonValue]
) -> None:
    assert answer_values(requested, answer, TODAY) == values


@given(st.text(max_size=80))
@example("፩")  # a digit that is no decimal
def test_any_answer_can_be_parsed(answer: str) -> None:
    cancellation(answer)
    is_correction(answer)
    is_question(answer)
    is_request(answer)
    for kind in T:
        for form in (None, "date", "time", "date-time"):
            requested = [parameter("value", kind, format=form), parameter("other", kind)]
            assert answer_values(requested, answer, TODAY).keys() <= {"value", "other"}


@pytest.mark.parametrize("answer", ["Yes, please.", "That's correct.", "Sounds good, thanks", "ok"])
def test_agreement(answer: str) -> None:
    assert is_agreement(answer)


@pytest.mark.parametrize("answer", ["Yes, but on Friday instead", "Paris", "No, thanks", "Yesterday"])
def test_no_agreement(answer: str) -> None:
    assert not is_agreement(answer)


@pytest.mark.parametrize("answer", ["No, not now", "no thanks", "Not yet.", "No, I don't want to buy tickets now."])
def test_refusal(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ["No, Portland", "November", "Nothing under 5 stars", "yes"])
def test_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)
