"""Headers between clients and providers, in a real Envoy with a stand-in for the filter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from controlplane.compile.allowed_hosts import host_pattern, origin_pattern
from controlplane.compile.plans import Address, Listener, Tracing, Upstream
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Api, Gateway, running
from tests.integration.controlplane.render.test_response_headers import CHAT, llm, with_stand_in
from tests.unit.controlplane.render.plans import KEY, plan, provider

__all__ = ["llm"]

CLIENT = {
    "openai_organization": "org-1", "openai_project": "proj-1", "idempotency_key": "k", "openai_beta": "b",
    "x_stainless_lang": "python", "user_agent": "Mozilla", "baggage": "a=b", "tracestate": "a=b",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "forwarded": "for=1.2.3.4",
    "x_real_ip": "1.2.3.4", "x_forwarded_for": "1.2.3.4", "x_forwarded_host": "h", "cookie": "a=b",
    "x_api_key": "k", "authorization": "Bearer client", "referer": "http://x", "x_anything": "1",
    "sec_fetch_site": "none", "accept_language": "de", "via": "1.1 x", "x_http_method_override": "GET",
}  # fmt: skip
ALWAYS = {"host", "accept", "accept-encoding", "content-length", "content-type", "x-request-id"}


@contextmanager
def gateway(
    llm: int, *, passthrough: bool = False, allowed: tuple[str, ...] = (), tracing: Tracing | None = None
) -> Iterator[Gateway]:
    first, second = ports.free(2)
    upstream = Upstream("provider_openai", (Address("127.0.0.1", llm),), 1000)
    its = replace(provider(key=None if passthrough else KEY, passthrough=passthrough), upstream=upstream)
    listeners = tuple(
        Listener(
            name,
            Address("127.0.0.1", port),
            (Address("127.0.0.1", port),),
            hosts=host_pattern("127.0.0.1", allowed, in_containers=False),
            origins=origin_pattern(allowed) if name == "ingress" else None,
        )
        for name, port in (("ingress", first), ("egress", second))
    )
    subject = replace(plan(its, tracing=tracing), listeners=listeners)
    with running(subject, change=lambda files: with_stand_in(files, {"decision": "forward"})) as found:
        yield found


@pytest.fixture(scope="module")
def ours(llm: int) -> Iterator[Gateway]:
    with gateway(llm) as found:
        yield found


@pytest.fixture(scope="module")
def theirs(llm: int) -> Iterator[Gateway]:
    with gateway(llm, passthrough=True) as found:
        yield found


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the provider's response."""

    def set_(status: int = 200, body: bytes | None = None, **headers: str) -> None:
        monkeypatch.setattr(Api, "answer_status", status)
        monkeypatch.setattr(Api, "answer_body", body)
        monkeypatch.setattr(Api, "answer_headers", {name.replace("_", "-"): value for name, value in headers.items()})

    return set_


def test_provider_gets_only_allowed_headers_of_an_ingress_client(ours: Gateway) -> None:
    got = ours.public("ingress", "POST", CHAT, b"{}", accept="*/*", **CLIENT).body["headers"]
    assert set(got) == {*ALWAYS, "authorization", "user-agent"}
    assert (got["authorization"], got["user-agent"]) == (f"Bearer {KEY}", "archgw")


def test_provider_gets_api_headers_of_an_egress_client(ours: Gateway) -> None:
    got = ours.public("egress", "POST", CHAT, b"{}", accept="*/*", **CLIENT).body["headers"]
    its = {"authorization", "idempotency-key", "openai-beta", "user-agent", "x-stainless-lang"}
    assert set(got) == {*ALWAYS, *its}
    assert (got["authorization"], got["user-agent"]) == (f"Bearer {KEY}", "Mozilla")


def test_organization_header_needs_the_clients_credentials(theirs: Gateway) -> None:
    got = theirs.public("egress", "POST", CHAT, b"{}", **CLIENT).body["headers"]
    assert (got["authorization"], got["openai-organization"], got["openai-project"]) == (
        "Bearer client",
        "org-1",
        "proj-1",
    )
    assert "openai-organization" not in theirs.public("ingress", "POST", CHAT, b"{}", **CLIENT).body["headers"]


def test_trace_headers_do_not_reach_a_provider(llm: int) -> None:
    (unused_port,) = ports.free(1)
    collector = Upstream("otlp_collector", (Address("127.0.0.1", unused_port),), 1000)
    with gateway(llm, tracing=Tracing(collector, random_sampling=100)) as found:
        for listener in ("ingress", "egress"):
            got = found.public(listener, "POST", CHAT, b"{}", **CLIENT).body["headers"]
            assert not {"traceparent", "tracestate", "baggage"} & set(got)


PROVIDERS: dict[str, str] = {
    "set_cookie": "__cf_bm=1", "www_authenticate": "Bearer", "location": "http://evil", "alt_svc": "h3",
    "access_control_allow_origin": "*", "strict_transport_security": "max-age=1", "x_anything": "1", "via": "x",
    "x_prompt_guard_error_code": "none", "x_function_error_code": "1", "x_accel_redirect": "/etc/passwd",
    "openai_organization": "our-org", "openai_processing_ms": "5", "retry_after": "1", "x_ratelimit_limit_tokens": "9",
    "cache_control": "no-store",
}  # fmt: skip
TOLD = {"openai-processing-ms", "retry-after", "x-ratelimit-limit-tokens", "cache-control"}
OURS = {"content-length", "date", "server", "x-accel-buffering", "x-arch-llm-provider", "x-request-id"}


def test_client_gets_only_api_headers_of_a_provider(ours: Gateway, answer: Any) -> None:
    answer(**PROVIDERS)
    for listener, more in (("ingress", set[str]()), ("egress", {"openai-organization"})):
        reply = ours.public(listener, "POST", CHAT, b"{}")
        assert set(reply.headers) == TOLD | OURS | more
        # Envoy's own value: it overwrites a provider's.
        assert reply.headers["x-request-id"] == reply.body["headers"]["x-request-id"]


REFUSAL = json.dumps(
    {
        "error": {
            "message": "Incorrect API key provided: sk-ab***%s9xyz. You can find it at https://x/api-keys.",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
        }
    }
).encode()


@pytest.mark.parametrize("status", [401, 403, 407])
def test_provider_refusing_our_key_reveals_no_part_of_it(ours: Gateway, answer: Any, status: int) -> None:
    answer(status, REFUSAL, content_type="application/json", www_authenticate=f"Bearer {KEY}")
    hidden = ours.public("ingress", "POST", CHAT, b"{}")
    assert (hidden.status, hidden.body["error"]["code"]) == (503, "upstream_unavailable")
    assert "API key" not in str(hidden.body)
    masked = ours.public("egress", "POST", CHAT, b"{}")
    assert (masked.status, masked.body["error"]["code"]) == (status, "invalid_api_key")
    assert masked.body["error"]["message"] == "Incorrect API key provided: ***. You can find it at https://x/api-keys."
    for reply in (hidden, masked):
        assert "www-authenticate" not in reply.headers
        line = ours.access(reply.headers["x-request-id"])
        assert line["refused"].startswith(f"{status} ")
        assert "Incorrect API key provided: ***" in line["refused"]
        assert "9xyz" not in str(line)


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("Incorrect API key: sk-proj-4c1f!9b2e", "Incorrect API key: ***"),
        ("key='gsk_4c1f' of org abc", "key='***' of org abc"),
        ("no key like 4c1f9b2e4c1f9b2eabcd or a***z", "no key like *** or ***"),
        ('the key \\"sk-4c1f\\" is unknown', 'the key \\"***\\" is unknown'),
        ("Project proj-1 has no access to gpt-4o-2024-08-06, see https://x.ai/docs/errors", None),
    ],
)
def test_masks_words_that_may_belong_to_a_key(ours: Gateway, answer: Any, message: str, masked: str | None) -> None:
    answer(403, f'{{"error": {{"message": "{message}"}}}}'.encode(), content_type="application/json")
    reply = ours.public("egress", "POST", CHAT, b"{}")
    assert reply.body == json.loads(f'{{"error": {{"message": "{masked or message}"}}}}')


@pytest.mark.parametrize("body", [b"", b"x" * 200_000, b"\x00\xff\x1b[31m sk-very-secret-key"])
def test_replaces_every_form_of_a_refusal(ours: Gateway, answer: Any, body: bytes) -> None:
    answer(401, body, content_type="text/plain")
    hidden = ours.raw("ingress", _request("127.0.0.1"))
    assert b"HTTP/1.1 50" in hidden
    assert b"xxx" not in hidden
    assert b"very-secret" not in hidden + ours.raw("egress", _request("127.0.0.1"))


def test_replaces_a_compressed_refusal_on_both_listeners(ours: Gateway, answer: Any) -> None:
    answer(401, b"\x1f\x8b sk-very-secret", content_type="application/json", content_encoding="gzip")
    for listener in ("ingress", "egress"):
        reply = ours.public(listener, "POST", CHAT, b"{}")
        assert reply.body["error"]["code"] == "upstream_unavailable"
        assert "content-encoding" not in reply.headers


def test_refusal_of_the_clients_own_key_passes(theirs: Gateway, answer: Any) -> None:
    answer(401, REFUSAL, content_type="application/json", www_authenticate="Bearer")
    reply = theirs.public("egress", "POST", CHAT, b"{}")
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.body == json.loads(REFUSAL)


def _request(*hosts: str, path: str = CHAT, fields: tuple[str, ...] = ()) -> bytes:
    lines = [f"POST {path} HTTP/1.1", *(f"host: {host}" for host in hosts), "content-type: application/json", *fields]
    return ("\r\n".join([*lines, "content-length: 2", "connection: close"]) + "\r\n\r\n{}").encode()


def refused(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    return status, json.loads(body)["error"]["code"] if status >= 400 and body else ""


LOOPBACK = [
    "localhost",
    "LOCALHOST:80",
    "localhost.",
    "api.localhost:1",
    "127.0.0.1",
    "127.8.9.1:10000",
    "[::1]",
    "[::1]:1",
]
FOREIGN = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.evil.example", "localhost.evil.example",
           "xlocalhost", "10.0.0.1", "[::2]", "gateway", "127.0.0.1@evil.example", "0.0.0.0"]  # fmt: skip  # noqa: S104


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_loopback_listener_accepts_loopback_hosts_only(ours: Gateway, listener: str) -> None:
    for host in LOOPBACK:
        assert refused(ours.raw(listener, _request(host))) == (200, ""), host
    for host in FOREIGN:
        assert refused(ours.raw(listener, _request(host)))[0] in {400, 403}, host
    assert refused(ours.raw(listener, _request("evil.example"))) == (403, "host_not_allowed")
    assert refused(ours.raw(listener, _request("evil.example", path="/healthz"))) == (403, "host_not_allowed")
    assert refused(ours.raw(listener, _request("localhost", path="http://evil.example/v1/chat/completions")))[0] == 403


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    "hosts", [("localhost", "127.0.0.1"), ("localhost", "localhost"), ("evil.example", "localhost")]
)
def test_rejects_two_host_headers(ours: Gateway, listener: str, hosts: tuple[str, ...]) -> None:
    assert refused(ours.raw(listener, _request(*hosts))) == (400, "invalid_request")


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "", "http://127.0.0.1:10000"]
)
def test_rejects_requests_with_an_origin(ours: Gateway, listener: str, origin: str) -> None:
    answer = refused(ours.raw(listener, _request("localhost", fields=(f"origin: {origin}",))))
    assert answer == (403, "origin_not_allowed")


def test_allowed_host_is_an_allowed_origin_on_ingress_only(llm: int) -> None:
    with gateway(llm, allowed=("chat.example", "::1")) as found:

        def ask(listener: str, host: str, *origins: str) -> int:
            return refused(found.raw(listener, _request(host, fields=tuple(f"origin: {each}" for each in origins))))[0]

        for listener in ("ingress", "egress"):
            assert (
                ask(listener, "chat.example:443") == ask(listener, "Chat.Example") == ask(listener, "localhost") == 200
            )
            assert ask(listener, "chat.example.evil") == ask(listener, "chatxexample") == 403
            assert ask(listener, "chat.example", "https://chat.example.evil") == 403
            assert ask(listener, "chat.example", "https://chat.example", "https://evil.example") == 403
        assert ask("ingress", "chat.example", "https://chat.example:8443") == 200
        assert ask("egress", "chat.example", "https://chat.example:8443") == 403
