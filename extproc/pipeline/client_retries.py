"""Recognises retries that a client's structured-output library sends by itself. Used by ingress.py and
refused_turns.py.

A library that expects a JSON object and gets a question or a refusal of the gateway sends a retry: it appends that
answer and a user message of its own ("correct your JSON"). This message is not a prompt. If it were forwarded, the LLM
would invent the object that the question or the guard prevented. So it is treated as the turn that it retries.

For such a client, the gateway's questions and refusals are in the field `refusal`. Some libraries drop that field, and
the assistant message comes back empty. A client that asks for JSON only in its prompt is recognised by its retry, which
quotes the gateway's answer.
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
# A pydantic error quotes at least this many characters of the text.
_QUOTED_CHARS: Final = 20
_WORD: Final = re.compile(r"\w")


def first_try(request: ChatRequest, guards: Sequence[Guard]) -> tuple[int, int]:
    """Returns the message indices [start, end) of the last user turn, or of the turn that it retries.

    Both are the number of messages if the last message, system messages aside, is not a user's.
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
    """Returns whether a message is an assistant message with the refusal of one of `guards`."""
    if message["role"] != "assistant" or not guards:
        return False
    text = "\n".join(texts(message)).strip()
    return message.get("model") == GUARD_MODEL or any(text == guard.message.strip() for guard in guards)


def _is_quoted(answer: Message, turn: Sequence[Message], guards: Sequence[Guard]) -> bool:
    """Returns whether a turn quotes a question or refusal of the gateway after other words, as JSON parser errors do.

    A quote at the beginning of a line does not count: a user may answer below a quoted question.
    """
    beginning = "\n".join(texts(answer)).strip()[:_QUOTED_CHARS]
    if len(beginning) < _QUOTED_CHARS or not (is_refusal(answer, guards) or current_turn.is_clarification(answer)):
        return False
    lines = (line for message in turn for text in texts(message) for line in text.split("\n"))
    before_quotes = (line[: max(0, line.find(beginning))] for line in lines)
    return any(_WORD.search(words) for words in before_quotes)


def _is_unanswered(message: Message, guards: Sequence[Guard]) -> bool:
    """Returns whether a message is an empty assistant message or a guard's refusal."""
    is_empty = (
        message["role"] == "assistant" and not has_tool_calls(message) and not any(map(str.strip, texts(message)))
    )
    return is_empty or is_refusal(message, guards)
