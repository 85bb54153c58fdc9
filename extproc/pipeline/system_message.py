"""One system message leaves the ingress listener: the gateway's own, then the client's. Pure; used by dispatch.py.

Many providers take one system message and at the head only, so those that stand later move there, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.endpoints.chat_completions import Message
from extproc.shared.filter_config import JsonValue

# `developer` is what OpenAI's reasoning models call `system`; a provider that does not know it is told `system`.
ROLES: Final = frozenset({"system", "developer"})


def merged(messages: Sequence[Message], own: str | None) -> list[Message]:
    """The conversation behind one system message with `own` and all that the client's say; none where there is none.

    It has the role `developer` where one of the client's has, and the other fields of the first of them.
    """
    clients = [message for message in messages if message["role"] in ROLES]
    rest = [message for message in messages if message["role"] not in ROLES]
    contents = [*([own] if own else []), *(message.get("content") for message in clients)]
    if not contents:
        return rest
    role = "developer" if any(message["role"] == "developer" for message in clients) else "system"
    more = clients[0] if clients else {}
    return [{**more, "role": role, "content": _joined(contents)}, *rest]


def _joined(contents: Sequence[JsonValue]) -> JsonValue:
    """Texts as paragraphs of one; as parts where one of them has parts."""
    if not any(isinstance(content, list) for content in contents):
        return "\n\n".join(content for content in contents if isinstance(content, str) and content)
    parts: list[JsonValue] = []
    for content in contents:
        if isinstance(content, list):
            parts += content
        elif content:
            parts.append({"type": "text", "text": content})
    return parts
