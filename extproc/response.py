"""What a response becomes on its way back to the client. Pure: bytes and values in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from extproc.codecs import sse
from extproc.conversation import state
from extproc.decision import ResponseEdit, ToolCall
from extproc.endpoints import chat_completions
from extproc.errors import BadUpstreamAnswer
from extproc.shared.filter_config import Schema
from extproc.translators import triton


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete response body with its status."""

    status: int
    content_type: str
    body: bytes


class StreamEdit(Protocol):
    """Changes an event stream as it passes. Chunk borders are arbitrary."""

    def feed(self, chunk: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


def edit_whole(edit: ResponseEdit, answer: Whole) -> Whole:
    """A JSON answer; errors pass as they are. Raises `BadUpstreamAnswer`."""
    if edit.schema is Schema.TRITON:
        status, body = triton.unwrap(answer.status, answer.body)
        answer = Whole(status, "application/json", body)
    return _add_state(answer, edit.calls) if edit.calls and 200 <= answer.status < 300 else answer


def stream_edits(edit: ResponseEdit) -> list[StreamEdit]:
    """The edits of an event stream, in the order in which each chunk takes them."""
    edits: list[StreamEdit] = []
    if edit.schema is Schema.TRITON:
        edits.append(triton.UnwrapStream())
    if edit.calls:
        edits.append(_Prepend(state.tool_chunks(edit.calls)) if edit.tool_chunks else _AddState(edit.calls))
    return edits


def _add_state(answer: Whole, calls: Sequence[ToolCall]) -> Whole:
    """`answer` with the state in its metadata. Raises `BadUpstreamAnswer` where it is no JSON object."""
    fields = chat_completions.decode_fields(answer.body)
    if fields is None:
        raise BadUpstreamAnswer("The LLM provider's answer is no JSON object.")
    metadata = chat_completions.decode_object(bytes(fields["metadata"])) if "metadata" in fields else None
    merged = {**(metadata or {}), **state.response_metadata(calls)}
    return replace(answer, body=chat_completions.encode_json({**fields, "metadata": merged}))


# An event that is longer passes as it is: no first chunk of an answer is.
_MAX_HELD_BYTES: Final = 1 << 20


class _AddState:
    """Puts the state before a stream's first chunk, in a chunk of the same id and model.

    So it waits for that one. What comes before it (comments that keep a connection open, chunks without a choice)
    passes at once, and a stream without an answer, such as an error, as it is.
    """

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self._metadata = state.response_metadata(calls)
        self._held = b""
        self._waits = True

    def feed(self, chunk: bytes) -> bytes:
        if not self._waits:
            return chunk
        *events, self._held = sse.split(self._held + chunk)
        out = b"".join(map(self._passed, events))
        if not self._waits or len(self._held) > _MAX_HELD_BYTES:
            self._waits = False
            return out + self.flush()
        return out

    def flush(self) -> bytes:
        held, self._held = self._held, b""
        return self._passed(held)

    def _passed(self, event: bytes) -> bytes:
        """One event, or the two that take its place."""
        payload = sse.payload(event) if self._waits else None
        opened = chat_completions.opened(payload, self._metadata) if payload else None
        if opened is None:
            return event
        self._waits = False
        return b"".join(map(sse.event, opened))


class _Prepend:
    """Puts chunks before the first byte of an event stream."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._before = b"".join(map(sse.event, chunks))

    def feed(self, chunk: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + chunk

    def flush(self) -> bytes:
        return self._before
