"""The last step: the answers of APIs, or none, become what the LLM is asked and what the client sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import msgspec

from extproc import worker_thread
from extproc.conversation import state
from extproc.decision import Forward, Reply, ResponseEdit, ToolCall
from extproc.endpoints import chat_completions
from extproc.endpoints.chat_completions import ChatRequest, Completion, Message
from extproc.endpoints.usage import usage
from extproc.pipeline import system_message
from extproc.shared.filter_config import Provider
from extproc.targets.api_client import Answer
from extproc.translators import schema

# More bytes than this take more than a few milliseconds to count.
_COUNTED_AT_ONCE: Final = 4 << 10


def to_llm(
    request: ChatRequest, provider: Provider, system_prompt: str | None, contexts: Sequence[str] = ()
) -> Forward:
    """The conversation for the LLM: the system prompt first, our own calls out, the APIs' answers at the end."""
    messages = [_in_words(message) for message in state.without_gateway_calls(request.messages)]
    if contexts:
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        messages[last] = chat_completions.append_text(
            messages[last], "".join(f"\ncontext: {context}" for context in contexts)
        )
    return schema.forward(request, system_message.merged(messages, system_prompt), provider)


def _in_words(message: Message) -> Message:
    """A refusal as content: our questions stand there, and not every provider knows the field."""
    if message["role"] != "assistant" or message.get("content") or not isinstance(message.get("refusal"), str):
        return message
    return {**{name: value for name, value in message.items() if name != "refusal"}, "content": message["refusal"]}


def contexts(calls: Sequence[ToolCall]) -> list[str]:
    """The answers as the LLM reads them; of several each says what it answers."""
    if len(calls) == 1:
        return [calls[0].answer]
    return [f"{call.name} {call.arguments}: {call.answer}" for call in calls]


def with_calls(request: ChatRequest, forward: Forward, calls: tuple[ToolCall, ...], *, tool_chunks: bool) -> Forward:
    """The LLM's answer will tell the client which calls it rests on. `tool_chunks`: as 0.1 did, where it streams."""
    edit = msgspec.structs.replace(
        forward.edit or ResponseEdit(), calls=calls, tool_chunks=_has_tool_chunks(request, tool_chunks)
    )
    return dataclasses.replace(forward, edit=edit)


def _has_tool_chunks(request: ChatRequest, wanted: bool) -> bool:
    """Never for a client with tools of its own: it would mix these calls up with the LLM's."""
    return wanted and request.stream and not request.has_tools


async def answer(request: ChatRequest, completion: Completion, *, code: str, before: Sequence[bytes] = ()) -> Reply:
    """A completion that the gateway gives by itself, in the form that the client asked for."""
    if completion.usage is None:
        large = request.is_large or _size(request) + len(completion.content) > _COUNTED_AT_ONCE
        counted = await worker_thread.run(large, usage, request.messages, completion.content)
        completion = dataclasses.replace(completion, usage=counted)
    if request.stream:
        body = chat_completions.stream(completion, before, include_usage=request.include_usage)
        return Reply(200, body, code, content_type="text/event-stream")
    return Reply(200, chat_completions.completion(completion), code)


def _size(request: ChatRequest) -> int:
    return len(request.fields.get("messages", b""))


async def api_answer(request: ChatRequest, calls: Sequence[ToolCall], *, tool_chunks: bool) -> Reply:
    """The APIs' own answers, a line each, where no LLM shall be asked."""
    shown = _has_tool_chunks(request, tool_chunks)
    completion = Completion(
        state.FUNCTION_MODEL,
        "\n".join(call.answer for call in calls),
        metadata=None if shown else state.response_metadata(calls),
    )
    return await answer(request, completion, code="api_answer", before=state.tool_chunks(calls) if shown else ())


def read(answer: Answer) -> Completion | None:
    """The completion that an endpoint answered with, as a whole or as a stream; None where it is anything else."""
    return (
        chat_completions.read_stream(answer.body) if answer.is_stream else chat_completions.read_completion(answer.body)
    )


async def from_outside(request: ChatRequest, answered: Answer, *, code: str) -> Reply:
    """An endpoint's own answer for the client.

    As it is, but for a completion that came whole where the client wants a stream, or the other way round.
    """
    fits = answered.is_stream == request.stream or answered.status >= 300
    completion = None if fits else read(answered)
    if completion is not None:
        return await answer(request, completion, code=code)
    return Reply(answered.status, answered.body, code, content_type=answered.content_type or "application/octet-stream")
