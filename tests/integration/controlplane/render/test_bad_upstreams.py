"""Providers and APIs with bad responses or none, in a real Envoy with a stand-in for the filter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import yaml

from controlplane.compile.plans import Address, ApiCluster, CallRoute, EnvoyPlan, Upstream
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Gateway, running
from tests.integration.controlplane.render.raw_server import Scripted
from tests.integration.controlplane.render.test_response_headers import CHAT, with_stand_in
from tests.unit.controlplane.render.plans import KEY, listener, plan, provider, render

OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"a": 1}'
CHUNKED = b"transfer-encoding: chunked\r\n"
MALFORMED = {
    "no byte": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-",
    "no HTTP": b"hello world\r\n\r\n",
    "status line": b"HTTP/1.1 abc OK\r\ncontent-length: 8\r\n\r\n12345678",
    "doubled encoding": b"HTTP/1.1 200 OK\r\n" + CHUNKED * 2 + b"\r\n8\r\n12345678\r\n0\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n" + CHUNKED + b"\r\n8\r\n12345678\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\ncontent-length: 9\r\n\r\n12345678",
    "large header": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 100_000 + b"\r\ncontent-length: 8\r\n\r\n12345678",
    "short body": b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 80\r\n\r\n{"a": 1}',
}
NO_ANSWER = [101, 300, 301, 302, 303, 304, 307, 308, 399, 600, 999]


def _plan(port: int, *, key: str | None, listeners: tuple[int, int]) -> EnvoyPlan:
    its = replace(
        provider(key=key, passthrough=key is None),
        upstream=Upstream("provider_openai", (Address("127.0.0.1", port),), 1000),
    )
    return replace(
        plan(its),
        listeners=(listener("ingress", listeners[0]), listener("egress", listeners[1])),
        apis=(ApiCluster(Upstream("endpoint_api", (Address("127.0.0.1", port),), 1000)),),
        calls=(CallRoute("target_weather", "endpoint_api", "api.internal", attempt_ms=5000, timeout_ms=5000),),
    )


@contextmanager
def gateway(port: int, *, key: str | None = KEY) -> Iterator[Gateway]:
    first, second = ports.free(2)
    subject = _plan(port, key=key, listeners=(first, second))
    with running(subject, change=lambda files: with_stand_in(files, {"decision": "forward"})) as found:
        yield found


@pytest.fixture(scope="module")
def _server() -> Iterator[Scripted]:
    with Scripted() as server:
        yield server


@pytest.fixture(scope="module")
def ours(_server: Scripted) -> Iterator[Gateway]:
    with gateway(_server.port) as found:
        yield found


@pytest.fixture(scope="module")
def theirs(_server: Scripted) -> Iterator[Gateway]:
    with gateway(_server.port, key=None) as found:
        yield found


@pytest.fixture
def server(_server: Scripted) -> Iterator[Scripted]:
    _server.requests = 0
    yield _server
    _server.keeps = False


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_response_becomes_502_without_a_retry(ours: Gateway, server: Scripted, case: str) -> None:
    server.script = MALFORMED[case]
    reply = ours.public("egress", "POST", CHAT, b"{}")
    assert (reply.status, reply.body["error"]["code"]) == (502, "bad_upstream_answer")
    # The request arrived, and a POST may have had an effect.
    assert server.requests == 1
    if case != "short body":  # Of APIs, the filter reads the whole answer and sees for itself.
        response = ours.internal("target_weather", "/weather")
        assert response.headers["x-archgw-local-reply"] == "bad_upstream_answer"
        assert server.requests == 2


@pytest.mark.parametrize("status", NO_ANSWER)
@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_redirects_are_hidden_from_clients(
    ours: Gateway, theirs: Gateway, server: Scripted, listener: str, status: int
) -> None:
    body = b"" if status in {101, 304} else b"content-length: 6\r\n"
    server.script = b"HTTP/1.1 %d X\r\nlocation: http://evil.example/x?key=1\r\n%s\r\n" % (status, body)
    server.script += b"secret" if body else b""
    for found in (ours, theirs):
        reply = found.public(listener, "POST", CHAT, b"{}")
        assert (reply.status, reply.body["error"]["code"]) == (502, "bad_upstream_answer")
        assert "evil" not in str(reply)
        assert "secret" not in str(reply)
        line = found.access(reply.headers["x-request-id"])
        assert line["refused"] == f"{status} no answer"


def test_replaces_a_redirect_with_a_large_body(ours: Gateway, server: Scripted) -> None:
    server.script = (
        b"HTTP/1.1 307 X\r\nlocation: http://evil.example/\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    )
    reply = ours.public("egress", "POST", CHAT, b"{}")
    assert (reply.status, reply.body["error"]["code"]) == (502, "bad_upstream_answer")
    assert "location" not in reply.headers


@pytest.mark.parametrize("name", ["x-request-id", "request-id"])
@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_keeps_the_providers_request_id_up_to_a_limit(
    ours: Gateway, server: Scripted, listener: str, name: str
) -> None:
    forged = b"\r\nx-arch-upstream-request-id: forged"
    for request_id in ("req_1", "r" * 1000):
        server.script = OK.replace(b"\r\ncontent-l", f"\r\n{name}: {request_id}".encode() + forged + b"\r\ncontent-l")
        reply = ours.public(listener, "POST", CHAT, b"{}")
        assert reply.headers["x-arch-upstream-request-id"] == request_id[:128]
        assert reply.headers["x-request-id"] != request_id
        assert ours.access(reply.headers["x-request-id"])["upstream_request_id"] == request_id[:128]


def test_no_upstream_request_id_header_without_an_id(ours: Gateway, server: Scripted) -> None:
    server.script = OK.replace(b"\r\ncontent-l", b"\r\nx-arch-upstream-request-id: forged\r\ncontent-l")
    assert "x-arch-upstream-request-id" not in ours.public("egress", "POST", CHAT, b"{}").headers


def test_stream_without_headers_passes_unchanged(ours: Gateway, server: Scripted) -> None:
    server.script = b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\nd\r\ndata: {}\n\n: x\r\n0\r\n\r\n"
    request = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    answer = ours.raw("egress", f"{request}content-length: 2\r\n\r\n{{}}".encode())
    assert b"data: {}\n\n: x" in answer
    assert b"content-type" not in answer


def test_unreachable_provider_gets_retry_after() -> None:
    (unused_port,) = ports.free(1)
    with gateway(unused_port) as found:
        reply = found.public("egress", "POST", CHAT, b"{}")
        assert (reply.status, reply.body["error"]["code"]) == (503, "upstream_unavailable")
        assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize("kind", ["provider", "api"])
def test_closes_idle_connections_before_the_server_does(ours: Gateway, server: Scripted, kind: str) -> None:
    server.keeps = True
    server.closed_first.clear()
    server.script = OK
    if kind == "provider":
        assert ours.public("egress", "POST", CHAT, b"{}").status == 200
    else:
        assert ours.internal("target_weather", "/weather").status == 200
    # The server never closes, so it is the gateway.
    assert server.closed_first.wait(30)


def test_idle_timeouts_are_shorter_than_those_of_servers() -> None:
    clusters = yaml.safe_load(render(plan())["envoy/cds.yaml"].text)["resources"]
    idle = {}
    for cluster in clusters:
        if cluster["name"].startswith(("provider_", "endpoint_", "target_")):
            (options,) = cluster["typed_extension_protocol_options"].values()
            idle[cluster["name"]] = options["common_http_protocol_options"]["idle_timeout"]
    # Gunicorn's 2 s without TLS, uvicorn's and Node's 5 s with it.
    assert idle == {"provider_openai": "4s", "endpoint_api": "0.5s", "target_secretive": "0.5s"}
