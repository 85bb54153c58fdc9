"""Calls of prompt targets through the running stack: several at once, with their own headers, time and retries."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.dataplane.gateway import KEYS
from tests.dataplane.stack import Stack
from tests.dataplane.test_ingress import ATTACK, WEATHER, chunks_of, initial_state, user
from tests.support.api_server import ApiServer
from tests.support.behaviour import CUT_BEFORE_ANSWER, NEVER, Behaviour
from tests.support.llm_provider import LlmProvider
from tests.support.received import Outcome

TWO_CITIES = "What is the weather forecast for Paris for the next 3 days and for London for the next 5 days?"
PARCEL = "Where is my parcel AB1234?"
HAIKU = "Write a haiku about autumn leaves"
PARIS, LONDON = '"city":"Paris"', '"city":"London"'


# Several calls of one prompt.


def test_one_prompt_asks_for_two_calls_and_the_answers_are_joined_in_their_order(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    api.on(PARIS, Behaviour(text="sun", first_byte_delay=0.5))
    api.on(LONDON, Behaviour(text="rain"))
    answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert {(call.json()["city"], call.json()["days"]) for call in api.received.all()} == {("Paris", 3), ("London", 5)}
    (asked,) = provider.received.all()
    said = asked.json()["messages"][-1]["content"]
    assert said.startswith(f"{TWO_CITIES}\ncontext: get_weather_forecast {{")
    assert said.index("sun") < said.index("rain")
    call, first, second = initial_state(answer.json()["metadata"])
    cities = [json.loads(each["function"]["arguments"])["city"] for each in call["tool_calls"]]
    assert cities == ["Paris", "London"]
    assert [json.loads(each["content"])["text"] for each in (first, second)] == ["sun", "rain"]
    assert [first["tool_call_id"], second["tool_call_id"]] == [each["id"] for each in call["tool_calls"]]


def test_a_stream_has_both_calls_in_its_state(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    text = stack.post("ingress", {"messages": user(TWO_CITIES), "stream": True}).text
    call, first, second = initial_state(chunks_of(text)[0]["metadata"])
    assert len(call["tool_calls"]) == 2
    assert [json.loads(each["content"])["arguments"]["city"] for each in (first, second)] == ["Paris", "London"]


def test_both_calls_are_under_way_at_the_same_time_and_neither_hangs(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    with ThreadPoolExecutor() as pool, api.answering(NEVER):
        asking = pool.submit(stack.post, "ingress", {"messages": user(TWO_CITIES)})
        received = api.received.wait(2, 60)
        assert [each.outcome for each in received] == [Outcome.OPEN, Outcome.OPEN]
        answer = asking.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert answer.headers["x-function-error-code"] == "504"
    assert provider.received.all() == []


def test_one_failed_call_of_two_is_the_answer(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    api.on(LONDON, Behaviour(status=404))
    answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert answer.status_code == 404
    assert answer.headers["x-function-error-code"] == "404"
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert api.received.total == 2
    assert provider.received.all() == []


def test_answers_of_half_a_mebibyte_each_reach_llm_and_client(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    with api.answering(Behaviour(raw='"' * (500 << 10), content_type="text/plain")):
        answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
        assert [len(message["content"]) for message in initial_state(answer.json()["metadata"])[1:]] == [500 << 10] * 2
    with api.answering(Behaviour(raw="x" * (600 << 10), content_type="text/plain")):
        refused = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "bad_upstream_answer")


# What a target's endpoint says.


def test_an_api_gets_its_own_headers_and_nothing_else_of_the_clients(stack: Stack, api: ApiServer) -> None:
    stack.post("ingress", {"messages": user(PARCEL)}, {"x-parcel-token": "forged", "x-other": "x"})
    (call,) = api.received.all()
    assert (call.method, call.path, call.json()) == ("POST", "/parcels/AB1234", {"messages": user(PARCEL)})
    assert call.header("x-parcel-token") == KEYS["PARCEL_TOKEN"]
    assert call.header("x-parcel-client") == "archgw tests"
    assert call.header("x-other") is None
    api.reset()
    stack.post("ingress", {"messages": user(WEATHER)})
    (other,) = api.received.all()
    assert other.header("x-parcel-token") is None


@pytest.mark.parametrize("fault", [Behaviour(status=503), CUT_BEFORE_ANSWER, NEVER], ids=["503", "cut", "never"])
def test_a_call_with_retries_is_repeated(stack: Stack, provider: LlmProvider, api: ApiServer, fault: Behaviour) -> None:
    api.next(fault, fault)
    answer = stack.post("ingress", {"messages": user(PARCEL)})
    assert answer.status_code == 200
    assert api.received.total == 3
    assert "/parcels/AB1234" in provider.received.all()[0].json()["messages"][-1]["content"]


def test_a_large_call_is_repeated_too(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'iVBORw0KGgoA' * (200 << 10)}"}}
    api.next(Behaviour(status=503))
    answer = stack.post("ingress", {"messages": user([{"type": "text", "text": PARCEL}, picture])})
    assert answer.status_code == 200
    first, second = api.received.all()
    assert first.body == second.body
    assert len(second.body) > 2 << 20


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(Behaviour(status=503), 503, "api_error"), (NEVER, 504, "upstream_timeout")],
    ids=["503", "never"],
)
def test_retries_and_time_come_to_an_end(
    stack: Stack, api: ApiServer, fault: Behaviour, status: int, code: str
) -> None:
    with api.answering(fault):
        answer = stack.post("ingress", {"messages": user(PARCEL)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert api.received.total == 3


@pytest.mark.parametrize(
    ("fault", "status"), [(Behaviour(status=503), 503), (CUT_BEFORE_ANSWER, 502)], ids=["503", "cut"]
)
def test_a_call_without_retries_is_made_once(stack: Stack, api: ApiServer, fault: Behaviour, status: int) -> None:
    api.next(fault)
    assert stack.post("ingress", {"messages": user(WEATHER)}).status_code == status
    assert api.received.total == 1


# Targets and drift, as endpoints and clients are told.

TARGET, DRIFT = "x-arch-prompt-target", "x-arch-intent-drift"


@pytest.mark.parametrize("stream", [False, True])
def test_target_and_drift_are_told_over_the_turns_of_a_conversation(
    stack: Stack, provider: LlmProvider, api: ApiServer, stream: bool
) -> None:
    seen = []
    metadata: dict[str, Any] = {}
    for said in (WEATHER, PARCEL, "And where is my parcel ZX9876?"):
        answer = stack.post("ingress", {"messages": user(said), "metadata": metadata, "stream": stream})
        (call,) = api.received.all()
        client = [answer.headers.get(name) for name in (TARGET, DRIFT)]
        assert client == [call.header(name) for name in (TARGET, DRIFT)]
        seen.append(client)
        metadata = (chunks_of(answer.text)[0] if stream else answer.json())["metadata"]
        api.reset()
    assert seen == [["get_weather_forecast", None], ["track_parcel", "true"], ["track_parcel", None]]


def test_without_a_target_there_is_nothing_to_tell(stack: Stack, provider: LlmProvider) -> None:
    provider.next(Behaviour(headers={TARGET: "forged", DRIFT: "true"}))
    answer = stack.post("ingress", {"messages": user(HAIKU)}, {TARGET: "forged", DRIFT: "true"})
    assert answer.headers.keys().isdisjoint({TARGET, DRIFT})
    (asked,) = provider.received.all()
    assert (asked.header(TARGET), asked.header(DRIFT)) == (None, None)


def test_our_own_answers_tell_the_target_too(stack: Stack, api: ApiServer) -> None:
    question = stack.post("ingress", {"messages": user("What is the weather forecast for Seattle?")})
    assert question.json()["model"] == "Arch-Function"
    assert question.headers[TARGET] == "get_weather_forecast"
    api.next(Behaviour(status=404))
    assert stack.post("ingress", {"messages": user(WEATHER)}).headers[TARGET] == "get_weather_forecast"


# Answers of the LLM that cannot be edited, or break off.


def test_an_answer_that_is_no_json_is_a_502(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    for raw, content_type in (("<html>busy</html>", "text/html"), ("", "application/json")):
        provider.next(Behaviour(raw=raw, content_type=content_type))
        answer = stack.post("ingress", {"messages": user(WEATHER)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_upstream_answer")


def test_a_stream_whose_provider_falls_silent_ends_with_an_error_event(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    provider.next(Behaviour(chunk_delay=600))
    with stack.client("ingress") as client:
        stream = client.chat.completions.create(model="gpt-main", messages=user(WEATHER), stream=True)
        with pytest.raises(openai.APIError, match="fell silent"):
            list(stream)


# Tools of the client's own.

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "play_music", "description": "Play a song", "parameters": {"type": "object"}},
    }
]
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "play_music", "arguments": '{"song":"Blue"}'}}


def wants_a_tool(*, stream: bool) -> Behaviour:
    """An LLM's answer that calls the client's tool."""
    if not stream:
        message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-main", "choices": [choice]}
        return Behaviour(raw=json.dumps(body), content_type="application/json")
    deltas = [{"role": "assistant", "tool_calls": [{"index": 0, **TOOL_CALL}]}, {}]
    chunks = [
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-main",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}],
        }
        for delta in deltas
    ]
    raw = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Behaviour(raw=raw, content_type="text/event-stream")


@pytest.mark.parametrize("said", [HAIKU, WEATHER], ids=["no target", "target"])
def test_a_client_with_tools_of_its_own_gets_its_llms_tool_calls(
    stack: Stack, provider: LlmProvider, api: ApiServer, said: str
) -> None:
    provider.next(wants_a_tool(stream=False))
    with stack.client("ingress") as client:
        answer = client.chat.completions.create(model="gpt-main", messages=user(said), tools=TOOLS, tool_choice="auto")
    (asked,) = provider.received.all()
    assert (asked.json()["tools"], asked.json()["tool_choice"]) == (TOOLS, "auto")
    assert ("\ncontext: {" in asked.json()["messages"][-1]["content"]) is (said == WEATHER)
    assert api.received.total == (said == WEATHER)
    (tool_call,) = answer.choices[0].message.tool_calls or []
    assert tool_call.to_dict() == TOOL_CALL


@pytest.mark.parametrize("said", [HAIKU, WEATHER], ids=["no target", "target"])
def test_streamed_tool_calls_are_the_llms_alone(stack: Stack, provider: LlmProvider, api: ApiServer, said: str) -> None:
    provider.next(wants_a_tool(stream=True))
    with (
        stack.client("ingress") as client,
        client.chat.completions.stream(model="gpt-main", messages=user(said), tools=TOOLS) as stream,
    ):
        final = stream.get_final_completion()
    assert final.choices[0].message.role == "assistant"
    (tool_call,) = final.choices[0].message.tool_calls or []
    assert (tool_call.id, tool_call.function.name) == ("call_1", "play_music")
    assert tool_call.function.arguments == '{"song":"Blue"}'
    assert api.received.total == (said == WEATHER)


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_to_an_own_tool_goes_through_the_guards_straight_to_the_llm(
    stack: Stack, provider: LlmProvider, api: ApiServer, stream: bool
) -> None:
    called = [*user(WEATHER), {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "now playing"}
    answer = stack.post("ingress", {"messages": [*called, result], "tools": TOOLS, "stream": stream})
    assert answer.status_code == 200
    assert api.received.all() == []
    (asked,) = provider.received.all()
    assert asked.json()["messages"][1:] == [*called, result]
    provider.reset()
    poisoned = {**result, "content": ATTACK}
    blocked = stack.post("ingress", {"messages": [*called, poisoned], "tools": TOOLS, "stream": stream})
    assert blocked.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert provider.received.all() == []
