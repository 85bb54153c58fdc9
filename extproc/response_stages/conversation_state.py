"""Adds the conversation state to a response: the tool calls that it rests on, in its metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from extproc.codecs import sse
from extproc.codecs.json_values import decode_fields, decode_object, encode_json
from extproc.conversation import state
from extproc.conversation.chat_completion_json import split_first_chunk
from extproc.decision import ToolCall
from extproc.errors import BadUpstreamAnswer
from extproc.response_stages.stage import ResponseContext, ResponseStage, WholeResponse

# A longer event passes as it is: no first chunk of an answer is that long.
_MAX_EVENT_BYTES: Final = 1 << 20


def state_stage(context: ResponseContext) -> ResponseStage | None:
    """Returns the stage for a response that rests on tool calls of the gateway."""
    edit = context.edit
    if not edit.calls:
        return None
    return ToolChunksStage(edit.calls) if edit.tool_chunks else StateStage(edit.calls)


class StateStage:
    """Puts the state into the metadata of a whole answer, or into a chunk before a stream's first one.

    That chunk needs the id and the model of the first one, so the stage waits for it. Comments that keep the connection
    open and chunks without a choice pass at once. A stream without an answer, such as an error, passes as it is.
    """

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self._metadata = state.response_metadata(calls)
        self._incomplete_event = b""
        self._is_waiting = True

    async def whole(self, response: WholeResponse) -> WholeResponse:
        if not 200 <= response.status < 300:
            return response
        fields = decode_fields(response.body)
        if fields is None:
            raise BadUpstreamAnswer("The LLM provider's answer is no JSON object.")
        metadata = decode_object(fields["metadata"]) if "metadata" in fields else None
        merged = {**(metadata or {}), **self._metadata}
        return dataclasses.replace(response, body=encode_json({**fields, "metadata": merged}))

    async def feed(self, chunk: bytes) -> bytes:
        if not self._is_waiting:
            return chunk
        *events, self._incomplete_event = sse.split(self._incomplete_event + chunk)
        out = b"".join(map(self._with_state, events))
        if not self._is_waiting or len(self._incomplete_event) > _MAX_EVENT_BYTES:
            self._is_waiting = False
            return out + await self.finish()
        return out

    async def finish(self) -> bytes:
        event, self._incomplete_event = self._incomplete_event, b""
        return self._with_state(event)

    def _with_state(self, event: bytes) -> bytes:
        """Returns `event`, or the two that take its place if it is the first chunk."""
        payload = sse.payload(event) if self._is_waiting else None
        chunks = split_first_chunk(payload, self._metadata) if payload else None
        if chunks is None:
            return event
        self._is_waiting = False
        return b"".join(map(sse.event, chunks))


class ToolChunksStage(StateStage):
    """Puts the tool calls before a stream in chunks of their own, as 0.1 did. A whole answer has the state."""

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        super().__init__(calls)
        self._chunks = b"".join(map(sse.event, state.tool_chunks(calls)))

    async def feed(self, chunk: bytes) -> bytes:
        chunks, self._chunks = self._chunks, b""
        return chunks + chunk

    async def finish(self) -> bytes:
        chunks, self._chunks = self._chunks, b""
        return chunks
