"""Builds the result of a decision: the request for the LLM, or the gateway's own answer to the client.

Used by ingress.py and error_handling.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import msgspec

from extproc import worker_thread
from extproc.conversation import chat_completion_json, state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.completion import Completion
from extproc.conversation.messages import append_text, refusal_as_content
from extproc.decision import Forward, Reply, ResponseEdit, ToolCall
from extproc.endpoints.usage import usage
from extproc.pipeline import system_message
from extproc.pipeline.request_context import RequestContext
from extproc.shared.filter_config import Provider
from extproc.targets.api_client import ApiAnswer
from extproc.translators import registry

# Counting the tokens of more bytes than this takes more than a few milliseconds.
_COUNTED_AT_ONCE: Final = 4 << 10


def to_llm(chat: ChatRequest, provider: Provider, system_prompt: str | None, contexts: Sequence[str] = ()) -> Forward:
    """Returns the conversation for the LLM.

    The system prompt comes first, calls of the gateway are left out, and `contexts`, the answers of APIs, are appended
    to the last user message.
    """
    messages = [refusal_as_content(message) for message in state.without_gateway_calls(chat.messages)]
    if contexts:
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        messages[last] = append_text(messages[last], "".join(f"\ncontext: {context}" for context in contexts))
    return registry.forward(chat, system_message.merged(messages, system_prompt), provider)


def contexts(calls: Sequence[ToolCall]) -> list[str]:
    """Returns the API answers as texts for the LLM. If there are several, each text names its call."""
    if len(calls) == 1:
        return [calls[0].answer]
    return [f"{call.name} {call.arguments}: {call.answer}" for call in calls]


def with_tool_calls(chat: ChatRequest, forward: Forward, calls: tuple[ToolCall, ...], *, tool_chunks: bool) -> Forward:
    """Returns `forward` with the tool calls whose answers the LLM reads. The response half adds them to its response.

    `tool_chunks`: a stream shows the calls in separate chunks, as v0.1 does.
    """
    edit = msgspec.structs.replace(
        forward.edit or ResponseEdit(), calls=calls, tool_chunks=_shows_tool_chunks(chat, enabled=tool_chunks)
    )
    return dataclasses.replace(forward, edit=edit)


def _shows_tool_chunks(chat: ChatRequest, *, enabled: bool) -> bool:
    """Returns whether a stream shows tool chunks. A client with its own tools would take these calls for the LLM's."""
    return enabled and chat.stream and not chat.has_tools


async def answer(
    context: RequestContext, completion: Completion, *, code: str, tool_calls: Sequence[ToolCall] = ()
) -> Reply:
    """Returns `completion` as a reply, whole or as a stream, as the client requested.

    `tool_calls`: the calls that a stream shows first, as v0.1 does.
    """
    chat = context.chat
    if completion.usage is None:
        is_long = chat.is_large or chat.messages_bytes + len(completion.content) > _COUNTED_AT_ONCE
        counted = await worker_thread.run(is_long, usage, chat.messages, completion.content)
        completion = dataclasses.replace(completion, usage=counted)
    if chat.stream:
        body = context.endpoint.stream(completion, tool_calls, include_usage=chat.include_usage)
        return Reply(200, body, code, content_type="text/event-stream")
    return Reply(200, context.endpoint.completion(completion), code)


async def api_answer(context: RequestContext, calls: Sequence[ToolCall], *, tool_chunks: bool) -> Reply:
    """Returns the API answers as the reply, one line each, for targets whose answers do not go to an LLM."""
    shows_chunks = _shows_tool_chunks(context.chat, enabled=tool_chunks)
    completion = Completion(
        state.FUNCTION_MODEL,
        "\n".join(call.answer for call in calls),
        metadata=None if shows_chunks else state.response_metadata(calls),
    )
    return await answer(context, completion, code="api_answer", tool_calls=calls if shows_chunks else ())


def read_completion(answer: ApiAnswer) -> Completion | None:
    """Returns the completion in a prompt target's answer, whole or streamed; None if the answer is anything else."""
    decode = chat_completion_json.decode_stream if answer.is_stream else chat_completion_json.decode_completion
    return decode(answer.body)


async def relayed(context: RequestContext, received: ApiAnswer, *, code: str) -> Reply:
    """Returns a prompt target's answer as the reply to the client.

    The answer is unchanged, except that a whole completion becomes a stream, or a stream a whole completion, if the
    client requested that.
    """
    fits = received.is_stream == context.chat.stream or received.status >= 300
    completion = None if fits else read_completion(received)
    if completion is not None:
        return await answer(context, completion, code=code)
    content_type = received.content_type or "application/octet-stream"
    return Reply(received.status, received.body, code, content_type=content_type)
