"""The last step: an API's answer, or none, becomes what the LLM is asked and what the client sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from extproc.apis import chat, state
from extproc.apis.chat import ChatRequest, Completion
from extproc.contract import Provider
from extproc.decision import Forward, Reply, ResponseEdit, ToolCall
from extproc.providers import wire


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
    """The LLM's answer will tell the client which call it rests on."""
    return dataclasses.replace(forward, edit=msgspec.structs.replace(forward.edit or ResponseEdit(), call=call))


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
    completion = Completion(state.FUNCTION_MODEL, call.answer, metadata={state.KEY: state.dump(call)})
    return answer(request, completion, code="api_answer", before=state.chunks_of(call))
