"""The last step: an API's answer, or none, becomes what the LLM is asked and what the client sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from extproc.apis import chat, sse, state
from extproc.apis.chat import ChatRequest, Completion
from extproc.apis.state import ToolCall
from extproc.contract import JsonValue, Provider
from extproc.decision import Forward, Reply, ResponseEdit, Whole
from extproc.providers import wire

FUNCTION_MODEL = "Arch-Function"


def to_llm(request: ChatRequest, provider: Provider, system_prompt: str | None, context: str | None) -> Forward:
    """The conversation for the LLM: the system prompt first, our own tool messages out, the API's answer at the end."""
    messages = state.without_own_calls(request.messages)
    if context is not None:
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        messages[last] = chat.append_text(messages[last], f"\ncontext: {context}")
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    return wire.forward(request, messages, provider)


def with_call(forward: Forward, call: ToolCall) -> Forward:
    """The LLM's answer tells the client which call it rests on."""
    edit = ResponseEdit(whole=lambda answer: _add_state(answer, call), stream=lambda: _Prepend(call_chunks(call)))
    # A compressed answer could not be edited, so none is asked for.
    return dataclasses.replace(forward, edits=(*forward.edits, edit), remove_headers=("accept-encoding",))


def answer(request: ChatRequest, completion: Completion, *, code: str, before: Sequence[bytes] = ()) -> Reply:
    """A completion that the gateway gives by itself, in the form that the client asked for."""
    if request.stream:
        return Reply(200, chat.stream(completion, before), code, content_type="text/event-stream")
    return Reply(200, chat.completion(completion), code)


def own_answer(request: ChatRequest, completion: Completion, body: bytes) -> Reply:
    """A completion that the default target gave: its own bytes, or the same as an event stream."""
    if request.stream:
        return answer(request, completion, code="api_answer")
    return Reply(200, body, "api_answer")


def api_answer(request: ChatRequest, call: ToolCall) -> Reply:
    """The API's own answer, where no LLM shall be asked."""
    completion = Completion(FUNCTION_MODEL, call.answer, metadata={state.KEY: state.dump(call)})
    return answer(request, completion, code="api_answer", before=call_chunks(call))


def call_chunks(call: ToolCall) -> tuple[bytes, bytes]:
    """The chunks that stand before an answer: the call, then what the API said."""
    _, tool = state.messages_of(call)
    # A delta numbers its tool calls; a message does not.
    delta: JsonValue = [{"index": 0, **state.tool_call(call)}]
    return (
        chat.chunk(FUNCTION_MODEL, {"role": "assistant", "content": "", "tool_calls": delta}),
        chat.chunk(FUNCTION_MODEL, tool),
    )


def _add_state(answer: Whole, call: ToolCall) -> Whole:
    """`answer` with the state in its metadata; anything but a completion passes as it is."""
    fields = chat.decode_fields(answer.body) if answer.status == 200 else None
    if fields is None:
        return answer
    metadata = chat.decode_object(bytes(fields["metadata"])) if "metadata" in fields else None
    merged = {**(metadata or {}), state.KEY: state.dump(call)}
    return dataclasses.replace(answer, body=chat.encode_json({**fields, "metadata": merged}))


class _Prepend:
    """Puts chunks before the first byte of an event stream."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._before = b"".join(map(sse.event, chunks))

    def feed(self, chunk: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + chunk

    def flush(self) -> bytes:
        return self._before
