"""`metadata["x-arch-state"]`: what the gateway needs to know next time, carried by the client.

A JSON string `{"messages": "<JSON string of [assistant message with tool_calls, tool message]>"}`. It comes from
outside: it is checked and bounded here, and it never spares a prompt the guards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from extproc.apis.chat import Message, chunk, encode_json, new_id
from extproc.contract import JsonValue
from extproc.decision import ToolCall
from extproc.errors import InvalidRequest

# The model that answers for what the gateway itself does in function calling.
FUNCTION_MODEL: Final = "Arch-Function"

KEY: Final = "x-arch-state"

# An API answer is bounded at 1 MiB; with the call beside it and JSON's escapes twice over, no honest state is larger.
MAX_BYTES: Final = 4 << 20

# Marks the tool calls that the gateway made, so that they are told from a client's own.
_CALL_PREFIX: Final = "call_arch_"
_MODEL_PREFIX: Final = "Arch"

_MALFORMED = (
    f'`metadata["{KEY}"]` is not a state of this gateway: send back what the last answer held, or leave it out.'
)


def new_call_id() -> str:
    return new_id(_CALL_PREFIX)


def _openai(call: ToolCall) -> dict[str, JsonValue]:
    """The call in the OpenAI form: arguments are a JSON string."""
    function: JsonValue = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def messages_of(call: ToolCall) -> tuple[Message, Message]:
    """The assistant message that calls, and the tool message that answers."""
    assistant: Message = {
        "role": "assistant",
        "model": FUNCTION_MODEL,
        "content": "",
        "tool_calls": [_openai(call)],
    }
    return assistant, {"role": "tool", "content": call.answer, "tool_call_id": call.call_id}


def chunks_of(call: ToolCall) -> tuple[bytes, bytes]:
    """The same two messages as chunks, which a stream has before its answer."""
    # A delta numbers its tool calls; a message does not.
    calls: JsonValue = [{"index": 0, **_openai(call)}]
    _, tool = messages_of(call)
    return (
        chunk(FUNCTION_MODEL, {"role": "assistant", "content": "", "tool_calls": calls}),
        chunk(FUNCTION_MODEL, tool),
    )


def dump(call: ToolCall) -> str:
    """The state after `call`, as the string that goes into the response's metadata."""
    return encode_json({"messages": encode_json(messages_of(call)).decode()}).decode()


def load(metadata: Mapping[str, JsonValue]) -> tuple[Message, ...]:
    """The messages of the state in a request's metadata, none where there is no state. Raises `InvalidRequest`."""
    text = metadata.get(KEY)
    if text is None:
        return ()
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise InvalidRequest(_MALFORMED)
    try:
        state = msgspec.json.decode(text, type=dict[str, str])
        messages = msgspec.json.decode(state["messages"], type=list[dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError, KeyError, UnicodeError):
        raise InvalidRequest(_MALFORMED) from None
    if not all(message.get("role") in {"assistant", "tool"} for message in messages):
        raise InvalidRequest(_MALFORMED)
    return tuple(messages)


def without(metadata: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The client's own metadata."""
    return {name: value for name, value in metadata.items() if not name.startswith("x-arch-")}


def is_own(message: Message) -> bool:
    """Whether the gateway wrote this assistant message: a question, or a call."""
    model = message.get("model")
    return message.get("role") == "assistant" and isinstance(model, str) and model.startswith(_MODEL_PREFIX)


def without_own_calls(messages: Sequence[Message]) -> list[Message]:
    """The conversation without the tool calls that the gateway made and their answers; a client's own stay."""
    kept: list[Message] = []
    own: set[object] = set()
    for message in messages:
        ids = _call_ids(message)
        if ids and (is_own(message) or all(call_id.startswith(_CALL_PREFIX) for call_id in ids)):
            own.update(ids)
        elif not (message.get("role") == "tool" and _answers_own(message, own)):
            kept.append(message)
    return kept


def _answers_own(message: Message, own: set[object]) -> bool:
    call_id = message.get("tool_call_id")
    return call_id in own or (isinstance(call_id, str) and call_id.startswith(_CALL_PREFIX))


def _call_ids(message: Message) -> list[str]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return []
    return [str(call.get("id", "")) for call in calls if isinstance(call, dict)]
