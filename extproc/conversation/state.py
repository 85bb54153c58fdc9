"""`metadata["x-arch-state"]`: the gateway's state of a conversation. The client carries it from request to request.

A JSON string `{"messages": "<JSON string of [assistant message with tool_calls, one tool message per call]>"}`; after a
clarification also `"question": {"target": ..., "missing": [...]}`. The client can forge it: this module checks and
bounds it, and the guards read the prompt in any case. Used by the ingress pipeline and by the response path.
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

# The `model` of the messages that the gateway itself writes in function calling.
FUNCTION_MODEL: Final = "Arch-Function"

KEY: Final = "x-arch-state"

# The API answers of one prompt are bounded at 1 MiB together. With the calls and JSON escapes applied twice, no honest
# state is larger.
MAX_BYTES: Final = 8 << 20
# More than any prompt asks for. Bounds the time to read a list of many small messages.
MAX_MESSAGES: Final = 64
# JSON values. Answers are strings, so an honest state holds few: the calls with their arguments.
MAX_VALUES: Final = 10_000

# Marks the tool calls of the gateway, since a client may have its own tool calls.
_CALL_PREFIX: Final = "call_arch_"
_MODEL_PREFIX: Final = "Arch"

_MALFORMED = (
    f'`metadata["{KEY}"]` is not a state of this gateway: send back the state of the last answer, or leave it out.'
)


@dataclass(frozen=True, slots=True)
class State:
    """The state that the client sent back. `question`: the target and the missing parameters of a clarification."""

    messages: tuple[Message, ...] = ()
    question: Mapping[str, JsonValue] | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the last turn that had any: the target of the clarification, or the called targets."""
        if self.question is not None:
            target = self.question.get("target")
            return (target,) if isinstance(target, str) else ()
        return tuple(dict.fromkeys(name for message in self.messages for name in _called_names(message)))


class _EncodedState(msgspec.Struct, frozen=True):
    """The JSON form of the state."""

    messages: str
    question: dict[str, Any] | None = None


_STATE: Final = msgspec.json.Decoder(_EncodedState)
_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])


def new_call_id() -> str:
    return new_id(_CALL_PREFIX)


def _openai(call: ToolCall) -> dict[str, JsonValue]:
    """Returns the call in OpenAI's form: the arguments are a JSON string."""
    function: JsonValue = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def tool_messages(calls: Sequence[ToolCall]) -> tuple[Message, ...]:
    """Returns the assistant message with the calls, then a tool message for each answer; empty without calls."""
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


def response_metadata(
    calls: Sequence[ToolCall], question: Mapping[str, JsonValue] | None = None
) -> dict[str, JsonValue]:
    """Returns the metadata of a response that uses the answers of `calls`, or of a clarification."""
    return {KEY: dump(calls, question)}


def tool_chunks(calls: Sequence[ToolCall]) -> tuple[bytes, ...]:
    """Returns the chunks before a streamed answer, as in v0.1: one with calls and state, then one per API answer."""
    # Tool calls have an index in a delta, not in a message.
    numbered: JsonValue = [{"index": index, **_openai(call)} for index, call in enumerate(calls)]
    return (
        encode_chunk(
            FUNCTION_MODEL,
            {"role": "assistant", "content": "", "tool_calls": numbered},
            metadata=response_metadata(calls),
        ),
        *(encode_chunk(FUNCTION_MODEL, _tool_message(call)) for call in calls),
    )


def dump(calls: Sequence[ToolCall], question: Mapping[str, JsonValue] | None = None) -> str:
    """Encodes the state after `calls`, or after a clarification, for the response's metadata."""
    fields: dict[str, JsonValue] = {"messages": encode_json(tool_messages(calls)).decode()}
    if question is not None:
        fields["question"] = dict(question)
    return encode_json(fields).decode()


def load(metadata: Mapping[str, JsonValue]) -> State:
    """Decodes the state in a request's metadata; an empty state if it holds none. Raises `InvalidRequest`."""
    text = metadata.get(KEY)
    if text is None:
        return State()
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise InvalidRequest(_MALFORMED)
    try:
        json_size.check(text, MAX_VALUES)
        encoded = _STATE.decode(text)
        json_size.check(encoded.messages, MAX_VALUES)
        messages = _MESSAGES.decode(encoded.messages)
    except (GatewayError, msgspec.MsgspecError, RecursionError, UnicodeError):
        raise InvalidRequest(_MALFORMED) from None
    if len(messages) > MAX_MESSAGES or not all(message.get("role") in {"assistant", "tool"} for message in messages):
        raise InvalidRequest(_MALFORMED)
    return State(tuple(messages), encoded.question)


def client_metadata(metadata: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Returns the metadata without the gateway's keys."""
    return {name: value for name, value in metadata.items() if not name.startswith("x-arch-")}


def is_gateway_message(message: Message) -> bool:
    """Returns whether the gateway wrote an assistant message, by its `model`: a clarification, or a call."""
    model = message.get("model")
    return message.get("role") == "assistant" and isinstance(model, str) and model.startswith(_MODEL_PREFIX)


def without_gateway_calls(messages: Sequence[Message]) -> list[Message]:
    """Removes the gateway's tool calls and their answers from a conversation; a client's own calls stay.

    A client that joins the chunks of a stream gets one message with the gateway's calls and the LLM's content: only the
    gateway's calls are removed from it.
    """
    kept: list[Message] = []
    gateway_ids: set[str] = set()
    for message in messages:
        calls = _calls(message)
        others = [] if is_gateway_message(message) else [call for call in calls if not _is_gateway_id(call.get("id"))]
        if len(others) < len(calls):
            gateway_ids.update(str(call.get("id")) for call in calls if call not in others)
            remainder = _with_calls(message, others)
            if others or any(texts(remainder)):
                kept.append(remainder)
        elif not (message.get("role") == "tool" and _answers_gateway_call(message, gateway_ids)):
            kept.append(message)
    return kept


def _with_calls(message: Message, calls: list[dict[str, JsonValue]]) -> Message:
    others = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**others, "tool_calls": list[JsonValue](calls)} if calls else others


def _answers_gateway_call(message: Message, gateway_ids: set[str]) -> bool:
    call_id = message.get("tool_call_id")
    return _is_gateway_id(call_id) or (isinstance(call_id, str) and call_id in gateway_ids)


def _is_gateway_id(call_id: JsonValue) -> bool:
    return isinstance(call_id, str) and call_id.startswith(_CALL_PREFIX)


def _called_names(message: Message) -> list[str]:
    """Returns the function names of a message's tool calls."""
    functions = (call.get("function") for call in _calls(message))
    names = (function.get("name") for function in functions if isinstance(function, dict))
    return [name for name in names if isinstance(name, str)]


def _calls(message: Message) -> list[dict[str, JsonValue]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
