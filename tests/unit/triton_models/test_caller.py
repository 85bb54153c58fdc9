import datetime
import json
from typing import Any

import pytest

from triton_models.errors import RequestError
from triton_models.function.caller import Caller
from triton_models.function.needle import Answer, Proposal

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
    """Stands for Needle: remembers what it was asked, answers what it was given."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.prepared: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def get(self, facts: str, tools: str) -> "FakePool":
        self.prepared.append((facts, tools))
        return self

    def ask(self, text: str, max_new_tokens: int) -> Answer:
        assert max_new_tokens == 64
        self.asked.append(text)
        return self.answer


def call(pool: FakePool, *texts: str, tools: object = (WEATHER,)) -> Any:
    messages = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    caller = Caller(pool, 64, lambda: datetime.date(2026, 11, 22))
    return json.loads(caller.reply(json.dumps({"messages": messages, "tools": tools})))


def test_ungrounded_arguments_are_left_for_the_gateway_to_ask() -> None:
    proposal = Proposal("get_weather", {"location": "Seattle", "days": 3}, ("days",))
    assert call(FakePool(Answer((proposal,), 0.3)), "weather in Seattle") == {
        "tool_calls": [{"name": "get_weather", "arguments": {"location": "Seattle"}}],
        "confidence": 0.3,
    }


def test_arguments_take_the_type_of_the_schema() -> None:
    proposal = Proposal("get_weather", {"location": "Oslo", "days": 5.0, "mood": "good"}, ())
    reply = call(FakePool(Answer((proposal, proposal), 0.9)), "weather in Oslo for 5 days")
    assert reply["tool_calls"] == [{"name": "get_weather", "arguments": {"location": "Oslo", "days": 5}}]


def test_no_tools_answer_at_once() -> None:
    pool = FakePool(Answer((), 0.0))
    assert call(pool, "hello", tools=[]) == {"tool_calls": []}
    assert not pool.prepared


def test_a_function_that_was_not_offered_is_never_called() -> None:
    assert call(FakePool(Answer((Proposal("rm", {}, ()),), 0.9)), "hi")["tool_calls"] == []


def test_the_model_reads_the_day_the_tools_and_the_answers() -> None:
    pool = FakePool(Answer((), 0.5))
    call(pool, "weather in Oslo", "Could you provide the following details days ?", "5")
    assert pool.asked == ["weather in Oslo\ndays: 5"]
    assert pool.prepared[0][0] == "date: 2026-11-22 Sun"
    assert json.loads(pool.prepared[0][1])[0]["name"] == "get_weather"


@pytest.mark.parametrize(
    "request_text",
    ["{", "[]", "{}", '{"messages": {}, "tools": []}', '{"tools": [{}]}', '{"messages": [1], "tools": []}'],
)
def test_a_malformed_request_is_refused_in_words(request_text: str) -> None:
    with pytest.raises(RequestError):
        Caller(FakePool(Answer((), 0.0)), 64).reply(request_text)
