"""What Needle reads of a conversation: one short text. Pure; used by caller.py.

Needle takes one request, not a dialogue. When the assistant asked for arguments by name ("Could you provide the
following details days ?") and the user answered "5", the text is the first request, and the answer under the names that
were asked for: "days: 5".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# About 1,000 tokens, 2 s of reading. What is asked for stands at the beginning or the end of a long text.
MAX_CHARACTERS = 2000
_GAP = "\n...\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message with text. `role` as in OpenAI's format."""

    role: str
    text: str


def compose(turns: Sequence[Turn], parameters: Iterable[str]) -> str:
    """The last request of the user, with the answers to every question that was asked about it since."""
    names = tuple(parameters)
    spoken = [turn for turn in turns if turn.role in {"user", "assistant"} and turn.text.strip()]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    lines: list[str] = []
    open_names = set(names)
    while spoken:
        turn = spoken.pop()
        asked = _asked(spoken[-1], names) if spoken else ()
        # A name that was asked for again was not answered here.
        labels = [name for name in asked if name in open_names]
        open_names -= set(asked)
        lines.append(f"{', '.join(labels)}: {turn.text}" if labels else turn.text)
        if not asked:
            break
        spoken.pop()
        while spoken and spoken[-1].role != "user":
            spoken.pop()
    return shorten("\n".join(reversed(lines)))


def _asked(turn: Turn, names: Sequence[str]) -> tuple[str, ...]:
    """The parameters that an assistant's question names."""
    if turn.role != "assistant" or "?" not in turn.text:
        return ()
    return tuple(name for name in names if _names(turn.text, name))


def _names(text: str, name: str) -> bool:
    spelled = re.escape(name).replace("_", "[_ -]")
    return re.search(rf"(?<!\w){spelled}(?!\w)", text, re.IGNORECASE) is not None


def shorten(text: str) -> str:
    """`text`, or its two ends where it is over the limit."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = (MAX_CHARACTERS - len(_GAP)) // 2
    return text[:half] + _GAP + text[-half:]


def parameter_names(schemas: Iterable[Mapping[str, object]]) -> list[str]:
    """The property names of several parameter schemas, each once, in order."""
    names: dict[str, None] = {}
    for schema in schemas:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            names.update(dict.fromkeys(str(name) for name in properties))
    return list(names)
