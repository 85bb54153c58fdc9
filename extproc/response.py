"""What a response becomes on its way back to the client. Pure: bytes and values in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from extproc.apis import chat, sse, state
from extproc.contract import Wire
from extproc.decision import ResponseEdit, ToolCall
from extproc.errors import BadUpstreamAnswer
from extproc.providers import triton


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
    if edit.wire is Wire.TRITON:
        status, body = triton.unwrap(answer.status, answer.body)
        answer = Whole(status, "application/json", body)
    return _add_state(answer, edit.calls) if edit.calls and 200 <= answer.status < 300 else answer


def stream_edits(edit: ResponseEdit) -> list[StreamEdit]:
    """The edits of an event stream, in the order in which each chunk takes them."""
    edits: list[StreamEdit] = []
    if edit.wire is Wire.TRITON:
        edits.append(triton.UnwrapStream())
    if edit.calls:
        edits.append(_Prepend(state.chunks_of(edit.calls, own_tools=edit.own_tools)))
    return edits


def _add_state(answer: Whole, calls: Sequence[ToolCall]) -> Whole:
    """`answer` with the state in its metadata. Raises `BadUpstreamAnswer` where it is no JSON object."""
    fields = chat.decode_fields(answer.body)
    if fields is None:
        raise BadUpstreamAnswer("The LLM provider's answer is no JSON object.")
    metadata = chat.decode_object(bytes(fields["metadata"])) if "metadata" in fields else None
    merged = {**(metadata or {}), state.KEY: state.dump(calls)}
    return replace(answer, body=chat.encode_json({**fields, "metadata": merged}))


class _Prepend:
    """Puts chunks before the first byte of an event stream."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._before = b"".join(map(sse.event, chunks))

    def feed(self, chunk: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + chunk

    def flush(self) -> bytes:
        return self._before
