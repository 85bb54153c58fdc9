"""Recognises retries that a structured-output client's library sends by itself. Used by ingress.py, text_extraction.py
and refused_turns.py.

A library that wants an object and gets none appends the answer and a user message of its own ("correct your JSON").
Such a message is no prompt: sent alone, it would make the LLM invent the object that a question or a guard prevented.
So it counts as the turn that it repeats.

Questions and refusals of the gateway stand in `refusal`, which some libraries drop, so that the message arrives empty.
A client that asks for JSON only in words is known by its retry, which quotes the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.conversation import current_turn
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import SYSTEM_ROLES, Message, has_tool_calls, texts
from extproc.shared.filter_config import Guard

# The `model` of guards' refusals.
GUARD_MODEL: Final = "Arch-Guard"
# An error of pydantic shows at least so many characters of a text.
_QUOTED_CHARS: Final = 20
_WORD: Final = re.compile(r"\w")


def first_try(request: ChatRequest, guards: Sequence[Guard]) -> tuple[int, int]:
    """Returns start and end of the last user turn, or of the turn that it retries.

    Both are the end of the conversation if no user speaks last.
    """
    messages = request.messages
    indices = [index for index, message in enumerate(messages) if message["role"] not in SYSTEM_ROLES]
    dialogue = [messages[index] for index in indices]
    end = len(dialogue)
    start = _turn_start(dialogue, end)
    while 0 < start < end:
        answer = dialogue[start - 1]
        earlier = _turn_start(dialogue, start - 1)
        if request.is_structured:
            is_retry = _is_unanswered(answer, guards)
        else:
            is_retry = _is_quoted(answer, dialogue[start:end], guards)
        if earlier == start - 1 or not is_retry:
            break
        start, end = earlier, start - 1
    indices.append(len(messages))
    return indices[start], indices[end]


def _turn_start(dialogue: Sequence[Message], end: int) -> int:
    while end > 0 and dialogue[end - 1]["role"] == "user":
        end -= 1
    return end


def is_refusal(message: Message, guards: Sequence[Guard]) -> bool:
    """Tells whether an assistant message is the refusal of one of `guards`."""
    if message["role"] != "assistant" or not guards:
        return False
    text = "\n".join(texts(message)).strip()
    return message.get("model") == GUARD_MODEL or any(text == guard.message.strip() for guard in guards)


def _is_quoted(answer: Message, turn: Sequence[Message], guards: Sequence[Guard]) -> bool:
    """Tells whether a turn quotes a question or refusal of the gateway behind other words, as JSON parsers do.

    A quote at the beginning of a line does not count: a user may answer below a quoted question.
    """
    beginning = "\n".join(texts(answer)).strip()[:_QUOTED_CHARS]
    if len(beginning) < _QUOTED_CHARS or not (is_refusal(answer, guards) or current_turn.is_clarification(answer)):
        return False
    lines = (line for message in turn for text in texts(message) for line in text.split("\n"))
    before_quotes = (line[: max(0, line.find(beginning))] for line in lines)
    return any(_WORD.search(words) for words in before_quotes)


def _is_unanswered(message: Message, guards: Sequence[Guard]) -> bool:
    """Tells whether an assistant message is empty or a guard's refusal."""
    is_empty = (
        message["role"] == "assistant" and not has_tool_calls(message) and not any(map(str.strip, texts(message)))
    )
    return is_empty or is_refusal(message, guards)
