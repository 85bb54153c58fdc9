"""The last step: the answers of APIs, or none, become what the LLM is asked and what the client sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from extproc.apis import chat, state
from extproc.apis.chat import ChatRequest, Completion, Message
from extproc.contract import Provider
from extproc.decision import Forward, Reply, ResponseEdit, ToolCall
from extproc.pipeline import instructions
from extproc.providers import wire
from extproc.targets.http import Answer


def to_llm(
    request: ChatRequest, provider: Provider, system_prompt: str | None, contexts: Sequence[str] = ()
) -> Forward:
    """The conversation for the LLM: the system prompt first, our own calls out, the APIs' answers at the end."""
    messages = [_in_words(message) for message in state.without_own_calls(request.messages)]
    if contexts:
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        messages[last] = chat.append_text(messages[last], "".join(f"\ncontext: {context}" for context in contexts))
    return wire.forward(request, instructions.merged(messages, system_prompt), provider)


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


def with_calls(request: ChatRequest, forward: Forward, calls: tuple[ToolCall, ...]) -> Forward:
    """The LLM's answer will tell the client which calls it rests on."""
    edit = forward.edit or ResponseEdit()
    return dataclasses.replace(forward, edit=msgspec.structs.replace(edit, calls=calls, own_tools=request.has_tools))


def answer(request: ChatRequest, completion: Completion, *, code: str, before: Sequence[bytes] = ()) -> Reply:
    """A completion that the gateway gives by itself, in the form that the client asked for."""
    if request.stream:
        return Reply(200, chat.stream(completion, before), code, content_type="text/event-stream")
    return Reply(200, chat.completion(completion), code)


def api_answer(request: ChatRequest, calls: Sequence[ToolCall]) -> Reply:
    """The APIs' own answers, a line each, where no LLM shall be asked."""
    content = "\n".join(call.answer for call in calls)
    if request.stream:
        before = state.chunks_of(calls, own_tools=request.has_tools)
        return answer(request, Completion(state.FUNCTION_MODEL, content), code="api_answer", before=before)
    metadata = {state.KEY: state.dump(calls)}
    return answer(request, Completion(state.FUNCTION_MODEL, content, metadata=metadata), code="api_answer")


def read(answer: Answer) -> Completion | None:
    """The completion that an endpoint answered with, as a whole or as a stream; None where it is anything else."""
    return chat.read_stream(answer.body) if answer.is_stream else chat.read_completion(answer.body)


def from_outside(request: ChatRequest, answered: Answer, *, code: str) -> Reply:
    """An endpoint's own answer for the client.

    As it is, but for a completion that came whole where the client wants a stream, or the other way round.
    """
    fits = answered.is_stream == request.stream or answered.status >= 300
    completion = None if fits else read(answered)
    if completion is not None:
        return answer(request, completion, code=code)
    return Reply(answered.status, answered.body, code, content_type=answered.content_type or "application/octet-stream")
