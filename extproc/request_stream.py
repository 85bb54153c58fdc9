"""The request half: headers -> body -> [decide] -> one answer.

Nothing is sent before the verdict, so that Envoy may repeat the whole stream on another worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Final, Protocol

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import envoy_responses, request_stats, timing
from extproc.codecs.json_size import JsonCounter
from extproc.decision import Decision, HttpRequest, Reply
from extproc.endpoints import error_responses
from extproc.envoy_headers import read_headers
from extproc.errors import GatewayError, InternalError, RequestTooLarge, UpstreamTimeout
from extproc.shared.filter_config import Listener
from extproc.transport.service import Stream

log = logging.getLogger(__name__)

_COUNTED_AT_ONCE: Final = 64 << 10
_SENT_AT_ONCE: Final = 256 << 10


class Decider(Protocol):
    """What decides on requests."""

    @property
    def max_request_bytes(self) -> int: ...

    @property
    def max_json_values(self) -> int:
        """How many keys, strings, numbers, objects and arrays a body may hold."""

    @property
    def timing_header(self) -> bool:
        """Whether clients read what their request cost."""

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, and `TimeoutError` past a deadline of its own."""


async def answer(stream: Stream, head: ProcessingRequest, decider: Decider) -> None:
    """Answer the request that `head` begins. Raises `ProtocolError`."""
    try:
        body = await _read_body(stream, head, decider)
    except GatewayError as fault:
        await stream.send(envoy_responses.immediate(error_responses.reply(fault)))
        return
    request = _request(stream, head, body)
    with request_stats.collect() as spent:
        decision = await _decide(request, decider)
    notes = timing.dynamic_metadata(spent, time.perf_counter(), header=decider.timing_header)
    if isinstance(decision, Reply):
        await stream.send(envoy_responses.immediate(decision, notes))
        return
    if decision.path is None and request.listener == Listener.INGRESS:
        # Without its query: nothing in an end user's URL is for a provider.
        decision = replace(decision, path=request.path)
    await stream.send(envoy_responses.request_headers(decision, notes))
    # In pieces: a large body in one message would hold up the event loop, and Envoy's.
    for start in range(0, max(1, len(decision.body)), _SENT_AT_ONCE):
        piece = decision.body[start : start + _SENT_AT_ONCE]
        is_last = start + _SENT_AT_ONCE >= len(decision.body)
        await stream.send(envoy_responses.request_body(piece, end=is_last and not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.request_trailers())


@dataclass(frozen=True, slots=True)
class _Body:
    """A whole body. `trailers`: whether they follow it."""

    content: bytes
    json_values: int
    trailers: bool = False


async def _read_body(stream: Stream, head: ProcessingRequest, decider: Decider) -> _Body:
    """Reads the body and counts it as it arrives. Raises `RequestTooLarge` and `InvalidRequest` early."""
    limit = decider.max_request_bytes
    pieces: list[bytes] = []
    size = 0
    counter = JsonCounter(decider.max_json_values)
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
            # A millisecond at most. Envoy buffers a body and hands it over in one message.
            await asyncio.sleep(0)
    return _Body(b"".join(pieces), counter.values)


def _request(stream: Stream, head: ProcessingRequest, body: _Body) -> HttpRequest:
    headers = read_headers(head.request_headers.headers)
    return HttpRequest(
        listener=stream.metadata.get("x-archgw-listener", ""),
        method=headers.get(":method", ""),
        path=headers.get(":path", "").partition("?")[0],
        headers=headers,
        body=body.content,
        json_values=body.json_values,
        request_id=headers.get("x-request-id", ""),
        # With tracing on, Envoy names its own span here, which is the parent of whatever we call.
        traceparent=stream.metadata.get("traceparent") or headers.get("traceparent"),
        client=stream.metadata.get("x-archgw-client", ""),
    )


async def _decide(request: HttpRequest, decider: Decider) -> Decision:
    try:
        return await decider.decide(request)
    except GatewayError as fault:
        return error_responses.told(request, fault)
    except TimeoutError:
        return error_responses.reply(UpstreamTimeout("The gateway could not decide on this request in time."))
    except Exception:  # a bug must cost this request alone, and must not let it pass
        log.exception("request failed", extra={"fields": {"request_id": request.request_id}})
        return error_responses.reply(InternalError("The gateway failed on this request; its log has the reason."))
