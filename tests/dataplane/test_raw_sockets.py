"""Requests that no SDK sends: split bodies, trailers, pipelined and incomplete requests."""

from __future__ import annotations

import gzip
import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.dataplane.stack import Stack
from tests.support.llm_provider import LlmProvider
from tests.support.raw_http import chunked, exchange

BODY = json.dumps({"messages": [{"role": "user", "content": "héllo wörld"}]}, ensure_ascii=False).encode()


def head(*fields: str, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_chunked_body_is_read_at_any_chunk_size(stack: Stack, provider: LlmProvider, size: int) -> None:
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    answer = exchange(stack.url("egress"), head("transfer-encoding: chunked", "connection: close"), *chunked(*pieces))
    assert answer.startswith(b"HTTP/1.1 200")
    (got,) = provider.received.all()
    assert got.json()["messages"] == json.loads(BODY)["messages"]
    assert got.header("content-length") == str(len(got.body))


def test_trailers_after_a_chunked_body_change_nothing(stack: Stack, provider: LlmProvider) -> None:
    fields = ("transfer-encoding: chunked", "trailer: x-check", "connection: close")
    answer = exchange(stack.url("egress"), head(*fields), *chunked(BODY, trailers=b"x-check: 1\r\n"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(provider.received.all()) == 1


def test_pipelined_requests_are_answered_in_order(stack: Stack, provider: LlmProvider) -> None:
    first = head(f"content-length: {len(BODY)}") + BODY
    last = head(f"content-length: {len(BODY)}", "connection: close") + BODY
    assert exchange(stack.url("egress"), first + first + last, until_closed=True).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_http_1_0_stream_is_unchunked_and_ends_with_the_connection(
    stack: Stack, provider: LlmProvider, listener: str
) -> None:
    body = json.dumps({**json.loads(BODY), "stream": True}).encode()
    sent = (head(f"content-length: {len(body)}") + body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    fields, _, stream = exchange(stack.url(listener), sent, until_closed=True).partition(b"\r\n\r\n")
    assert fields.startswith(b"HTTP/1.0 200")
    assert b"transfer-encoding" not in fields
    # For nginx, which removes it.
    assert b"x-accel-buffering: no" in fields
    assert stream.startswith(b"data: {")
    assert stream.endswith(b"data: [DONE]\n\n")


def test_health_answers_head_requests(stack: Stack) -> None:
    answer = exchange(
        stack.url("ingress"), head("connection: close", path="/healthz", method="HEAD"), until_closed=True
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(head(method="GET"), b"405", id="wrong method"),
        pytest.param(head("x_under_score: 1", f"content-length: {len(BODY)}") + BODY, b"400", id="underscore"),
        pytest.param(head("content-length: 0", path="/v1/chat/completions/../models"), b"404", id="dots in the path"),
        pytest.param(head("content-length: 3", "transfer-encoding: chunked") + b"0\r\n\r\n", b"400", id="two lengths"),
        pytest.param(b"nonsense\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(head("content-length: 0", "content-encoding: gzip"), b"415", id="empty gzip"),
    ],
)
def test_malformed_request_is_refused(stack: Stack, provider: LlmProvider, request_bytes: bytes, status: bytes) -> None:
    answer = exchange(stack.url("ingress"), request_bytes.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
    assert answer.split(b" ")[1] == status, answer
    assert provider.received.all() == []


def test_compressed_request_is_refused(stack: Stack, provider: LlmProvider) -> None:
    packed = gzip.compress(BODY)
    fields = ("content-encoding: gzip", f"content-length: {len(packed)}", "connection: close")
    assert exchange(stack.url("ingress"), head(*fields) + packed).startswith(b"HTTP/1.1 415")
    assert provider.received.all() == []


def test_early_disconnects_fail_no_other_request(stack: Stack, provider: LlmProvider) -> None:
    where = urlsplit(stack.url("ingress"))
    for _ in range(20):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(head("content-length: 100000") + BODY)
    assert stack.post("ingress", BODY).status_code == 200
