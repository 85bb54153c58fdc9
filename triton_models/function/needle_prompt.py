"""Composes the one short text that Needle reads of a conversation. Pure; used by needle_caller.py.

Needle takes one request, not a dialogue. If the assistant asked for arguments by name ("Could you provide the following
details days ?") and the user answered "5", the text is the first request, then the answer with the names: "days: 5".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from triton_models.function.request import Message, shorten


def compose_prompt(messages: Sequence[Message], parameters: Iterable[str]) -> str:
    """Returns the user's last request with the answers to all later questions about it."""
    names = tuple(parameters)
    spoken = [message for message in messages if message.role in {"user", "assistant"} and message.text.strip()]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    lines: list[str] = []
    unanswered = set(names)
    while spoken:
        message = spoken.pop()
        requested = _requested_names(spoken[-1], names) if spoken else ()
        # Only the answer to the last question for a name counts.
        labels = [name for name in requested if name in unanswered]
        unanswered -= set(requested)
        lines.append(f"{', '.join(labels)}: {message.text}" if labels else message.text)
        if not requested:
            break
        spoken.pop()
        while spoken and spoken[-1].role != "user":
            spoken.pop()
    return shorten("\n".join(reversed(lines)))


def _requested_names(message: Message, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the parameters that a question of the assistant names."""
    if message.role != "assistant" or "?" not in message.text:
        return ()
    return tuple(name for name in names if _contains_name(message.text, name))


def _contains_name(text: str, name: str) -> bool:
    pattern = re.escape(name).replace("_", "[_ -]")
    return re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE) is not None


def parameter_names(schemas: Iterable[Mapping[str, object]]) -> list[str]:
    """Returns the property names of several parameter schemas, without duplicates, in order."""
    names: dict[str, None] = {}
    for schema in schemas:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            names.update(dict.fromkeys(str(name) for name in properties))
    return list(names)
