"""Merges all system messages of a conversation into one at its head. Pure; used by response_assembly.py.

Many providers take one system message, and only at the head. The gateway's own text comes first, then the client's
system messages in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

from extproc.conversation.messages import SYSTEM_ROLES, Message
from extproc.shared.filter_config import JsonValue


def merged(messages: Sequence[Message], own: str | None) -> list[Message]:
    """Returns one system message and then the other messages. Without any system text there is no system message.

    `own`: the gateway's text. The merged message keeps the other fields of the client's first system message. Its role
    is `developer` if one of the client's system messages has that role.
    """
    clients = [message for message in messages if message["role"] in SYSTEM_ROLES]
    rest = [message for message in messages if message["role"] not in SYSTEM_ROLES]
    contents = [*([own] if own else []), *(message.get("content") for message in clients)]
    if not contents:
        return rest
    role = "developer" if any(message["role"] == "developer" for message in clients) else "system"
    first = clients[0] if clients else {}
    return [{**first, "role": role, "content": _joined(contents)}, *rest]


def _joined(contents: Sequence[JsonValue]) -> JsonValue:
    """Returns the texts as paragraphs of one text, or as parts if one of them has parts."""
    if not any(isinstance(content, list) for content in contents):
        return "\n\n".join(content for content in contents if isinstance(content, str) and content)
    parts: list[JsonValue] = []
    for content in contents:
        if isinstance(content, list):
            parts += content
        elif content:
            parts.append({"type": "text", "text": content})
    return parts
