"""Retries of structured-output clients: what their library asks by itself. Used by ingress.py, screening.py and
refused_turns.py.

A library that wants an object and gets none appends the answer and a message of its own ("correct your JSON"), as the
user. Our questions and refusals stand in `refusal`, which some libraries drop, so that an empty message is left of
them. What the library says is no prompt: alone it would have the LLM invent the object that the question or the guard
was in the way of. So it counts for what it repeats. A client that asks for JSON in words alone is known by its retry,
which quotes what we said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.conversation import current_turn
from extproc.endpoints import chat_completions
from extproc.endpoints.chat_completions import ChatRequest, Message
from extproc.pipeline.system_message import ROLES as INSTRUCTIONS
from extproc.shared.filter_config import Guard

# Whose refusals carry this name in `model`.
GUARD_MODEL: Final = "Arch-Guard"
# So much of a text pydantic's errors show at least.
_QUOTED: Final = 20
_WORD: Final = re.compile(r"\w")


def first_try(request: ChatRequest, guards: Sequence[Guard]) -> tuple[int, int]:
    """Start and end of the last user turn, or of the one that it retries. Where no user speaks last, the end twice."""
    messages = request.messages
    places = [index for index, message in enumerate(messages) if message["role"] not in INSTRUCTIONS]
    spoken = [messages[place] for place in places]
    end = len(spoken)
    start = _turn_start(spoken, end)
    while 0 < start < end:
        answer = spoken[start - 1]
        earlier = _turn_start(spoken, start - 1)
        if request.is_structured:
            is_retry = _is_unanswered(answer, guards)
        else:
            is_retry = _is_quoted(answer, spoken[start:end], guards)
        if earlier == start - 1 or not is_retry:
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
    said = "\n".join(chat_completions.texts(message)).strip()
    return message.get("model") == GUARD_MODEL or any(said == guard.message.strip() for guard in guards)


def _is_quoted(answer: Message, turn: Sequence[Message], guards: Sequence[Guard]) -> bool:
    """Whether a turn quotes a question or refusal of ours behind other words, as the error of a JSON parser does.

    Not at the beginning of a line: a user may answer below what was asked.
    """
    beginning = "\n".join(chat_completions.texts(answer)).strip()[:_QUOTED]
    if len(beginning) < _QUOTED or not (is_refusal(answer, guards) or current_turn.is_clarification(answer)):
        return False
    lines = (line for message in turn for text in chat_completions.texts(message) for line in text.split("\n"))
    before = (line[: max(0, line.find(beginning))] for line in lines)
    return any(_WORD.search(words) for words in before)


def _is_unanswered(message: Message, guards: Sequence[Guard]) -> bool:
    """Whether an assistant says nothing, or what a guard makes it say."""
    calls = message.get("tool_calls") or message.get("function_call")
    silent = message["role"] == "assistant" and not calls and not any(map(str.strip, chat_completions.texts(message)))
    return silent or is_refusal(message, guards)
