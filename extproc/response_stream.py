"""Drives the response half of a request: headers -> body -> trailers, through the response stages. Called by server.py.

Only responses that the request half marked in dynamic metadata come here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import envoy_responses
from extproc.codecs import sse
from extproc.current_gateway import StreamGateway
from extproc.decision import Reply, ResponseEdit
from extproc.endpoints import error_responses, registry
from extproc.endpoints.endpoint import Endpoint
from extproc.envoy_headers import read_headers
from extproc.errors import BadUpstreamAnswer, UpstreamTimeout
from extproc.response_stages import stage as response_stages
from extproc.response_stages.stage import ResponseContext, ResponseStage, WholeResponse
from extproc.transport.service import ProtocolError, Stream

log = logging.getLogger(__name__)

# A whole answer is held until it is complete. A larger one passes as it is.
_MAX_EDITED_BYTES: Final = 32 << 20

_EVENT_STREAM: Final = "text/event-stream"
# Set by the route: milliseconds that its provider may stay silent.
_SILENCE: Final = "x-archgw-silence-ms"


async def edit(stream: Stream, head: ProcessingRequest, gateway: StreamGateway) -> None:
    """Edits the response that `head` begins. Raises `ProtocolError`."""
    response_edit = _read_edit(head)
    headers = read_headers(head.response_headers.headers)
    context = ResponseContext(response_edit, _status(headers))
    endpoint = registry.of_path(response_edit.request.path)
    body = _IncomingBody(stream, ended=head.response_headers.end_of_stream)
    content_type = headers.get("content-type", "")
    if headers.get("content-encoding", "identity").lower() != "identity":
        # The request allowed no encoding, and the upstream ignored that. Its answer is more useful than an error.
        log.warning("encoded response passes unedited")
        await stream.send(envoy_responses.response_headers())
        await _pass(stream, body, [])
    elif content_type.lower().startswith(_EVENT_STREAM) or (not content_type and sse.begins(await body.peek())):
        added = () if content_type else (("content-type", _EVENT_STREAM),)
        await stream.send(envoy_responses.response_headers(added, remove=("content-length",)))
        await _pass_events(stream, body, gateway.response_stages(context), endpoint)
    else:
        response = WholeResponse(context.status, content_type, b"")
        await _edit_whole(stream, body, gateway.response_stages(context), response, endpoint)


def _read_edit(head: ProcessingRequest) -> ResponseEdit:
    fields = head.metadata_context.filter_metadata[envoy_responses.EDIT].fields
    try:
        return msgspec.json.decode(fields["edit"].string_value, type=ResponseEdit)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the response comes without a readable edit: {error}") from error


def _status(headers: Mapping[str, str]) -> int:
    try:
        return int(headers.get(":status", ""))
    except ValueError as error:
        raise ProtocolError(f"the response comes without a status: {error}") from error


class _IncomingBody:
    """The body of a response as it arrives. `trailers`: trailers follow it."""

    def __init__(self, stream: Stream, *, ended: bool) -> None:
        self._stream = stream
        self._ended = ended
        self._peeked = b""
        self.trailers = False

    @property
    def ended(self) -> bool:
        """All of it has been read."""
        return self._ended and not self._peeked

    async def read(self) -> bytes:
        """Returns the next bytes, which may be none."""
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            return peeked
        message = await self._stream.read("response_body", "response_trailers")
        self.trailers = message.WhichOneof("request") == "response_trailers"
        self._ended = self.trailers or message.response_body.end_of_stream
        piece: bytes = message.response_body.body
        return piece

    async def peek(self) -> bytes:
        """Returns the first bytes, which `read` returns again; none if the body is empty."""
        while not self._ended and not self._peeked:
            self._peeked = await self.read()
        return self._peeked


async def _pass_events(
    stream: Stream, body: _IncomingBody, stages: Sequence[ResponseStage], endpoint: Endpoint
) -> None:
    """Passes an event stream on. If the provider falls silent, the stream ends with an error event."""
    silence_ms = stream.metadata.get(_SILENCE)
    try:
        await _pass(stream, body, stages, silence_s=int(silence_ms) / 1000 if silence_ms else None)
    except TimeoutError:
        log.warning("stream ended for silence", extra={"fields": {"silence_ms": silence_ms}})
        error = UpstreamTimeout("The LLM provider fell silent in the middle of its answer.")
        event = endpoint.stream_error(error.message, error.type, error.code)
        # The blank line ends an event that may have been left incomplete.
        await stream.send(envoy_responses.response_body(b"\n\n" + event, end=True))


async def _pass(
    stream: Stream, body: _IncomingBody, stages: Sequence[ResponseStage], silence_s: float | None = None
) -> None:
    """Passes the rest of the body on, chunk by chunk. Raises `TimeoutError` if none comes for `silence_s`."""
    while not body.ended:
        async with asyncio.timeout(silence_s):
            chunk = await body.read()
        chunk = await response_stages.feed(stages, chunk, is_last=body.ended)
        if chunk or body.ended:
            await stream.send(envoy_responses.response_body(chunk, end=body.ended and not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.response_trailers())


async def _edit_whole(
    stream: Stream, body: _IncomingBody, stages: Sequence[ResponseStage], head: WholeResponse, endpoint: Endpoint
) -> None:
    """Edits a whole response. Holds the head back until the body is complete: a stage may change both."""
    content = bytearray()
    while not body.ended and len(content) <= _MAX_EDITED_BYTES:
        content += await body.read()
    if not body.ended:
        log.warning("large response passes unedited", extra={"fields": {"bytes": len(content)}})
        await stream.send(envoy_responses.response_headers())
        await stream.send(envoy_responses.response_body(bytes(content), end=False))
        await _pass(stream, body, [])
        return
    response = await _edited(stages, replace(head, body=bytes(content)), endpoint)
    if not content and response.body:
        # Envoy does not accept a body for a response that came without one: the client would wait for it for ever.
        reply = Reply(response.status, response.body, "edited", response.content_type)
        await stream.send(envoy_responses.immediate(reply))
        return
    headers = (
        (":status", str(response.status)),
        ("content-type", response.content_type),
        ("content-length", str(len(response.body))),
    )
    await stream.send(envoy_responses.response_headers(headers))
    await stream.send(envoy_responses.response_body(response.body, end=not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.response_trailers())


async def _edited(stages: Sequence[ResponseStage], response: WholeResponse, endpoint: Endpoint) -> WholeResponse:
    try:
        return await response_stages.whole(stages, response)
    except BadUpstreamAnswer as error:
        # The log never holds the answer itself, which may repeat the prompt.
        fields = {"status": response.status, "content_type": response.content_type, "bytes": len(response.body)}
        log.warning("response cannot be edited", extra={"fields": fields})
        reply = error_responses.full_error(endpoint, error)
        return WholeResponse(reply.status, reply.content_type, reply.body)
