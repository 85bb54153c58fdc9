"""The state machine of one ext_proc stream, which is one HTTP request. Only this module knows the protocol's order.

    request headers -> body -> [decide] -> one answer -> done
                                                     └-> response headers -> body -> trailers -> done (edited ones only)

Nothing is sent before the verdict, so that Envoy may retry the whole stream on another worker; and the stream ends
right after the last answer, so that a worker that dies later harms no running response. A stream that cannot answer is
aborted: were it closed cleanly without an answer, Envoy would take that for consent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

import grpc
from envoy.config.core.v3.base_pb2 import HeaderMap
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from extproc import replies
from extproc.decision import Decision, Forward, HttpRequest, Reply, ResponseEdit, ResponseHead, StreamEdit, Whole
from extproc.errors import GatewayError, InternalError, RequestTooLarge, UpstreamTimeout

log = logging.getLogger(__name__)

# A JSON answer that shall be edited is held until it is complete; a larger one passes as it is.
_MAX_EDITED_BYTES: Final = 32 << 20


class Decider(Protocol):
    """What decides on requests."""

    @property
    def max_request_bytes(self) -> int: ...

    @property
    def request_timeout_s(self) -> float: ...

    async def decide(self, request: HttpRequest) -> Decision: ...


class _ProtocolError(Exception):
    """Envoy sent what this state does not expect."""


class Stream:
    """One stream. `context` is a grpc.aio.ServicerContext: gRPC ships no types."""

    def __init__(self, context: Any, gateway: Decider) -> None:
        self._context = context
        self._gateway = gateway
        self._trailers = False

    async def run(self) -> None:
        """Returns when the filter has no more part in the request."""
        try:
            decision = await self._decide()
            if isinstance(decision, Reply):
                await self._send(replies.immediate(decision))
            else:
                await self._forward(decision)
                if decision.edits:
                    await self._edit_response(decision.edits)
        except _ProtocolError as fault:
            log.error("ext_proc stream aborted: %s", fault)
            await self._context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(fault))

    async def _decide(self) -> Decision:
        request = await self._read_request()
        if isinstance(request, Reply):
            return request
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._gateway.request_timeout_s):
                decision = await self._gateway.decide(request)
        except GatewayError as fault:
            decision = replies.error(fault)
        except TimeoutError:
            decision = replies.error(UpstreamTimeout("The gateway could not decide on this request in time."))
        except Exception:  # a bug must cost this request alone, and must not let it pass
            log.exception("request failed", extra={"fields": {"request_id": request.request_id}})
            decision = replies.error(InternalError("The gateway failed on this request; its log has the reason."))
        _log(request, decision, time.perf_counter() - started)
        return decision

    async def _read_request(self) -> HttpRequest | Reply:
        first = await self._read("request_headers")
        headers = _headers(first.request_headers.headers)
        body = bytearray()
        ended = first.request_headers.end_of_stream
        while not ended:
            message = await self._read("request_body", "request_trailers")
            if message.WhichOneof("request") == "request_trailers":
                self._trailers = ended = True
                continue
            body += message.request_body.body
            ended = message.request_body.end_of_stream
            if len(body) > self._gateway.max_request_bytes:
                limit = self._gateway.max_request_bytes
                return replies.error(RequestTooLarge(f"The request body is over the limit of {limit} bytes."))
        metadata = dict(self._context.invocation_metadata() or ())
        return HttpRequest(
            listener=str(metadata.get("x-archgw-listener", "")),
            method=headers.get(":method", ""),
            path=headers.get(":path", "").partition("?")[0],
            headers=headers,
            body=bytes(body),
            request_id=headers.get("x-request-id", ""),
            # With tracing on, Envoy names its own span here, which is the parent of whatever we call.
            traceparent=metadata.get("traceparent") or headers.get("traceparent"),
        )

    async def _forward(self, forward: Forward) -> None:
        await self._send(replies.request_headers(forward))
        await self._send(replies.request_body(forward.body, end=not self._trailers))
        if self._trailers:
            await self._send(replies.request_trailers())

    async def _edit_response(self, edits: tuple[ResponseEdit, ...]) -> None:
        first = await self._read("response_headers")
        head = _head(first.response_headers.headers)
        if head.is_event_stream() and not head.is_encoded():
            await self._send(replies.response_headers(remove=("content-length",)))
            await self._edit_stream([edit.stream() for edit in edits], ended=first.response_headers.end_of_stream)
        else:
            await self._edit_whole(head, edits, ended=first.response_headers.end_of_stream)

    async def _edit_stream(self, edits: list[StreamEdit], *, ended: bool) -> None:
        trailers = False
        while not ended:
            message = await self._read("response_body", "response_trailers")
            trailers = message.WhichOneof("request") == "response_trailers"
            chunk = b"" if trailers else message.response_body.body
            ended = trailers or message.response_body.end_of_stream
            for edit in edits:
                chunk = edit.feed(chunk) + (edit.flush() if ended else b"")
            if chunk or ended:
                await self._send(replies.response_body(chunk, end=ended and not trailers))
        if trailers:
            await self._send(replies.response_trailers())

    async def _edit_whole(self, head: ResponseHead, edits: tuple[ResponseEdit, ...], *, ended: bool) -> None:
        """Hold the head back until the body is complete: the edit decides on both."""
        body = bytearray()
        trailers = False
        while not ended and len(body) <= _MAX_EDITED_BYTES:
            message = await self._read("response_body", "response_trailers")
            trailers = message.WhichOneof("request") == "response_trailers"
            body += b"" if trailers else message.response_body.body
            ended = trailers or message.response_body.end_of_stream
        answer = Whole(head.status, head.headers.get("content-type", ""), bytes(body))
        if ended and not head.is_encoded():
            for edit in edits:
                answer = edit.whole(answer)
            changed = ((":status", str(answer.status)), ("content-type", answer.content_type))
            await self._send(replies.response_headers((*changed, ("content-length", str(len(answer.body))))))
        else:
            log.warning(
                "response passes unedited", extra={"fields": {"bytes": len(body), "encoded": head.is_encoded()}}
            )
            await self._send(replies.response_headers())
        await self._send(replies.response_body(answer.body, end=ended and not trailers))
        if trailers:
            await self._send(replies.response_trailers())
        elif not ended:
            await self._edit_stream([], ended=False)

    async def _read(self, *expected: str) -> ProcessingRequest:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise _ProtocolError("Envoy ended the stream early")
        if message.WhichOneof("request") not in expected:
            raise _ProtocolError(f"Envoy sent {message.WhichOneof('request')}, expected {' or '.join(expected)}")
        return message

    async def _send(self, response: ProcessingResponse) -> None:
        await self._context.write(response)


def _headers(headers: HeaderMap) -> Mapping[str, str]:
    return {header.key: header.raw_value.decode(errors="replace") or header.value for header in headers.headers}


def _head(headers: HeaderMap) -> ResponseHead:
    values = _headers(headers)
    return ResponseHead(status=int(values.get(":status", "0")), headers=values)


def _log(request: HttpRequest, decision: Decision, seconds: float) -> None:
    code = decision.code if isinstance(decision, Reply) else "forward"
    if code == "healthz":
        return
    fields = {
        "request_id": request.request_id,
        "listener": request.listener,
        "decision": code,
        "filter_ms": round(seconds * 1000, 2),
        **decision.notes,
    }
    log.info("decided", extra={"fields": fields})
