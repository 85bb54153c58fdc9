"""The response half: headers -> body -> trailers of a response that is edited, as the request half said in metadata."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import envoy_responses
from extproc.codecs import sse
from extproc.decision import Reply, ResponseEdit
from extproc.endpoints import error_responses
from extproc.envoy_headers import read_headers
from extproc.errors import BadUpstreamAnswer, UpstreamTimeout
from extproc.response import StreamEdit, Whole, edit_whole, stream_edits
from extproc.transport.service import ProtocolError, Stream

log = logging.getLogger(__name__)

# A JSON answer is held until it is complete; one larger than this passes as it is.
_MAX_EDITED_BYTES: Final = 32 << 20

_EVENT_STREAM: Final = "text/event-stream"
# Set by the route: how long its provider may stay silent.
_SILENCE: Final = "x-archgw-silence-ms"


async def edit(stream: Stream, head: ProcessingRequest) -> None:
    """Edit the response that `head` begins. Raises `ProtocolError`."""
    wanted = _wanted(head)
    headers = read_headers(head.response_headers.headers)
    status = _status(headers)
    body = _Incoming(stream, ended=head.response_headers.end_of_stream)
    content_type = headers.get("content-type", "")
    encoded = headers.get("content-encoding", "identity").lower() != "identity"
    if encoded:
        # None was asked for, so this is an upstream that does not care; its answer is of more use than an error.
        log.warning("encoded response passes unedited")
        await stream.send(envoy_responses.response_headers())
        await _pass(stream, body, [])
    elif content_type.lower().startswith(_EVENT_STREAM) or (not content_type and sse.begins(await body.peek())):
        changed = () if content_type else (("content-type", _EVENT_STREAM),)
        await stream.send(envoy_responses.response_headers(changed, remove=("content-length",)))
        await _pass_events(stream, body, stream_edits(wanted))
    else:
        await _edit_whole(stream, body, wanted, status, content_type)


def _wanted(head: ProcessingRequest) -> ResponseEdit:
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


class _Incoming:
    """The body of a response as it arrives. `trailers`: whether they follow it."""

    def __init__(self, stream: Stream, *, ended: bool) -> None:
        self._stream = stream
        self._ended = ended
        self._peeked = b""
        self.trailers = False

    @property
    def ended(self) -> bool:
        """Whether all of it has been read."""
        return self._ended and not self._peeked

    async def read(self) -> bytes:
        """The next bytes, which may be none."""
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            return peeked
        message = await self._stream.read("response_body", "response_trailers")
        self.trailers = message.WhichOneof("request") == "response_trailers"
        self._ended = self.trailers or message.response_body.end_of_stream
        piece: bytes = message.response_body.body
        return piece

    async def peek(self) -> bytes:
        """The first bytes, which will be read again; none where the body is empty."""
        while not self._ended and not self._peeked:
            self._peeked = await self.read()
        return self._peeked


async def _pass_events(stream: Stream, body: _Incoming, edits: list[StreamEdit]) -> None:
    """An event stream. Where its provider falls silent, it ends with an error event rather than with a cut."""
    silence_ms = stream.metadata.get(_SILENCE)
    try:
        await _pass(stream, body, edits, silence_s=int(silence_ms) / 1000 if silence_ms else None)
    except TimeoutError:
        log.warning("stream ended for silence", extra={"fields": {"silence_ms": silence_ms}})
        fault = error_responses.reply(UpstreamTimeout("The LLM provider fell silent in the middle of its answer."))
        # An event that was left half-way must not swallow this one.
        await stream.send(envoy_responses.response_body(b"\n\n" + sse.event(fault.body), end=True))


async def _pass(stream: Stream, body: _Incoming, edits: list[StreamEdit], silence_s: float | None = None) -> None:
    """The rest of the body, chunk by chunk. Raises `TimeoutError` where none comes for `silence_s`."""
    while not body.ended:
        async with asyncio.timeout(silence_s):
            chunk = await body.read()
        for each in edits:
            chunk = each.feed(chunk) + (each.flush() if body.ended else b"")
        if chunk or body.ended:
            await stream.send(envoy_responses.response_body(chunk, end=body.ended and not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.response_trailers())


async def _edit_whole(stream: Stream, body: _Incoming, wanted: ResponseEdit, status: int, content_type: str) -> None:
    """Hold the head back until the body is complete: the edit decides on both."""
    held = bytearray()
    while not body.ended and len(held) <= _MAX_EDITED_BYTES:
        held += await body.read()
    if not body.ended:
        log.warning("large response passes unedited", extra={"fields": {"bytes": len(held)}})
        await stream.send(envoy_responses.response_headers())
        await stream.send(envoy_responses.response_body(bytes(held), end=False))
        await _pass(stream, body, [])
        return
    answer = _edited(wanted, Whole(status, content_type, bytes(held)))
    if not held and answer.body:
        # Envoy takes no body for a response that came without one: the client would wait for it for ever.
        await stream.send(envoy_responses.immediate(Reply(answer.status, answer.body, "edited", answer.content_type)))
        return
    length = str(len(answer.body))
    changed = ((":status", str(answer.status)), ("content-type", answer.content_type), ("content-length", length))
    await stream.send(envoy_responses.response_headers(changed))
    await stream.send(envoy_responses.response_body(answer.body, end=not body.trailers))
    if body.trailers:
        await stream.send(envoy_responses.response_trailers())


def _edited(wanted: ResponseEdit, answer: Whole) -> Whole:
    try:
        return edit_whole(wanted, answer)
    except BadUpstreamAnswer as fault:
        # Never the answer itself, which may repeat the prompt.
        fields = {"status": answer.status, "content_type": answer.content_type, "bytes": len(answer.body)}
        log.warning("response cannot be edited", extra={"fields": fields})
        reply = error_responses.reply(fault)
        return Whole(reply.status, reply.content_type, reply.body)
