"""`metadata["x-arch-state"]`: what the gateway needs to know next time, carried by the client.

A JSON string `{"messages": "<JSON string of [assistant message with tool_calls, a tool message a call]>"}`, and after a
question `"question": {...}` with what is known so far. It comes from outside: it is checked and bounded here, and it
never spares a prompt the guards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from extproc.codecs import json_size
from extproc.codecs.json_values import encode_json
from extproc.conversation.chat_completion_json import encode_chunk, new_id
from extproc.conversation.messages import Message, texts
from extproc.decision import ToolCall
from extproc.errors import GatewayError, InvalidRequest
from extproc.shared.filter_config import JsonValue

# The model that answers for what the gateway itself does in function calling.
FUNCTION_MODEL: Final = "Arch-Function"

KEY: Final = "x-arch-state"

# The API answers of one prompt are bounded at 1 MiB together; with the calls beside them and JSON's escapes twice over,
# no honest state is larger.
MAX_BYTES: Final = 8 << 20
# More than any prompt asks for; a list of a million small messages would take its time.
MAX_MESSAGES: Final = 64
# Of JSON: answers are strings, so what there is of it is a few calls with their arguments.
MAX_VALUES: Final = 10_000

# Marks the tool calls that the gateway made, so that they are told from a client's own.
_CALL_PREFIX: Final = "call_arch_"
_MODEL_PREFIX: Final = "Arch"

_MALFORMED = (
    f'`metadata["{KEY}"]` is not a state of this gateway: send back what the last answer held, or leave it out.'
)


@dataclass(frozen=True, slots=True)
class State:
    """What the client brought back. `question`: what a question of the gateway asked for, and what it knew already."""

    messages: tuple[Message, ...] = ()
    question: Mapping[str, JsonValue] | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of the last turn that had any: the one that a question was about, or those that were called."""
        if self.question is not None:
            target = self.question.get("target")
            return (target,) if isinstance(target, str) else ()
        return tuple(dict.fromkeys(name for message in self.messages for name in _called(message)))


class _Carried(msgspec.Struct, frozen=True):
    """The state as it is written."""

    messages: str
    question: dict[str, Any] | None = None


_CARRIED: Final = msgspec.json.Decoder(_Carried)
_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])


def new_call_id() -> str:
    return new_id(_CALL_PREFIX)


def _openai(call: ToolCall) -> dict[str, JsonValue]:
    """The call in the OpenAI form: arguments are a JSON string."""
    function: JsonValue = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def messages_of(calls: Sequence[ToolCall]) -> tuple[Message, ...]:
    """The assistant message that calls, and a tool message for each answer, in order; none without calls."""
    if not calls:
        return ()
    assistant: Message = {
        "role": "assistant",
        "model": FUNCTION_MODEL,
        "content": "",
        "tool_calls": [_openai(call) for call in calls],
    }
    return assistant, *(_tool_message(call) for call in calls)


def _tool_message(call: ToolCall) -> Message:
    return {"role": "tool", "content": call.answer, "tool_call_id": call.call_id}


def metadata_of(calls: Sequence[ToolCall], question: Mapping[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    """The metadata of an answer that rests on `calls`, or that is a question."""
    return {KEY: dump(calls, question)}


def tool_chunks(calls: Sequence[ToolCall]) -> tuple[bytes, ...]:
    """The chunks before a streamed answer of 0.1: one with the calls and the state, one for each API's answer."""
    # A delta numbers its tool calls; a message does not.
    numbered: JsonValue = [{"index": index, **_openai(call)} for index, call in enumerate(calls)]
    return (
        encode_chunk(
            FUNCTION_MODEL, {"role": "assistant", "content": "", "tool_calls": numbered}, metadata=metadata_of(calls)
        ),
        *(encode_chunk(FUNCTION_MODEL, _tool_message(call)) for call in calls),
    )


def dump(calls: Sequence[ToolCall], question: Mapping[str, JsonValue] | None = None) -> str:
    """The state after `calls`, or after a question, as the string that goes into the response's metadata."""
    carried: dict[str, JsonValue] = {"messages": encode_json(messages_of(calls)).decode()}
    if question is not None:
        carried["question"] = dict(question)
    return encode_json(carried).decode()


def load(metadata: Mapping[str, JsonValue]) -> State:
    """The state in a request's metadata, an empty one where there is none. Raises `InvalidRequest`."""
    text = metadata.get(KEY)
    if text is None:
        return State()
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise InvalidRequest(_MALFORMED)
    try:
        json_size.check(text, MAX_VALUES)
        carried = _CARRIED.decode(text)
        json_size.check(carried.messages, MAX_VALUES)
        messages = _MESSAGES.decode(carried.messages)
    except (GatewayError, msgspec.MsgspecError, RecursionError, UnicodeError):
        raise InvalidRequest(_MALFORMED) from None
    if len(messages) > MAX_MESSAGES or not all(message.get("role") in {"assistant", "tool"} for message in messages):
        raise InvalidRequest(_MALFORMED)
    return State(tuple(messages), carried.question)


def without(metadata: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The client's own metadata."""
    return {name: value for name, value in metadata.items() if not name.startswith("x-arch-")}


def is_own(message: Message) -> bool:
    """Whether the gateway wrote this assistant message: a question, or a call."""
    model = message.get("model")
    return message.get("role") == "assistant" and isinstance(model, str) and model.startswith(_MODEL_PREFIX)


def without_own_calls(messages: Sequence[Message]) -> list[Message]:
    """The conversation without the tool calls that the gateway made and their answers; a client's own stay.

    A client that puts the chunks of a stream together has one message of ours and the LLM's: what is not ours stays.
    """
    kept: list[Message] = []
    own: set[str] = set()
    for message in messages:
        calls = _calls(message)
        rest = [] if is_own(message) else [call for call in calls if not _is_own_id(call.get("id"))]
        if len(rest) < len(calls):
            own.update(str(call.get("id")) for call in calls if call not in rest)
            remains = _with_calls(message, rest)
            if rest or any(texts(remains)):
                kept.append(remains)
        elif not (message.get("role") == "tool" and _answers_own(message, own)):
            kept.append(message)
    return kept


def _with_calls(message: Message, calls: list[dict[str, JsonValue]]) -> Message:
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**rest, "tool_calls": list[JsonValue](calls)} if calls else rest


def _answers_own(message: Message, own: set[str]) -> bool:
    call_id = message.get("tool_call_id")
    return _is_own_id(call_id) or (isinstance(call_id, str) and call_id in own)


def _is_own_id(call_id: JsonValue) -> bool:
    return isinstance(call_id, str) and call_id.startswith(_CALL_PREFIX)


def _called(message: Message) -> list[str]:
    """The names of what a message calls."""
    functions = (call.get("function") for call in _calls(message))
    names = (function.get("name") for function in functions if isinstance(function, dict))
    return [name for name in names if isinstance(name, str)]


def _calls(message: Message) -> list[dict[str, JsonValue]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
