"""Drives the request half of a request: headers -> body -> [decide] -> one answer. Called by server.py.

Nothing is sent before the decision, so that Envoy can repeat the whole stream on another worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Final

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import envoy_responses, request_stats, timing
from extproc.codecs.json_size import JsonCounter
from extproc.current_gateway import StreamGateway
from extproc.decision import Decision, HttpRequest, Reply
from extproc.endpoints import error_responses, registry
from extproc.envoy_headers import read_headers
from extproc.errors import GatewayError, InternalError, RequestTooLarge, UpstreamTimeout
from extproc.shared.filter_config import Listener
from extproc.transport.service import Stream

log = logging.getLogger(__name__)

_COUNTED_AT_ONCE: Final = 64 << 10
_SENT_AT_ONCE: Final = 256 << 10


async def answer(stream: Stream, head: ProcessingRequest, gateway: StreamGateway) -> None:
    """Answers the request that `head` begins. Raises `ProtocolError`."""
    headers = read_headers(head.request_headers.headers)
    path = headers.get(":path", "").partition("?")[0]
    try:
        body = await _read_body(stream, head, gateway)
    except GatewayError as error:
        reply = error_responses.full_error(registry.of_path(path), error)
        await stream.send(envoy_responses.immediate(reply))
        return
    request = HttpRequest(
        listener=stream.metadata.get("x-archgw-listener", ""),
        method=headers.get(":method", ""),
        path=path,
        headers=headers,
        body=body.content,
        json_values=body.json_values,
        request_id=headers.get("x-request-id", ""),
        # With tracing on, Envoy names its own span here: the parent of all calls that the filter makes.
        traceparent=stream.metadata.get("traceparent") or headers.get("traceparent"),
        client=stream.metadata.get("x-archgw-client", ""),
    )
    with request_stats.collect() as stats:
        decision = await _decide(request, gateway)
    metadata = timing.dynamic_metadata(stats, time.perf_counter(), header=gateway.timing_header)
    if isinstance(decision, Reply):
        await stream.send(envoy_responses.immediate(decision, metadata))
        return
    if decision.path == request.path and request.listener == Listener.EGRESS:
        # An application's query goes to the provider. An end user's query does not.
        decision = replace(decision, path=None)
    await stream.send(envoy_responses.request_headers(decision, metadata))
    # In pieces: a large body in one message would block this event loop and Envoy's.
    for start in range(0, max(1, len(decision.body)), _SENT_AT_ONCE):
        piece = decision.body[start : start + _SENT_AT_ONCE]
        is_last = start + _SENT_AT_ONCE >= len(decision.body)
        await stream.send(envoy_responses.request_body(piece, end=is_last and not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.request_trailers())


@dataclass(frozen=True, slots=True)
class _Body:
    """A whole body. `trailers`: trailers follow it."""

    content: bytes
    json_values: int
    trailers: bool = False


async def _read_body(stream: Stream, head: ProcessingRequest, gateway: StreamGateway) -> _Body:
    """Reads the body and counts its JSON values as it arrives. Raises `RequestTooLarge` and `InvalidRequest` early."""
    limit = gateway.max_request_bytes
    pieces: list[bytes] = []
    size = 0
    counter = JsonCounter(gateway.max_json_values)
    ended = head.request_headers.end_of_stream
    while not ended:
        message = await stream.read("request_body", "request_trailers")
        if message.WhichOneof("request") == "request_trailers":
            return _Body(b"".join(pieces), counter.values, trailers=True)
        piece = message.request_body.body
        pieces.append(piece)
        size += len(piece)
        ended = message.request_body.end_of_stream
        if size > limit:
            raise RequestTooLarge(f"The request body is over the limit of {limit} bytes.")
        for start in range(0, len(piece), _COUNTED_AT_ONCE):
            counter.feed(piece[start : start + _COUNTED_AT_ONCE])
            # Yields after a millisecond at most: Envoy may hand over the whole body in one message.
            await asyncio.sleep(0)
    return _Body(b"".join(pieces), counter.values)


async def _decide(request: HttpRequest, gateway: StreamGateway) -> Decision:
    endpoint = registry.of_path(request.path)
    try:
        return await gateway.decide(request)
    except GatewayError as error:
        return error_responses.client_error(endpoint, request, error)
    except TimeoutError:
        timeout = UpstreamTimeout("The gateway could not decide on this request in time.")
        return error_responses.full_error(endpoint, timeout)
    except Exception:  # a bug must fail only this request, and must not let it pass
        log.exception("request failed", extra={"fields": {"request_id": request.request_id}})
        internal = InternalError("The gateway failed on this request; its log has the reason.")
        return error_responses.full_error(endpoint, internal)
