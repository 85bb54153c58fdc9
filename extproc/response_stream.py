"""The response half: headers -> body -> trailers of a response that is edited, as the request half said in metadata."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from extproc import replies
from extproc.decision import ResponseEdit
from extproc.envoy_headers import read_headers
from extproc.response import StreamEdit, Whole, edit_whole, stream_edits
from extproc.transport.service import ProtocolError, Stream

log = logging.getLogger(__name__)

# A JSON answer is held until it is complete; one larger than this passes as it is.
_MAX_EDITED_BYTES: Final = 32 << 20


async def edit(stream: Stream, head: ProcessingRequest) -> None:
    """Edit the response that `head` begins. Raises `ProtocolError`."""
    wanted = _wanted(head)
    headers = read_headers(head.response_headers.headers)
    status = _status(headers)
    ended = head.response_headers.end_of_stream
    encoded = headers.get("content-encoding", "identity").lower() != "identity"
    if headers.get("content-type", "").lower().startswith("text/event-stream") and not encoded:
        await stream.send(replies.response_headers(remove=("content-length",)))
        await _pass(stream, stream_edits(wanted), ended=ended)
    elif encoded:
        # None was asked for, so this is an upstream that does not care; its answer is of more use than an error.
        log.warning("encoded response passes unedited")
        await stream.send(replies.response_headers())
        await _pass(stream, [], ended=ended)
    else:
        await _edit_whole(stream, wanted, status, headers.get("content-type", ""), ended=ended)


def _wanted(head: ProcessingRequest) -> ResponseEdit:
    fields = head.metadata_context.filter_metadata[replies.EDIT].fields
    try:
        return msgspec.json.decode(fields["edit"].string_value, type=ResponseEdit)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the response comes without a readable edit: {error}") from error


def _status(headers: Mapping[str, str]) -> int:
    try:
        return int(headers.get(":status", ""))
    except ValueError as error:
        raise ProtocolError(f"the response comes without a status: {error}") from error


async def _pass(stream: Stream, edits: list[StreamEdit], *, ended: bool) -> None:
    """The rest of the body, chunk by chunk."""
    trailers = False
    while not ended:
        chunk, ended, trailers = await _read_chunk(stream)
        for each in edits:
            chunk = each.feed(chunk) + (each.flush() if ended else b"")
        if chunk or ended:
            await stream.send(replies.response_body(chunk, end=ended and not trailers))
    if trailers:
        await stream.send(replies.response_trailers())


async def _edit_whole(stream: Stream, wanted: ResponseEdit, status: int, content_type: str, *, ended: bool) -> None:
    """Hold the head back until the body is complete: the edit decides on both."""
    body = bytearray()
    trailers = False
    while not ended and len(body) <= _MAX_EDITED_BYTES:
        chunk, ended, trailers = await _read_chunk(stream)
        body += chunk
    if not ended:
        log.warning("large response passes unedited", extra={"fields": {"bytes": len(body)}})
        await stream.send(replies.response_headers())
        await stream.send(replies.response_body(bytes(body), end=False))
        await _pass(stream, [], ended=False)
        return
    answer = edit_whole(wanted, Whole(status, content_type, bytes(body)))
    length = str(len(answer.body))
    changed = ((":status", str(answer.status)), ("content-type", answer.content_type), ("content-length", length))
    await stream.send(replies.response_headers(changed))
    await stream.send(replies.response_body(answer.body, end=not trailers))
    if trailers:
        await stream.send(replies.response_trailers())


async def _read_chunk(stream: Stream) -> tuple[bytes, bool, bool]:
    """The next bytes; whether they are the last; whether trailers follow them."""
    message = await stream.read("response_body", "response_trailers")
    if message.WhichOneof("request") == "response_trailers":
        return b"", True, True
    return message.response_body.body, message.response_body.end_of_stream, False
