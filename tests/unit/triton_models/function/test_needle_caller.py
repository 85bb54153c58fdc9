"""Needle's replies to requests, with a fake engine."""

import datetime
import json
from typing import Any

import pytest

from triton_models.errors import RequestError
from triton_models.function.needle import NeedleAnswer, Proposal
from triton_models.function.needle_caller import NeedleCaller

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather forecast",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["location", "days"],
        },
    },
}


class FakePool:
    """Fake Needle: records the prompts, returns the given answers."""

    def __init__(self, answer: NeedleAnswer, parts: dict[str, NeedleAnswer] | None = None) -> None:
        self.answer = answer
        self.parts = parts or {}
        self.prepared: list[tuple[str, str]] = []
        self.prompts: list[str] = []

    def get(self, facts: str, tools: str) -> "FakePool":
        self.prepared.append((facts, tools))
        return self

    def complete(self, text: str, max_new_tokens: int) -> NeedleAnswer:
        assert max_new_tokens == 64
        self.prompts.append(text)
        return self.parts.get(text, self.answer)


def call(pool: FakePool, *texts: str, tools: object = (WEATHER,)) -> Any:
    messages = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    caller = NeedleCaller(pool, 64, lambda: datetime.date(2026, 11, 22))
    return json.loads(caller.reply(json.dumps({"messages": messages, "tools": tools})))


def test_ungrounded_arguments_are_removed() -> None:
    proposal = Proposal("get_weather", {"location": "Seattle", "days": 3}, ("days",))
    assert call(FakePool(NeedleAnswer((proposal,), 0.3)), "weather in Seattle") == {
        "tool_calls": [{"name": "get_weather", "arguments": {"location": "Seattle"}}],
        "confidence": 0.3,
    }


def test_arguments_are_converted_to_the_schema() -> None:
    proposal = Proposal("get_weather", {"location": "Oslo", "days": 5.0, "mood": "good"}, ())
    reply = call(FakePool(NeedleAnswer((proposal, proposal), 0.9)), "weather in Oslo for 5 days")
    assert reply["tool_calls"] == [{"name": "get_weather", "arguments": {"location": "Oslo", "days": 5}}]


def test_request_without_tools_needs_no_engine() -> None:
    pool = FakePool(NeedleAnswer((), 0.0))
    assert call(pool, "hello", tools=[]) == {"tool_calls": []}
    assert not pool.prepared


def test_unoffered_function_is_never_called() -> None:
    assert call(FakePool(NeedleAnswer((Proposal("rm", {}, ()),), 0.9)), "hi")["tool_calls"] == []


def test_model_reads_tools_and_labelled_answers() -> None:
    pool = FakePool(NeedleAnswer((), 0.5))
    call(pool, "weather in Oslo", "Could you provide the following details days ?", "5")
    assert pool.prompts == ["weather in Oslo\ndays: 5"]
    assert json.loads(pool.prepared[0][1]) == [WEATHER["function"]]


@pytest.mark.parametrize(
    "text", ["weather in Oslo on Friday", "weather next week", "weather on 3 May", "from 5/6/2026"]
)
def test_model_knows_the_date_if_the_text_speaks_of_dates(text: str) -> None:
    pool = FakePool(NeedleAnswer((), 0.5))
    call(pool, text)
    assert pool.prepared[0][0] == "date: 2026-11-22 Sun"


@pytest.mark.parametrize("text", ["weather in Oslo for 5 days", "May I order 3 maps?", "a sunny place at 7 pm"])
def test_other_texts_get_the_same_answer_every_day(text: str) -> None:
    pool = FakePool(NeedleAnswer((), 0.5))
    call(pool, text)
    assert pool.prepared[0][0] == ""


def test_tools_in_another_order_are_not_read_again() -> None:
    pool = FakePool(NeedleAnswer((), 0.5))
    other = {"type": "function", "function": {**WEATHER["function"], "name": "get_alerts"}}
    call(pool, "weather in Oslo", tools=(WEATHER, other))
    call(pool, "weather in Oslo", tools=(other, WEATHER))
    assert pool.prepared[0] == pool.prepared[1]


@pytest.mark.parametrize(
    "request_text",
    ["{", "[]", "{}", '{"messages": {}, "tools": []}', '{"tools": [{}]}', '{"messages": [1], "tools": []}'],
)
def test_malformed_request_raises_request_error(request_text: str) -> None:
    with pytest.raises(RequestError):
        NeedleCaller(FakePool(NeedleAnswer((), 0.0)), 64).reply(request_text)


def weather(location: str, days: int | None = None) -> Proposal:
    return Proposal("get_weather", {"location": location, **({} if days is None else {"days": days})}, ())


def test_list_elements_become_calls() -> None:
    reply = call(FakePool(NeedleAnswer((weather("Oslo", 5),), 0.9)), "weather in Oslo, Rome and Paris for 5 days")
    assert [made["arguments"] for made in reply["tool_calls"]] == [
        {"location": place, "days": 5} for place in ("Oslo", "Rome", "Paris")
    ]


def test_ungrounded_argument_in_the_text_is_kept() -> None:
    proposal = Proposal("get_weather", {"location": "Oslo", "days": -3}, ("location", "days"))
    reply = call(FakePool(NeedleAnswer((proposal,), 0.5)), "weather in Oslo, days=-3")
    assert reply["tool_calls"][0]["arguments"] == {"location": "Oslo", "days": -3}


FIRST, SECOND = "For the first trip I need 5 days of Oslo.", "For the second one 7 days of Rome."


def test_reads_sentence_by_sentence_if_values_are_unused() -> None:
    parts = {FIRST: NeedleAnswer((weather("Oslo", 5),), 0.8), SECOND: NeedleAnswer((weather("Rome", 7),), 0.6)}
    pool = FakePool(NeedleAnswer((weather("Oslo", 7),), 0.4), parts)
    reply = call(pool, f"{FIRST} {SECOND}")
    assert [made["arguments"] for made in reply["tool_calls"]] == [
        {"location": "Oslo", "days": 5},
        {"location": "Rome", "days": 7},
    ]
    assert reply["confidence"] == 0.6
    assert pool.prompts == [f"{FIRST} {SECOND}", FIRST, SECOND]


def test_sentence_inherits_required_values_of_the_previous_one() -> None:
    parts = {FIRST: NeedleAnswer((weather("Oslo", 5),), 0.8), SECOND: NeedleAnswer((weather("Rome"),), 0.6)}
    reply = call(FakePool(NeedleAnswer((weather("Oslo"),), 0.4), parts), f"{FIRST} {SECOND}")
    assert reply["tool_calls"][1]["arguments"] == {"location": "Rome", "days": 5}


def test_uncertain_answer_by_sentence_is_discarded() -> None:
    parts = {FIRST: NeedleAnswer((weather("Oslo", 5),), 0.8), SECOND: NeedleAnswer((weather("Rome", 7),), 0.1)}
    reply = call(FakePool(NeedleAnswer((weather("Oslo", 5),), 0.4), parts), f"{FIRST} {SECOND}")
    assert [made["arguments"] for made in reply["tool_calls"]] == [{"location": "Oslo", "days": 5}]


def test_text_without_unused_values_is_read_once() -> None:
    pool = FakePool(NeedleAnswer((weather("Oslo", 5), weather("Rome", 7)), 0.9))
    call(pool, f"{FIRST} {SECOND}")
    assert len(pool.prompts) == 1


def test_confidence_of_several_calls_is_per_call() -> None:
    reply = call(
        FakePool(NeedleAnswer((weather("Oslo", 5), weather("Rome", 7)), 0.25)), "5 days of Oslo, 7 days of Rome"
    )
    assert reply["confidence"] == 0.5


def test_unsure_answer_is_read_again_without_required_values() -> None:
    pool = FakePool(NeedleAnswer((Proposal("get_weather", {"location": "Oslo", "days": 3}, ("days",)),), 0.05))
    assert call(pool, "weather in Oslo")["confidence"] == 0.05
    required = [json.loads(tools)[0]["parameters"]["required"] for _, tools in pool.prepared]
    assert required == [["location", "days"], []]


def test_sure_answer_is_read_once() -> None:
    pool = FakePool(NeedleAnswer((Proposal("get_weather", {"location": "Oslo", "days": 5}, ()),), 0.5))
    call(pool, "weather in Oslo for 5 days")
    assert len(pool.prepared) == 1
