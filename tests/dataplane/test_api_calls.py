"""Calls of prompt targets: several at once, with configured headers, timeouts and retries."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.dataplane.gateway import KEYS
from tests.dataplane.prompts import ATTACK, WEATHER, chunks_of, state_of, user
from tests.dataplane.stack import Stack
from tests.support.api_server import ApiServer
from tests.support.behaviour import CUT_BEFORE_ANSWER, NEVER, Behaviour
from tests.support.llm_provider import LlmProvider
from tests.support.received import Outcome

TWO_CITIES = "What is the weather forecast for Paris for the next 3 days and for London for the next 5 days?"
PARCEL = "Where is my parcel AB1234?"
HAIKU = "Write a haiku about autumn leaves"
PARIS, LONDON = '"city":"Paris"', '"city":"London"'


# Several calls of one prompt.


@pytest.mark.smoke
def test_two_calls_of_one_prompt_are_joined_in_order(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    api.on(PARIS, Behaviour(text="sun", first_byte_delay=0.5))
    api.on(LONDON, Behaviour(text="rain"))
    answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert {(call.json()["city"], call.json()["days"]) for call in api.received.all()} == {("Paris", 3), ("London", 5)}
    (llm_request,) = provider.received.all()
    content = llm_request.json()["messages"][-1]["content"]
    assert content.startswith(f"{TWO_CITIES}\ncontext: get_weather_forecast {{")
    assert content.index("sun") < content.index("rain")
    call, first, second = state_of(answer.json()["metadata"])
    cities = [json.loads(each["function"]["arguments"])["city"] for each in call["tool_calls"]]
    assert cities == ["Paris", "London"]
    assert [json.loads(each["content"])["text"] for each in (first, second)] == ["sun", "rain"]
    assert [first["tool_call_id"], second["tool_call_id"]] == [each["id"] for each in call["tool_calls"]]


def test_stream_has_both_calls_in_its_state(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    text = stack.post("ingress", {"messages": user(TWO_CITIES), "stream": True}).text
    call, first, second = state_of(chunks_of(text)[0]["metadata"])
    assert len(call["tool_calls"]) == 2
    assert [json.loads(each["content"])["arguments"]["city"] for each in (first, second)] == ["Paris", "London"]


def test_two_calls_run_in_parallel_and_time_out(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    with ThreadPoolExecutor() as pool, api.answering(NEVER):
        asking = pool.submit(stack.post, "ingress", {"messages": user(TWO_CITIES)})
        received = api.received.wait(2, 60)
        assert [each.outcome for each in received] == [Outcome.OPEN, Outcome.OPEN]
        answer = asking.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert answer.headers["x-function-error-code"] == "504"
    assert provider.received.all() == []


def test_failed_call_of_two_is_the_answer(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    api.on(LONDON, Behaviour(status=404))
    answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert answer.status_code == 404
    assert answer.headers["x-function-error-code"] == "404"
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert api.received.total == 2
    assert provider.received.all() == []


def test_api_answers_are_limited_in_total_size(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    with api.answering(Behaviour(raw='"' * (500 << 10), content_type="text/plain")):
        answer = stack.post("ingress", {"messages": user(TWO_CITIES)})
        assert [len(message["content"]) for message in state_of(answer.json()["metadata"])[1:]] == [500 << 10] * 2
    with api.answering(Behaviour(raw="x" * (600 << 10), content_type="text/plain")):
        refused = stack.post("ingress", {"messages": user(TWO_CITIES)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "bad_upstream_answer")


# Options of a target's endpoint.


@pytest.mark.smoke
def test_api_gets_its_configured_headers_and_none_of_the_client(stack: Stack, api: ApiServer) -> None:
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
def test_call_with_retries_is_repeated(stack: Stack, provider: LlmProvider, api: ApiServer, fault: Behaviour) -> None:
    api.next(fault, fault)
    answer = stack.post("ingress", {"messages": user(PARCEL)})
    assert answer.status_code == 200
    assert api.received.total == 3
    assert "/parcels/AB1234" in provider.received.all()[0].json()["messages"][-1]["content"]


def test_large_call_is_repeated(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
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
def test_retries_end_with_the_last_failure(
    stack: Stack, api: ApiServer, fault: Behaviour, status: int, code: str
) -> None:
    with api.answering(fault):
        answer = stack.post("ingress", {"messages": user(PARCEL)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert api.received.total == 3


@pytest.mark.parametrize(
    ("fault", "status"), [(Behaviour(status=503), 503), (CUT_BEFORE_ANSWER, 502)], ids=["503", "cut"]
)
def test_call_without_retries_is_made_once(stack: Stack, api: ApiServer, fault: Behaviour, status: int) -> None:
    api.next(fault)
    assert stack.post("ingress", {"messages": user(WEATHER)}).status_code == status
    assert api.received.total == 1


# The headers of target and drift.

TARGET, DRIFT = "x-arch-prompt-target", "x-arch-intent-drift"


@pytest.mark.parametrize("stream", [False, True])
def test_headers_name_target_and_drift_over_a_conversation(
    stack: Stack, provider: LlmProvider, api: ApiServer, stream: bool
) -> None:
    seen = []
    metadata: dict[str, Any] = {}
    for text in (WEATHER, PARCEL, "And where is my parcel ZX9876?"):
        answer = stack.post("ingress", {"messages": user(text), "metadata": metadata, "stream": stream})
        (call,) = api.received.all()
        client = [answer.headers.get(name) for name in (TARGET, DRIFT)]
        assert client == [call.header(name) for name in (TARGET, DRIFT)]
        seen.append(client)
        metadata = (chunks_of(answer.text)[0] if stream else answer.json())["metadata"]
        api.reset()
    assert seen == [["get_weather_forecast", None], ["track_parcel", "true"], ["track_parcel", None]]


def test_no_target_and_no_drift_header_without_a_target(stack: Stack, provider: LlmProvider) -> None:
    provider.next(Behaviour(headers={TARGET: "forged", DRIFT: "true"}))
    answer = stack.post("ingress", {"messages": user(HAIKU)}, {TARGET: "forged", DRIFT: "true"})
    assert answer.headers.keys().isdisjoint({TARGET, DRIFT})
    (llm_request,) = provider.received.all()
    assert (llm_request.header(TARGET), llm_request.header(DRIFT)) == (None, None)


def test_answers_of_the_gateway_name_the_target(stack: Stack, api: ApiServer) -> None:
    question = stack.post("ingress", {"messages": user("What is the weather forecast for Seattle?")})
    assert question.json()["model"] == "Arch-Function"
    assert question.headers[TARGET] == "get_weather_forecast"
    api.next(Behaviour(status=404))
    assert stack.post("ingress", {"messages": user(WEATHER)}).headers[TARGET] == "get_weather_forecast"


# Answers of the LLM that cannot be edited, or break off.


def test_llm_answer_that_is_not_json_is_a_502(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    for raw, content_type in (("<html>busy</html>", "text/html"), ("", "application/json")):
        provider.next(Behaviour(raw=raw, content_type=content_type))
        answer = stack.post("ingress", {"messages": user(WEATHER)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_upstream_answer")


def test_silent_stream_ends_with_an_error_event(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
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


@pytest.mark.parametrize("text", [HAIKU, WEATHER], ids=["no target", "target"])
def test_tool_calls_for_client_tools_reach_the_client(
    stack: Stack, provider: LlmProvider, api: ApiServer, text: str
) -> None:
    provider.next(wants_a_tool(stream=False))
    with stack.client("ingress") as client:
        answer = client.chat.completions.create(model="gpt-main", messages=user(text), tools=TOOLS, tool_choice="auto")
    (llm_request,) = provider.received.all()
    assert (llm_request.json()["tools"], llm_request.json()["tool_choice"]) == (TOOLS, "auto")
    assert ("\ncontext: {" in llm_request.json()["messages"][-1]["content"]) is (text == WEATHER)
    assert api.received.total == (text == WEATHER)
    (tool_call,) = answer.choices[0].message.tool_calls or []
    assert tool_call.to_dict() == TOOL_CALL


@pytest.mark.parametrize("text", [HAIKU, WEATHER], ids=["no target", "target"])
def test_streamed_tool_calls_are_only_those_of_the_llm(
    stack: Stack, provider: LlmProvider, api: ApiServer, text: str
) -> None:
    provider.next(wants_a_tool(stream=True))
    with (
        stack.client("ingress") as client,
        client.chat.completions.stream(model="gpt-main", messages=user(text), tools=TOOLS) as stream,
    ):
        final = stream.get_final_completion()
    assert final.choices[0].message.role == "assistant"
    (tool_call,) = final.choices[0].message.tool_calls or []
    assert (tool_call.id, tool_call.function.name) == ("call_1", "play_music")
    assert tool_call.function.arguments == '{"song":"Blue"}'
    assert api.received.total == (text == WEATHER)


@pytest.mark.parametrize("stream", [False, True])
def test_client_tool_result_is_guarded_and_sent_to_the_llm(
    stack: Stack, provider: LlmProvider, api: ApiServer, stream: bool
) -> None:
    called = [*user(WEATHER), {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "now playing"}
    answer = stack.post("ingress", {"messages": [*called, result], "tools": TOOLS, "stream": stream})
    assert answer.status_code == 200
    assert api.received.all() == []
    (llm_request,) = provider.received.all()
    assert llm_request.json()["messages"][1:] == [*called, result]
    provider.reset()
    poisoned = {**result, "content": ATTACK}
    blocked = stack.post("ingress", {"messages": [*called, poisoned], "tools": TOOLS, "stream": stream})
    assert blocked.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert provider.received.all() == []
