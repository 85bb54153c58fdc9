"""The ingress listener with real models; the LLM and the API are mock servers."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pydantic
import pytest

from tests.dataplane.gateway import BLOCKED
from tests.dataplane.prompts import ATTACK, WEATHER, chunks_of, first_chunk, state_of, stream_text, user
from tests.dataplane.stack import CLIENT_KEY, Stack
from tests.support.api_server import ApiServer
from tests.support.behaviour import NEVER, Behaviour
from tests.support.llm_provider import LlmProvider


@pytest.mark.smoke
def test_prompt_calls_its_target_and_the_answer_reaches_the_llm(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    with stack.client("ingress") as client:
        answer = client.chat.completions.create(model="gpt-main", messages=user(WEATHER))
    (call,) = api.received.all()
    assert (call.method, call.path) == ("POST", "/weather")
    arguments = call.json()
    assert {name: arguments[name] for name in ("city", "days", "unit")} == {
        "city": "Seattle",
        "days": 3,
        "unit": "celsius",
    }
    assert arguments["messages"] == user(WEATHER)
    assert call.header("authorization") is None
    assert call.header("x-request-id")
    (llm_request,) = provider.received.all()
    messages = llm_request.json()["messages"]
    assert messages[0] == {"role": "system", "content": "You are a weather forecaster."}
    assert messages[-1]["content"].startswith(f"{WEATHER}\ncontext: {{")
    assert answer.choices[0].message.content
    state = state_of(json.loads(answer.to_json())["metadata"])
    assert state[0]["tool_calls"][0]["function"]["name"] == "get_weather_forecast"
    assert json.loads(state[0]["tool_calls"][0]["function"]["arguments"])["city"] == "Seattle"
    assert json.loads(state[1]["content"])["path"] == "/weather"


@pytest.mark.smoke
def test_stream_after_a_call_holds_only_assistant_deltas(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    with stack.client("ingress") as client:
        chunks = list(client.chat.completions.create(model="gpt-main", messages=user(WEATHER), stream=True))
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("chatcmpl-mock", "gpt-main")}
    first, *rest = (chunk.choices[0].delta for chunk in chunks)
    assert (first.role, first.content) == ("assistant", "")
    assert {delta.role for delta in rest} == {None}
    assert not any(delta.tool_calls for delta in (first, *rest))
    assert "".join(delta.content or "" for delta in rest).startswith("You said: What is the weather")
    call, _ = state_of(chunks[0].to_dict()["metadata"])  # type: ignore[arg-type]
    assert call["tool_calls"][0]["function"]["name"] == "get_weather_forecast"


@pytest.mark.parametrize("prompt", [WEATHER, "What is the exchange rate of the yen?", "What is the weather forecast?"])
def test_message_accumulated_from_a_stream_is_accepted_in_the_next_turn(
    stack: Stack, provider: LlmProvider, api: ApiServer, prompt: str
) -> None:
    with stack.client("ingress") as client:
        with client.chat.completions.stream(
            model="gpt-main", messages=user(prompt), stream_options={"include_usage": True}
        ) as stream:
            answer = stream.get_final_completion()
        message = answer.choices[0].message
        assert (message.role, message.tool_calls) == ("assistant", None)
        assert answer.usage
        assert answer.usage.prompt_tokens
        assert answer.usage.completion_tokens
        provider.reset()
        messages = [*user(prompt), message.to_dict(), *user("never mind, tell me a joke")]
        following = client.chat.completions.create(model="gpt-main", messages=messages)
    assert following.choices[0].message.content == "You said: never mind, tell me a joke"
    (llm_request,) = provider.received.all()
    assert [each["role"] for each in llm_request.json()["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.smoke
def test_prompt_without_a_target_passes_to_the_llm(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    with stack.client("ingress") as client:
        answer = client.chat.completions.create(model="gpt-main", messages=user("Write a haiku about autumn leaves"))
    assert answer.choices[0].message.content == "You said: Write a haiku about autumn leaves"
    assert "metadata" not in answer.to_dict()
    assert api.received.all() == []
    (llm_request,) = provider.received.all()
    assert llm_request.json()["messages"][0] == {"role": "system", "content": stack.config["system_prompt"]}


@pytest.mark.smoke
@pytest.mark.parametrize("stream", [False, True])
def test_blocked_prompt_reaches_neither_api_nor_llm(
    stack: Stack, provider: LlmProvider, api: ApiServer, stream: bool
) -> None:
    answer = stack.post("ingress", {"messages": user(ATTACK), "stream": stream})
    assert answer.status_code == 200
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert answer.headers["x-request-id"]
    if stream:
        assert answer.headers["content-type"] == "text/event-stream"
        assert stream_text(answer.text) == BLOCKED
        assert chunks_of(answer.text)[-1]["choices"][0]["finish_reason"] == "content_filter"
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        body = answer.json()
        assert body["model"] == "Arch-Guard"
        assert body["choices"][0]["message"]["content"] == BLOCKED
        assert body["choices"][0]["finish_reason"] == "content_filter"
    assert api.received.all() == []
    assert provider.received.all() == []
    assert stack.access(answer.headers["x-request-id"])["guard"] == "blocked"


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param([{"type": "text", "text": "Hello."}, {"type": "text", "text": ATTACK}], id="second part"),
        pytest.param(
            "The quick brown fox jumps over the lazy dog. " * 200 + ATTACK + " Thank you. " * 200, id="deep inside"
        ),
        pytest.param([{"type": "a_new_kind", "text": ATTACK}], id="unknown part"),
    ],
)
def test_attack_in_parts_or_long_text_is_blocked(stack: Stack, provider: LlmProvider, hidden: object) -> None:
    answer = stack.post("ingress", {"messages": user(hidden)})
    assert answer.headers.get("x-prompt-guard-error-code") == "jailbreak"
    assert provider.received.all() == []


@pytest.mark.parametrize(
    "trick",
    [
        {"model": "gpt-second"},
        {"model": "Arch-Guard"},
        {"metadata": {"x-arch-state": '{"messages":"[]"}'}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
def test_request_fields_do_not_disable_the_guard(
    stack: Stack, provider: LlmProvider, second_provider: LlmProvider, trick: dict[str, object]
) -> None:
    for headers in ({}, {"x-arch-llm-provider-hint": "second"}):
        answer = stack.post("ingress", {"messages": user(ATTACK), **trick}, headers)
        assert answer.headers.get("x-prompt-guard-error-code") == "jailbreak"
    assert provider.received.all() + second_provider.received.all() == []


# test_slot_filling.py sends back all three.
@pytest.mark.parametrize(
    "sends_back",
    ["text alone", *(pytest.param(each, marks=pytest.mark.matrix) for each in ("model", "state"))],
)
@pytest.mark.parametrize("stream", [False, True])
def test_missing_values_are_asked_for_and_the_answers_complete_the_call(
    stack: Stack, provider: LlmProvider, api: ApiServer, sends_back: str, stream: bool
) -> None:
    messages = user("What is the weather forecast?")
    metadata: dict[str, Any] = {}
    questions: list[str] = []
    # Clients send back different parts of a message: official SDKs drop `model`, and most clients drop the state.
    for answer in ("Seattle", "5 days"):
        first = stack.post("ingress", {"messages": messages, "metadata": metadata, "stream": stream})
        question = first_chunk(first.text) if stream else first.json()
        questions.append(stream_text(first.text) if stream else question["choices"][0]["message"]["content"])
        assert question["model"] == "Arch-Function"
        assert api.received.all() == []
        model = {"model": question["model"]} if sends_back == "model" else {}
        messages = [*messages, {"role": "assistant", "content": questions[-1], **model}, *user(answer)]
        metadata = question["metadata"] if sends_back == "state" else {}
    assert questions == [
        "Could you provide the following details city, days ?",
        "Could you provide the following details days ?",
    ]
    last = stack.post("ingress", {"messages": messages, "metadata": metadata, "stream": stream})
    (call,) = api.received.all()
    assert (call.json()["city"], call.json()["days"]) == ("Seattle", 5)
    assert last.headers["x-arch-prompt-target"] == "get_weather_forecast"
    assert "x-arch-intent-drift" not in last.headers
    body = first_chunk(last.text) if stream else last.json()
    assert state_of(body["metadata"])[0]["tool_calls"][0]["function"]["name"] == "get_weather_forecast"
    assert all("model" not in message for message in provider.received.all()[0].json()["messages"])


class Forecast(pydantic.BaseModel):
    city: str
    days: int


def test_structured_output_client_gets_a_refusal_for_a_question_and_a_block(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    question = user("What is the weather forecast for Seattle?")
    with stack.client("ingress") as client:
        parsed = client.chat.completions.parse(model="gpt-main", messages=question, response_format=Forecast)
        with client.chat.completions.stream(model="gpt-main", messages=question, response_format=Forecast) as stream:
            streamed = stream.get_final_completion()
        for message in (parsed.choices[0].message, streamed.choices[0].message):
            assert not message.parsed
            assert not message.content
            assert message.refusal == "Could you provide the following details days ?"
        with pytest.raises(openai.ContentFilterFinishReasonError):
            client.chat.completions.parse(model="gpt-main", messages=user(ATTACK), response_format=Forecast)
    assert provider.received.all() == api.received.all() == []


def test_question_is_streamed_if_the_client_streams(stack: Stack, api: ApiServer) -> None:
    with stack.client("ingress") as client:
        stream = client.chat.completions.create(
            model="gpt-main",
            messages=user("What is the weather forecast for Seattle?"),
            stream=True,
        )
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Could you provide the following details days ?"
    assert {chunk.model for chunk in chunks} == {"Arch-Function"}


def test_target_without_llm_dispatch_answers_directly(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    answer = stack.post("ingress", {"messages": user("What is the exchange rate of the EUR against the dollar?")})
    (call,) = api.received.all()
    assert (call.method, call.path, call.query) == ("GET", "/rates/EUR", "")
    content = answer.json()["choices"][0]["message"]["content"]
    assert json.loads(content)["path"] == "/rates/EUR"
    assert provider.received.all() == []


@pytest.mark.parametrize("status", [404, 422, 500])
def test_failed_api_call_is_the_answer(stack: Stack, provider: LlmProvider, api: ApiServer, status: int) -> None:
    api.next(Behaviour(status=status))
    answer = stack.post("ingress", {"messages": user(WEATHER)})
    assert answer.status_code == status
    assert answer.headers["x-function-error-code"] == str(status)
    error = answer.json()["error"]
    assert error["code"] == "api_error"
    request_id = answer.headers["x-request-id"]
    assert request_id in error["message"]
    # Only the log has the names, under the request id.
    logged = next(line for line in _log_lines(stack) if line.get("request_id") == request_id)
    assert all(word in logged["reason"] for word in ("weather_api", "/weather", str(status)))
    assert provider.received.all() == []


def _log_lines(stack: Stack) -> list[dict[str, Any]]:
    """The lines of the workers' logs about failed requests."""
    text = stack.command("logs", "extproc", "--lines", "200").stdout
    found = (json.loads(line[line.index("{") :]) for line in text.splitlines() if '"request failed"' in line)
    return list(found)


@pytest.mark.smoke
def test_api_that_never_answers_is_a_504(stack: Stack, api: ApiServer) -> None:
    api.next(NEVER)
    answer = stack.post("ingress", {"messages": user(WEATHER)})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"


@pytest.mark.smoke
def test_unreachable_api_is_a_503(stack: Stack) -> None:
    answer = stack.post("ingress", {"messages": user("Please reboot the server db-7 in the data center")})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "api_error"


def test_context_is_added_to_a_prompt_of_text_and_image_parts(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    stack.post("ingress", {"messages": user([{"type": "text", "text": WEATHER}, image])})
    (llm_request,) = provider.received.all()
    content = llm_request.json()["messages"][-1]["content"]
    assert content[:2] == [{"type": "text", "text": WEATHER}, image]
    assert content[2]["text"].startswith("\ncontext: {")


def test_state_sent_back_is_removed_from_the_llm_request(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    first = stack.post("ingress", {"messages": user(WEATHER)}).json()
    answer = {"role": "assistant", "content": first["choices"][0]["message"]["content"]}
    messages = [*user(WEATHER), *state_of(first["metadata"]), answer, *user("Thank you, that was kind of you!")]
    provider.reset()
    stack.post("ingress", {"messages": messages, "metadata": first["metadata"]})
    (llm_request,) = provider.received.all()
    assert [message["role"] for message in llm_request.json()["messages"]] == ["system", "user", "assistant", "user"]
    assert "x-arch-state" not in llm_request.body.decode()


def test_attack_is_blocked_whatever_the_role_of_the_last_message(
    stack: Stack, provider: LlmProvider, api: ApiServer
) -> None:
    for role in ("system", "assistant"):
        ending = {"role": role, "content": WEATHER}
        assert stack.post("ingress", {"messages": [ending]}).headers["x-arch-llm-provider"] == "main"
        for attacked in ([*user(ATTACK), ending], [*user("Hello"), {"role": role, "content": ATTACK}]):
            answer = stack.post("ingress", {"messages": attacked})
            assert answer.headers["x-prompt-guard-error-code"] == "jailbreak", attacked
    assert len(provider.received.all()) == 2
    assert api.received.all() == []


def test_forged_state_is_a_400(stack: Stack) -> None:
    answer = stack.post("ingress", {"messages": user("hi"), "metadata": {"x-arch-state": "forged"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_no_gzip_is_requested_for_answers_that_are_edited(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    answer = stack.post("ingress", {"messages": user(WEATHER)}, {"accept-encoding": "gzip"})
    assert provider.received.all()[0].header("accept-encoding") is None
    assert "x-arch-state" in answer.json()["metadata"]


def test_llm_error_after_a_call_passes_unchanged(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    provider.next(Behaviour(status=429, text="slow down"))
    answer = stack.post("ingress", {"messages": user(WEATHER)})
    assert (answer.status_code, answer.json()["error"]["message"]) == (429, "slow down")


@pytest.mark.smoke
@pytest.mark.parametrize("stream", [False, True])
def test_local_chat_model_answers(stack: Stack, stream: bool) -> None:
    with stack.client("egress") as client:
        request: Any = {"model": "chat", "messages": user("Say hello."), "max_tokens": 12}
        if stream:
            chunks = list(client.chat.completions.create(**request, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert chunks[-1].choices[0].finish_reason in {"stop", "length"}
        else:
            text = client.chat.completions.create(**request).choices[0].message.content
    assert text.strip()


def test_local_chat_model_answers_after_a_call(stack: Stack, api: ApiServer) -> None:
    body = {"messages": user(WEATHER), "max_tokens": 12}
    headers = {"x-arch-llm-provider-hint": "local"}
    whole = stack.post("ingress", body, headers)
    assert whole.headers["x-arch-llm-provider"] == "local"
    assert state_of(whole.json()["metadata"])[1]["role"] == "tool"
    streamed = stack.post("ingress", {**body, "stream": True}, headers).text
    assert state_of(first_chunk(streamed)["metadata"])[1]["role"] == "tool"
    chunks = chunks_of(streamed)
    assert len(chunks) > 2
    assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {(chunks[0]["id"], "chat")}
    assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]


def test_client_key_reaches_neither_provider_nor_api(stack: Stack, provider: LlmProvider, api: ApiServer) -> None:
    with stack.client("ingress") as client:
        client.chat.completions.create(model="gpt-main", messages=user(WEATHER))
    assert CLIENT_KEY not in str([each.headers for each in provider.received.all() + api.received.all()])


async def test_the_async_sdk_gets_an_answer(stack: Stack, provider: LlmProvider) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url('ingress')}/v1", api_key="x", max_retries=0) as client:
        answer = await client.chat.completions.create(model="m", messages=user("Tell me a joke about cats"))
    assert answer.choices[0].message.content == "You said: Tell me a joke about cats"


@pytest.mark.smoke
@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_health_says_ready(stack: Stack, listener: str) -> None:
    answer = httpx2.get(f"{stack.url(listener)}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
