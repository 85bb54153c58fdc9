"""Retries of structured-output clients: what their library asks by itself. Used by ingress.py, screening.py and
refused_turns.py.

A library that wants an object and gets none appends the answer and a message of its own ("correct your JSON"), as the
user. Our questions and refusals stand in `refusal`, which some libraries drop, so that an empty message is left of
them. What the library says is no prompt: alone it would have the LLM invent the object that the question or the guard
was in the way of. So it counts for what it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.apis import chat
from extproc.apis.chat import ChatRequest, Message
from extproc.contract import Guard
from extproc.pipeline.instructions import ROLES as INSTRUCTIONS

# Whose refusals carry this name in `model`.
GUARD_MODEL: Final = "Arch-Guard"


def first_try(request: ChatRequest, guards: Sequence[Guard]) -> tuple[int, int]:
    """Start and end of the last user turn, or of the one that it retries. Where no user speaks last, the end twice."""
    messages = request.messages
    places = [index for index, message in enumerate(messages) if message["role"] not in INSTRUCTIONS]
    spoken = [messages[place] for place in places]
    end = len(spoken)
    start = _turn_start(spoken, end)
    while request.is_structured and start < end and start > 0 and _is_unanswered(spoken[start - 1], guards):
        earlier = _turn_start(spoken, start - 1)
        if earlier == start - 1:
            break
        start, end = earlier, start - 1
    places.append(len(messages))
    return places[start], places[end]


def _turn_start(spoken: Sequence[Message], end: int) -> int:
    while end > 0 and spoken[end - 1]["role"] == "user":
        end -= 1
    return end


def is_refusal(message: Message, guards: Sequence[Guard]) -> bool:
    """Whether an assistant message is what one of `guards` says to a blocked prompt."""
    if message["role"] != "assistant" or not guards:
        return False
    said = "\n".join(chat.texts(message)).strip()
    return message.get("model") == GUARD_MODEL or any(said == guard.message.strip() for guard in guards)


def _is_unanswered(message: Message, guards: Sequence[Guard]) -> bool:
    """Whether an assistant says nothing, or what a guard makes it say."""
    calls = message.get("tool_calls") or message.get("function_call")
    silent = message["role"] == "assistant" and not calls and not any(map(str.strip, chat.texts(message)))
    return silent or is_refusal(message, guards)
