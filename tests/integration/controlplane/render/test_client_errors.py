"""Requests that Envoy itself refuses: the error names the mistake and the way out. There is no filter."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
import trustme

from controlplane.compile.allowed_hosts import host_pattern, origin_pattern
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Gateway, running
from tests.unit.controlplane.render.plans import listener, plan

CHAT: Final = "/v1/chat/completions"
ALLOWED: Final = "pages.example"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    ingress, egress = ports.free(2)
    hosts = host_pattern("127.0.0.1", (), in_containers=False)
    listeners = (
        replace(listener("ingress", ingress), hosts=hosts, origins=origin_pattern([ALLOWED])),
        replace(listener("egress", egress), hosts=hosts),
    )
    with running(replace(plan(), listeners=listeners), trustme.CA().cert_pem.bytes()) as found:
        yield found


def error_of(gateway: Gateway, listener: str, sent: bytes) -> tuple[int, str, str]:
    """Return status, code and message of the error for these bytes. Envoy may close a second later."""
    with socket.create_connection(("127.0.0.1", gateway.listeners[listener]), timeout=10) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        error = json.loads(response.read())["error"]
    return response.status, error["code"], error["message"]


def request(
    *fields: str, line: str = f"POST {CHAT} HTTP/1.1", host: str = "host: localhost", body: str = "{}"
) -> bytes:
    lines = [line, host, "content-type: application/json", f"content-length: {len(body)}", "connection: close", *fields]
    return ("\r\n".join(each for each in lines if each) + f"\r\n\r\n{body}").encode()


# There is no filter, so an accepted request gets 503.
READ: Final = (503, "gateway_unavailable")


@pytest.mark.parametrize(
    ("path", "way_out"),
    [
        (f"{CHAT}/", "without it"),
        (f"/v1{CHAT}", "base URL"),
        ("/chat/completions", "base URL end in /v1"),
        ("/chat/completions/", "base URL end in /v1"),
        (f"{CHAT}/chat/completions", "base URL end in /v1"),
        (f"/gateway{CHAT}", "nothing else"),
        ("/openai/v1/chat/completions", "nothing else"),
        ("/openai/deployments/gpt/chat/completions", "Azure"),
        ("/V1/Chat/Completions", "lower case"),
        ("/v1/models", "lists no models"),
        ("//v1//models/gpt", "lists no models"),
        ("/models", "lists no models"),
        ("/v1/responses", "Responses"),
        ("/responses", "Responses"),
        ("/v1/messages", "Anthropic"),
        ("/v1/completions", "older completions"),
        ("/v1/embeddings", "Embeddings"),
        ("/v1/audio/speech", "chat completions only"),
        ("/v1beta/models/gemini:generateContent", "Google"),
        ("/api/chat", "Ollama"),
        ("/api/tags", "Ollama"),
        ("/healthz/", "GET /healthz"),
        ("/health", "GET /healthz"),
        ("/", "base URL"),
        ("/v1/", "base URL"),
        ("/nothing", "POST /v1/chat/completions"),
    ],
)
def test_unknown_path_gets_a_hint(gateway: Gateway, path: str, way_out: str) -> None:
    status, code, message = error_of(gateway, "egress", request(line=f"POST {path}?key=value HTTP/1.1"))
    assert (status, code) == (404, "not_found")
    assert way_out in message


@pytest.mark.parametrize("path", [CHAT, f"/{CHAT}", "http://localhost/v1/chat/completions", f"{CHAT}?api-version=1"])
def test_accepts_equivalent_forms_of_the_path(gateway: Gateway, path: str) -> None:
    assert error_of(gateway, "egress", request(line=f"POST {path} HTTP/1.1"))[:2] == READ


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("sent", "status", "code", "named"),
    [
        (request("x_key: 1"), 400, "invalid_request", "underscore"),
        (request("connection: upgrade", "upgrade: websocket"), 400, "invalid_request", "WebSocket"),
        (b"CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n\r\n", 405, "method_not_allowed", "proxy"),
        (request(line="POST http://api.example/v1 HTTP/1.1"), 403, "host_not_allowed", "Host"),
        (request(host=""), 400, "invalid_request", "no Host"),
        (request("host: other"), 400, "invalid_request", "more than one Host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400, "invalid_request", "http://"),
        (b"nonsense\r\n\r\n", 400, "invalid_request", "no HTTP request"),
        (request("transfer-encoding: chunked"), 400, "invalid_request", "both"),
        (request().replace(b"content-length: 2", b"transfer-encoding: gzip"), 501, "invalid_request", "chunked"),
        (request("x-key: a\0b"), 400, "invalid_request", "character"),
        (request(*(f"x-{number}: 1" for number in range(120))), 431, "invalid_request", "100 headers"),
        (request(line="POST /v1%2fchat HTTP/1.1"), 400, "invalid_request", "escaped slash"),
        (request(line=f"GET {CHAT} HTTP/1.1"), 405, "method_not_allowed", "POST"),
        (request(line=f"OPTIONS {CHAT} HTTP/1.1"), 405, "method_not_allowed", "POST"),
        (request(line="POST /healthz HTTP/1.1"), 405, "method_not_allowed", "GET and HEAD"),
        (request("origin: https://a.example", line="OPTIONS / HTTP/1.1"), 403, "origin_not_allowed", "Origin"),
    ],
)  # fmt: skip
def test_rejected_request_names_the_cause(  # noqa: PLR0917 - one a column of the table
    gateway: Gateway, listener: str, sent: bytes, status: int, code: str, named: str
) -> None:
    answer = error_of(gateway, listener, sent)
    assert answer[:2] == (status, code)
    assert named in answer[2]


def test_preflight_explains_that_a_page_needs_the_gateways_origin(gateway: Gateway) -> None:
    preflight = request(
        f"origin: http://{ALLOWED}:3000", "access-control-request-method: POST", line=f"OPTIONS {CHAT} HTTP/1.1"
    )
    status, code, message = error_of(gateway, "ingress", preflight)
    assert (status, code) == (405, "method_not_allowed")
    assert "under one origin" in message


@pytest.mark.parametrize(
    ("line", "host", "answered"),
    [
        ("GET /healthz HTTP/1.0", "", READ),
        (f"POST {CHAT} HTTP/1.0", "host: localhost", READ),
        (f"POST {CHAT} HTTP/1.0", "host: other.example", (403, "host_not_allowed")),
    ],
)
def test_accepts_http_1_0_without_a_host(gateway: Gateway, line: str, host: str, answered: tuple[int, str]) -> None:
    assert error_of(gateway, "egress", request(line=line, host=host))[:2] == answered


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_rejects_chunked_http_1_0(gateway: Gateway, connection: str) -> None:
    head = f"POST {CHAT} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: {connection}\r\n"
    sent = f"{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nGET /hidden HTTP/1.0\r\n\r\n".encode()
    assert "proxy_http_version 1.1" in error_of(gateway, "egress", sent)[2]
    assert gateway.raw("egress", sent).count(b"x-request-id") == 1


def test_health_answers_head(gateway: Gateway) -> None:
    reply = gateway.public("ingress", "HEAD", "/healthz")
    # There is no filter. Envoy only decides that it is called.
    assert (reply.status, reply.body) == (503, None)
