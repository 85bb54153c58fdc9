"""Bodies of any size and the paths that providers see, over a real gRPC connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingRequest,
    ProcessingResponse,
)

from extproc.current_gateway import CurrentGateway
from extproc.decision import Decision, Forward, HttpRequest
from extproc.response_stages.stage import ResponseContext, ResponseStage
from extproc.server import open_server
from extproc.shared.filter_config import Transport

MAX_REQUEST_BYTES = 1 << 20


@dataclass
class Decider:
    """Forwards every request as it says. `request` is the last one."""

    forward: Forward
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_json_values: int = 100_000
    timing_header: bool = False
    request: HttpRequest | None = None

    async def decide(self, request: HttpRequest) -> Decision:
        self.request = request
        return self.forward

    def response_stages(self, context: ResponseContext) -> Sequence[ResponseStage]:
        return ()


def head(*, end: bool = False) -> ProcessingRequest:
    fields = {":method": "POST", ":path": "/v1/chat/completions?key=secret", "traceparent": "00-client-01"}
    entries = [HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    return ProcessingRequest(request_headers=HttpHeaders(headers=HeaderMap(headers=entries), end_of_stream=end))


def body(piece: bytes, *, end: bool) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=piece, end_of_stream=end))


async def exchange(
    socket: Path,
    decider: Decider,
    messages: Sequence[ProcessingRequest],
    metadata: Sequence[tuple[str, str]] = (("x-archgw-listener", "egress"),),
) -> list[ProcessingResponse]:
    """Sends the messages as one stream and returns the responses."""
    server = open_server(Transport.HTTP2, CurrentGateway(decider))
    await server.start(socket)
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel, asyncio.timeout(10):
            call = external_processor_pb2_grpc.ExternalProcessorStub(channel).Process(metadata=metadata)
            for message in messages:
                await call.write(message)
            return [answer async for answer in call]
    finally:
        await server.stop(0)


def path_of(answer: ProcessingResponse) -> str | None:
    options = answer.request_headers.response.header_mutation.set_headers
    return next((each.header.raw_value.decode() for each in options if each.header.key == ":path"), None)


@pytest.mark.parametrize(
    ("listener", "path", "expected"),
    [
        ("ingress", "/v1/chat/completions", "/v1/chat/completions"),
        ("ingress", "/other", "/other"),
        ("egress", "/v1/chat/completions", None),
        ("egress", "/other", "/other"),
    ],
)
async def test_query_of_the_path_is_removed_on_ingress_only(
    tmp_path: Path, listener: str, path: str, expected: str | None
) -> None:
    decider = Decider(Forward(cluster="provider", body=b"{}", path=path))
    first, *_ = await exchange(tmp_path / "s", decider, [head(end=True)], (("x-archgw-listener", listener),))
    assert path_of(first) == expected


@pytest.mark.parametrize("size", [0, 1, 256 << 10, (256 << 10) + 1, 600_000])
@pytest.mark.parametrize("trailers", [False, True])
async def test_a_body_of_any_size_is_sent_in_pieces_and_ends_once(tmp_path: Path, size: int, trailers: bool) -> None:
    decider = Decider(Forward(cluster="provider", body=bytes(size)))
    end = [ProcessingRequest(request_trailers=HttpTrailers())] if trailers else [body(b"", end=True)]
    _, *answers = await exchange(tmp_path / "s", decider, [head(), body(b"{}", end=False), *end])
    if trailers:
        assert answers.pop().HasField("request_trailers")
    assert decider.request is not None
    assert (decider.request.body, decider.request.json_values) == (b"{}", 1)
    pieces = [each.request_body.response.body_mutation.streamed_response for each in answers]
    assert sum(len(each.body) for each in pieces) == size
    assert max(len(each.body) for each in pieces) <= 256 << 10
    assert [each.end_of_stream for each in pieces] == [False] * (len(pieces) - 1) + [not trailers]
    assert len(pieces) == max(1, -(-size // (256 << 10)))


async def test_a_body_of_exactly_the_limit_is_read_whole_and_counted(tmp_path: Path) -> None:
    decider = Decider(Forward(cluster="provider", body=b"{}"))
    text = b"[1," + b'"' + b"x" * (MAX_REQUEST_BYTES - 10) + b'",2,3]'
    await exchange(tmp_path / "s", decider, [head(), body(text[:700_000], end=False), body(text[700_000:], end=True)])
    assert decider.request is not None
    assert len(text) == MAX_REQUEST_BYTES
    assert decider.request.body == text
    assert decider.request.json_values == 4


async def test_the_limit_of_values_holds_for_a_body_in_one_message(tmp_path: Path) -> None:
    decider = Decider(Forward(cluster="provider", body=b"{}"), max_json_values=99_999)
    (answer,) = await exchange(tmp_path / "s", decider, [head(), body(b"[" + b"1," * 100_000, end=True)])
    assert answer.immediate_response.status.code == 413
    assert decider.request is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), ("", "", "00-client-01")),
        (
            (("x-archgw-listener", "ingress"), ("x-archgw-client", "10.0.0.1"), ("traceparent", "00-envoy-01")),
            ("ingress", "10.0.0.1", "00-envoy-01"),
        ),
    ],
)
async def test_envoy_names_the_listener_the_client_and_its_span(
    tmp_path: Path, metadata: Sequence[tuple[str, str]], expected: tuple[str, str, str]
) -> None:
    decider = Decider(Forward(cluster="provider", body=b"{}"))
    await exchange(tmp_path / "s", decider, [head(end=True)], metadata)
    assert decider.request is not None
    assert (decider.request.listener, decider.request.client, decider.request.traceparent) == expected
    assert decider.request.path == "/v1/chat/completions"
