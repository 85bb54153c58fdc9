"""The egress listener: the official SDK and raw requests against mock providers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.egress_only import egress_only
from tests.dataplane.gateway import KEYS
from tests.dataplane.stack import CLIENT_KEY, Stack
from tests.support.behaviour import CUT_BEFORE_ANSWER, CUT_HALFWAY, MALFORMED_JSON, NEVER, NORMAL, Behaviour
from tests.support.llm_provider import LlmProvider
from tests.support.received import Outcome

# The SDK types messages by role; tests send whatever they like.
HELLO: Any = [{"role": "user", "content": "hello there"}]


@pytest.mark.smoke
def test_the_sdk_gets_a_completion(stack: Stack, provider: LlmProvider) -> None:
    with stack.client("egress") as client:
        answer = client.chat.completions.create(model="gpt-main", messages=HELLO)
    assert answer.choices[0].message.content == "You said: hello there"


@pytest.mark.smoke
def test_the_sdk_gets_a_stream(stack: Stack, provider: LlmProvider) -> None:
    with stack.client("egress") as client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-main",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: hello there"
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens > 0


async def test_the_async_sdk_gets_both(stack: Stack, provider: LlmProvider) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url('egress')}/v1", api_key="x", max_retries=0) as client:
        whole = await client.chat.completions.create(model="gpt-main", messages=HELLO)
        stream = await client.chat.completions.create(model="gpt-main", messages=HELLO, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == whole.choices[0].message.content == "You said: hello there"


def test_provider_gets_its_own_key_path_and_model_and_no_client_credentials(
    stack: Stack, provider: LlmProvider
) -> None:
    credentials = {
        "authorization": f"Bearer {CLIENT_KEY}",
        "x-api-key": CLIENT_KEY,
        "api-key": CLIENT_KEY,
        "cookie": f"session={CLIENT_KEY}",
        "proxy-authorization": CLIENT_KEY,
    }
    message = {"role": "user", "content": "hi", "model": "Arch-Function"}
    body = {"model": "whatever", "messages": [message], "metadata": {"x-arch-state": '{"messages":"[]"}', "team": "a"}}
    answer = stack.post("egress", body, credentials)
    assert answer.headers["x-arch-llm-provider"] == "main"
    (got,) = provider.received.all()
    assert got.path == "/openai/v1/chat/completions"
    assert got.header("authorization") == f"Bearer {KEYS['MAIN_KEY']}"
    assert got.header("host") == f"127.0.0.1:{provider.port}"
    assert got.json() == {
        "model": "gpt-main",
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"team": "a"},
    }
    assert CLIENT_KEY not in str(got.headers)
    assert not [name for name, _ in got.headers if name.startswith(("x-arch", "x-envoy"))]


@pytest.mark.parametrize(
    ("headers", "model", "chosen"),
    [
        ({"x-arch-llm-provider-hint": "second"}, "gpt-main", "second"),
        ({"x-arch-llm-provider-hint": "gpt-second"}, "gpt-main", "second"),
        ({"x-arch-llm-provider-hint": "default"}, "gpt-second", "main"),
        ({}, "gpt-second", "second"),
        ({}, "second", "second"),
        ({}, "unheard-of", "main"),
    ],
)
def test_provider_is_chosen_by_hint_then_model_then_default(  # noqa: PLR0917
    stack: Stack,
    provider: LlmProvider,
    second_provider: LlmProvider,
    headers: dict[str, str],
    model: str,
    chosen: str,
) -> None:
    answer = stack.post("egress", {"model": model, "messages": HELLO}, headers)
    assert answer.headers["x-arch-llm-provider"] == chosen
    got = {"main": provider, "second": second_provider}[chosen].received.all()
    assert [request.json()["model"] for request in got] == [f"gpt-{chosen}"]
    unknown = model if model == "unheard-of" else None
    assert stack.access(answer.headers["x-request-id"])["unknown_model"] == unknown


def test_unknown_hint_is_refused_with_the_valid_ones(stack: Stack, provider: LlmProvider) -> None:
    with stack.client("egress") as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="gpt-main",
            messages=HELLO,
            extra_headers={"x-arch-llm-provider-hint": "nope"},
        )
    assert caught.value.code == "model_not_found"
    assert "gpt-second" in caught.value.message
    assert provider.received.all() == []


def test_passthrough_sends_the_clients_own_key(stack: Stack, second_provider: LlmProvider) -> None:
    stack.post("egress", {"model": "gpt-pass", "messages": HELLO}, {"authorization": "Bearer mine", "cookie": "a=b"})
    (got,) = second_provider.received.all()
    assert got.header("authorization") == "Bearer mine"
    assert got.header("cookie") is None
    assert got.path == "/pass/v1/chat/completions"


@pytest.mark.smoke
def test_provider_certificate_is_verified(stack: Stack, tls_provider: LlmProvider) -> None:
    assert stack.post("egress", {"model": "gpt-tls", "messages": HELLO}).status_code == 200
    (got,) = tls_provider.received.all()
    assert got.header("authorization") == f"Bearer {KEYS['TLS_KEY']}"


FORGED = {
    "x-arch-upstream": "provider_second",
    "x-arch-llm-provider": "second",
    "x-arch-prompt-target": "reboot_server",
    "x-arch-intent-drift": "true",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-original-path": "/elsewhere",
    "x-archgw-listener": "ingress",
    "x-archgw-local-reply": "x",
}


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_forged_headers_do_nothing(
    stack: Stack, provider: LlmProvider, second_provider: LlmProvider, listener: str
) -> None:
    answer = stack.post(listener, {"messages": HELLO}, FORGED)
    assert answer.status_code == 200
    assert answer.headers["x-arch-llm-provider"] == "main"
    (got,) = provider.received.all()
    assert not [name for name, _ in got.headers if name.startswith(("x-arch", "x-envoy"))]
    assert second_provider.received.all() == []


def test_forged_route_header_cannot_skip_the_filter(stack: Stack, second_provider: LlmProvider) -> None:
    for path in ("/v1/completions", "/v1/models", "/v1/chat/completions/", "/v2/models/chat/generate", "/"):
        answer = httpx2.post(stack.url("egress") + path, json={"messages": HELLO}, headers=FORGED)
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "not_found"
    assert second_provider.received.all() == []


CONTENT = [
    pytest.param([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], id="array"),
    pytest.param(None, id="null"),
    pytest.param(
        [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
        id="image",
    ),
]


@pytest.mark.parametrize("content", CONTENT)
def test_all_message_forms_and_unknown_fields_survive(stack: Stack, provider: LlmProvider, content: object) -> None:
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": content, "new": {"a": [1]}}]
    body = {
        "model": "gpt-main",
        "messages": messages,
        "brand_new_field": {"deep": [1, {"x": None}]},
        "temperature": 0.1,
    }
    assert stack.post("egress", body).status_code == 200
    (got,) = provider.received.all()
    assert got.json() == body


def test_unknown_fields_keep_their_own_bytes(stack: Stack, provider: LlmProvider) -> None:
    raw = b'{"messages":[{"role":"user","content":"hi"}],"seed":12345678901234567890123,"x":1.10}'
    assert stack.post("egress", raw).status_code == 200
    (got,) = provider.received.all()
    assert b'"seed":12345678901234567890123,"x":1.10' in got.body


def test_9_mib_body_passes(stack: Stack, provider: LlmProvider) -> None:
    image = "A" * (9 << 20)
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": f"data:;base64,{image}"}}]
    assert stack.post("egress", {"messages": [{"role": "user", "content": parts}]}).status_code == 200
    (got,) = provider.received.all()
    assert got.json()["messages"][0]["content"] == parts


def test_body_over_the_limit_is_refused(stack: Stack, provider: LlmProvider) -> None:
    answer = stack.post("egress", {"messages": [{"role": "user", "content": "A" * (11 << 20)}]})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert answer.headers["x-request-id"]
    assert provider.received.all() == []


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{}", "messages"),
        (b'{"messages":[]}', "messages"),
        (b'{"messages":[{"role":"user","content":"hi"}],"metadata":3}', "metadata"),
        (b'{"messages":[{"role":"user","content":7}]}', "messages[0].content"),
    ],
)
@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_malformed_request_is_a_400_that_names_the_field(
    stack: Stack, provider: LlmProvider, listener: str, raw: bytes, word: str
) -> None:
    answer = stack.post(listener, raw)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "code", "param"}
    assert error["code"] == "invalid_request"
    assert word in error["message"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert provider.received.all() == []


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_provider_error_passes_unchanged(stack: Stack, provider: LlmProvider, status: int) -> None:
    provider.next(Behaviour(status=status, text="from the provider", headers={"retry-after": "7"}))
    answer = stack.post("egress", {"messages": HELLO})
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == "from the provider"
    assert answer.headers["retry-after"] == "7"
    assert len(provider.received.all()) == 1


def test_provider_that_never_answers_is_a_504(stack: Stack, provider: LlmProvider) -> None:
    provider.next(NEVER)
    answer = stack.post("egress", {"messages": HELLO})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"
    assert answer.headers["x-request-id"]


@pytest.mark.smoke
def test_unreachable_provider_is_a_503(stack: Stack) -> None:
    answer = stack.post("egress", {"model": "gpt-gone", "messages": HELLO})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "upstream_unavailable"
    assert "127.0.0.1" not in answer.text


def test_connection_broken_before_the_answer_is_a_502(stack: Stack, provider: LlmProvider) -> None:
    provider.next(CUT_BEFORE_ANSWER)
    answer = stack.post("egress", {"messages": HELLO})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "bad_upstream_answer"
    assert len(provider.received.all()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_provider_redirect_is_a_502(
    stack: Stack, provider: LlmProvider, second_provider: LlmProvider, stream: bool
) -> None:
    elsewhere = f"{second_provider.url}/v1/chat/completions"
    provider.next(Behaviour(status=307, headers={"location": elsewhere}))
    with stack.client("egress") as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gpt-main", messages=HELLO, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (502, "bad_upstream_answer")
    assert second_provider.received.all() == []


def test_stream_broken_by_the_provider_breaks_for_the_client(stack: Stack, provider: LlmProvider) -> None:
    provider.next(CUT_HALFWAY)
    with pytest.raises(httpx2.RemoteProtocolError):
        stack.post("egress", {"messages": HELLO, "stream": True})


def test_malformed_and_gzipped_answers_pass_unchanged(stack: Stack, provider: LlmProvider) -> None:
    provider.next(MALFORMED_JSON)
    assert stack.post("egress", {"messages": HELLO}).text == MALFORMED_JSON.raw
    provider.next(Behaviour(gzip=True))
    answer = stack.post("egress", {"messages": HELLO}, {"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello there"


def test_chunk_reaches_the_client_before_the_provider_has_finished(stack: Stack, provider: LlmProvider) -> None:
    provider.next(Behaviour(chunk_delay=0.4))
    url = f"{stack.url('egress')}/v1/chat/completions"
    with httpx2.stream("POST", url, json={"messages": HELLO, "stream": True}, timeout=30) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        (got,) = provider.received.all()
        assert got.outcome is Outcome.OPEN
        rest = b"".join(pieces)
    assert (first + rest).endswith(b"data: [DONE]\n\n")


@pytest.mark.smoke
async def test_200_concurrent_streams_are_all_complete(stack: Stack, provider: LlmProvider) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> None:
        prompt = f"number {number}"
        messages: Any = [{"role": "user", "content": prompt}]
        stream = await client.chat.completions.create(model="gpt-main", messages=messages, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == f"You said: {prompt}"

    with provider.answering(Behaviour(chunk_delay=0.02)):
        # The SDK's own limit of 5 s for a connection is short on a busy machine.
        async with openai.AsyncOpenAI(
            base_url=f"{stack.url('egress')}/v1", api_key="x", max_retries=0, timeout=60
        ) as client:
            await asyncio.gather(*(one(client, number) for number in range(200)))


@pytest.mark.smoke
def test_access_log_has_provider_decision_and_times_and_no_prompt(stack: Stack, provider: LlmProvider) -> None:
    answer = stack.post("egress", {"messages": [{"role": "user", "content": "a very private matter"}]})
    line = stack.access(answer.headers["x-request-id"])
    assert (line["listener"], line["decision"], line["cluster"]) == ("egress", "forward", "provider_main")
    assert float(line["filter_ms"]) >= 0
    assert "private" not in json.dumps(line)


@pytest.mark.smoke
def test_status_and_logs_commands_show_services_and_requests(stack: Stack, provider: LlmProvider) -> None:
    request_id = stack.post("egress", {"messages": HELLO}).headers["x-request-id"]
    stack.access(request_id)
    assert request_id in stack.command("logs", "access", "--lines", "20").stdout
    printed = stack.command("status", "--json")
    assert printed.returncode == 0
    states = {service["name"]: service["state"] for service in json.loads(printed.stdout)["parts"]}
    assert states.keys() >= {"envoy", "extproc-0", "triton"}
    assert set(states.values()) == {"running"}


@pytest.mark.runtime(Runtime.NATIVE, why="the filter ends the stream, wherever it runs")
def test_watched_silent_stream_ends_with_an_error_event(
    tmp_path: Path, runtime: Runtime, provider: LlmProvider
) -> None:
    provider.next(NORMAL, Behaviour(chunk_delay=600))
    with (
        egress_only(provider, tmp_path, runtime, {"watch_answers": True}, timeout="1s") as watching,
        watching.client("egress") as client,
    ):
        whole = client.chat.completions.create(model="m", messages=HELLO)
        assert whole.choices[0].message.content == "You said: hello there"
        with pytest.raises(openai.APIError, match="fell silent"):
            list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
