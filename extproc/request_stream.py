"""The request half: headers -> body -> [decide] -> one answer.

Nothing is sent before the verdict, so that Envoy may repeat the whole stream on another worker.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Protocol

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import costs, replies, timing
from extproc.apis import faults
from extproc.contract import Listener
from extproc.decision import Decision, HttpRequest, Reply
from extproc.errors import GatewayError, InternalError, RequestTooLarge, UpstreamTimeout
from extproc.stream import Stream, read_headers

log = logging.getLogger(__name__)


class Decider(Protocol):
    """What decides on requests."""

    @property
    def max_request_bytes(self) -> int: ...

    @property
    def timing_header(self) -> bool:
        """Whether clients read what their request cost."""

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, and `TimeoutError` past a deadline of its own."""


async def answer(stream: Stream, head: ProcessingRequest, decider: Decider) -> None:
    """Answer the request that `head` begins. Raises `ProtocolError`."""
    body, trailers = await _read_body(stream, head, decider.max_request_bytes)
    if body is None:
        limit = decider.max_request_bytes
        fault = RequestTooLarge(f"The request body is over the limit of {limit} bytes.")
        await stream.send(replies.immediate(faults.reply(fault)))
        return
    request = _request(stream, head, body)
    with costs.counted() as spent:
        decision = await _decide(request, decider)
    notes = timing.notes(spent, time.perf_counter(), header=decider.timing_header)
    if isinstance(decision, Reply):
        await stream.send(replies.immediate(decision, notes))
        return
    if decision.path is None and request.listener == Listener.INGRESS:
        # Without its query: nothing in an end user's URL is for a provider.
        decision = replace(decision, path=request.path)
    await stream.send(replies.request_headers(decision, notes))
    await stream.send(replies.request_body(decision.body, end=not trailers))
    if trailers:
        await stream.send(replies.request_trailers())


async def _read_body(stream: Stream, head: ProcessingRequest, limit: int) -> tuple[bytes | None, bool]:
    """The whole body, None when it is over `limit`; and whether trailers follow it."""
    body = bytearray()
    ended = head.request_headers.end_of_stream
    while not ended:
        message = await stream.read("request_body", "request_trailers")
        if message.WhichOneof("request") == "request_trailers":
            return bytes(body), True
        body += message.request_body.body
        ended = message.request_body.end_of_stream
        if len(body) > limit:
            return None, False
    return bytes(body), False


def _request(stream: Stream, head: ProcessingRequest, body: bytes) -> HttpRequest:
    headers = read_headers(head.request_headers.headers)
    return HttpRequest(
        listener=stream.metadata.get("x-archgw-listener", ""),
        method=headers.get(":method", ""),
        path=headers.get(":path", "").partition("?")[0],
        headers=headers,
        body=body,
        request_id=headers.get("x-request-id", ""),
        # With tracing on, Envoy names its own span here, which is the parent of whatever we call.
        traceparent=stream.metadata.get("traceparent") or headers.get("traceparent"),
    )


async def _decide(request: HttpRequest, decider: Decider) -> Decision:
    try:
        return await decider.decide(request)
    except GatewayError as fault:
        return faults.reply(fault)
    except TimeoutError:
        return faults.reply(UpstreamTimeout("The gateway could not decide on this request in time."))
    except Exception:  # a bug must cost this request alone, and must not let it pass
        log.exception("request failed", extra={"fields": {"request_id": request.request_id}})
        return faults.reply(InternalError("The gateway failed on this request; its log has the reason."))
