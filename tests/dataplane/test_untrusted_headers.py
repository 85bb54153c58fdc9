"""Headers of end users, web pages and providers that the gateway drops or refuses."""

from __future__ import annotations

from typing import Final

import pytest

from tests.dataplane.gateway import KEYS
from tests.dataplane.stack import Stack
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider
from tests.support.raw_http import exchange

HELLO: Final = {"messages": [{"role": "user", "content": "Hello, who are you?"}]}
FROM_OUTSIDE: Final = {
    "openai-organization": "org-mine", "openai-project": "proj-mine", "idempotency-key": "1", "baggage": "a=b",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b",
    "forwarded": "for=1.2.3.4", "x-real-ip": "1.2.3.4", "x-forwarded-host": "evil.example", "cookie": "a=b",
    "x-anything": "1", "user-agent": "Mozilla/5.0", "x-stainless-lang": "js",
}  # fmt: skip
NEEDED: Final = {
    "accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent",
    "x-request-id",
}  # fmt: skip


def test_end_user_headers_and_query_reach_no_provider(stack: Stack, provider: LlmProvider) -> None:
    answer = _post(stack, "ingress", FROM_OUTSIDE, path="/v1/chat/completions?api-version=1&anything")
    assert answer.startswith(b"HTTP/1.1 200")
    (got,) = provider.received.all()
    assert {name for name, _ in got.headers} <= NEEDED
    assert (got.header("user-agent"), got.query) == ("archgw", "")
    assert got.path.endswith("/chat/completions")


def test_client_organization_is_not_sent_with_the_gateway_key(
    stack: Stack, provider: LlmProvider, second_provider: LlmProvider
) -> None:
    headers = {**FROM_OUTSIDE, "openai-beta": "assistants=v2"}
    assert stack.post("egress", HELLO, headers).status_code == 200
    (got,) = provider.received.all()
    its = {"idempotency-key", "openai-beta", "x-stainless-lang"}
    assert {name for name, _ in got.headers} <= NEEDED | its
    assert got.header("idempotency-key") == "1"
    stack.post("egress", HELLO, {**headers, "x-arch-llm-provider-hint": "passthrough", "authorization": "Bearer mine"})
    (passed,) = second_provider.received.all()
    assert (passed.header("authorization"), passed.header("openai-organization")) == ("Bearer mine", "org-mine")


def test_refused_provider_key_is_hidden_from_end_users(stack: Stack, provider: LlmProvider) -> None:
    text = f"Incorrect API key provided: {KEYS['MAIN_KEY']}."
    headers = {"www-authenticate": f'Bearer realm="{KEYS["MAIN_KEY"]}"', "set-cookie": "a=b", "x-ratelimit-limit": "9"}
    refusal = Behaviour(status=401, text=text, headers=headers)
    with provider.answering(refusal):
        hidden, shown = stack.post("ingress", HELLO), stack.post("egress", HELLO)
    assert (hidden.status_code, hidden.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert (shown.status_code, shown.json()["error"]["message"]) == (401, "Incorrect API key provided: ***.")
    for answer in (hidden, shown):
        assert not {"www-authenticate", "set-cookie"} & set(answer.headers)
        line = stack.access(answer.headers["x-request-id"])
        assert line["refused"].startswith("401 ")
        assert KEYS["MAIN_KEY"] not in answer.text + str(answer.headers) + str(line)
    assert "API key" not in hidden.text


def test_refused_provider_key_is_hidden_in_streams(stack: Stack, provider: LlmProvider) -> None:
    with provider.answering(Behaviour(status=403, text="Your project proj-1 has no access")):
        answer = stack.post("ingress", {**HELLO, "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("fields", "host", "status", "code"),
    [
        ({"content-type": "text/plain"}, "localhost", 415, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, "localhost", 415, "unsupported_media_type"),
        ({"origin": "https://evil.example"}, "localhost", 403, "origin_not_allowed"),
        ({"origin": "null"}, "127.0.0.1", 403, "origin_not_allowed"),
        ({}, "evil.example", 403, "host_not_allowed"),
        ({}, "evil.example\r\nhost: localhost", 400, "invalid_request"),
    ],
)
def test_web_page_reaches_no_provider(  # noqa: PLR0917 - one a column of the table
    stack: Stack, provider: LlmProvider, listener: str, fields: dict[str, str], host: str, status: int, code: str
) -> None:
    answer = _post(stack, listener, fields, host=host)
    assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
    assert f'"code":"{code}"'.encode() in answer
    assert provider.received.all() == []


def _post(
    stack: Stack, listener: str, fields: dict[str, str], *, host: str = "localhost", path: str = "/v1/chat/completions"
) -> bytes:
    """Returns the response to a request with exactly these headers."""
    body = b'{"messages":[{"role":"user","content":"Hello, who are you?"}]}'
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}", "connection: close"]
    headers = {"content-type": "application/json", **fields}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return exchange(stack.url(listener), ("\r\n".join(lines) + "\r\n\r\n").encode() + body)
