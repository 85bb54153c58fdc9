"""Messages of a conversation in the canonical form: the messages of OpenAI chat completions.

Each endpoint converts its client's messages to this form and each translator converts them to its provider's. All other
modules know this form only. https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extproc.errors import InvalidRequest
from extproc.shared.filter_config import JsonValue

Message = Mapping[str, JsonValue]

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
# OpenAI's reasoning models call the system message `developer`.
SYSTEM_ROLES: Final = frozenset({"system", "developer"})


def checked_messages(value: JsonValue) -> tuple[Message, ...]:
    """Returns `value` as messages. Raises `InvalidRequest` with the path of the first malformed one."""
    if not isinstance(value, list) or not value:
        raise InvalidRequest("`messages` must be an array with at least one message.")
    for index, message in enumerate(value):
        path = f"messages[{index}]"
        if not isinstance(message, dict):
            raise InvalidRequest(f"`{path}` must be an object.")
        if not isinstance(message.get("role"), str):
            raise InvalidRequest(f"`{path}.role` must be a string.")
        if message["role"] not in ROLES:
            raise InvalidRequest(f"`{path}.role` must be one of {', '.join(ROLES)}.")
        content = message.get("content")
        if isinstance(content, list):
            if not all(isinstance(part, dict) for part in content):
                raise InvalidRequest(f"`{path}.content` must hold objects only: each part has a `type`.")
        elif content is not None and not isinstance(content, str):
            raise InvalidRequest(f"`{path}.content` must be a string, an array of parts, or null.")
    return tuple(message for message in value if isinstance(message, dict))


def texts(message: Message) -> list[str]:
    """Returns the texts of a message: its content, or the `text` of each part. Without content, its `refusal`."""
    content = message.get("content")
    if isinstance(content, list) and content:
        values = [part.get("text", part.get("refusal")) for part in content if isinstance(part, dict)]
    else:
        values = [content or message.get("refusal") or content]
    return [value for value in values if isinstance(value, str)]


def append_text(message: Message, text: str) -> Message:
    """Returns the message with `text` at the end of its content."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": text}]}
    return {**message, "content": f"{content or ''}{text}"}


def refusal_as_content(message: Message) -> Message:
    """Returns an assistant message whose text is in `content`, since not every provider knows `refusal`."""
    if message["role"] != "assistant" or message.get("content") or not isinstance(message.get("refusal"), str):
        return message
    return {**{name: value for name, value in message.items() if name != "refusal"}, "content": message["refusal"]}


def has_tool_calls(message: Message) -> bool:
    """Returns whether an assistant message calls tools, by `tool_calls` or the older `function_call`."""
    return bool(message.get("tool_calls") or message.get("function_call"))
