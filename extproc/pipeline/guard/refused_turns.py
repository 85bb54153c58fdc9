"""Removes turns that a guard refused from a conversation. Used by request_stages.py and guard_stage.py.

Clients send the whole conversation with every request, so an attack that was refused once would block every later turn.
Turns that end with our refusal are dropped before the guards run. Some clients do not send the refusal back. So if the
guards block a request because of earlier turns, those turns are dropped too and the rest is evaluated again.

No text passes unread: a client can only remove its own words from the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from extproc import worker_thread
from extproc.conversation.chat_request import ChatRequest, of_messages
from extproc.conversation.messages import SYSTEM_ROLES, Message, has_tool_calls
from extproc.pipeline import client_retries
from extproc.pipeline.guard import text_extraction
from extproc.pipeline.guard.evaluator import Verdict
from extproc.shared.filter_config import Guard

# Roles that answer an LLM's tool calls.
_TOOL_RESULTS: Final = frozenset({"tool", "function"})
# Maximum refused turns whose earlier user messages are evaluated by themselves. Further turns are dropped whole.
_MAX_EVALUATED: Final = 8


class Evaluator(Protocol):
    """The part of `GuardEvaluator` that this module uses."""

    @property
    def guards(self) -> Sequence[Guard]: ...

    async def evaluate(self, request: ChatRequest) -> Verdict:
        """Raises `GuardUnavailable` and `ContextTooLong`."""


def drop_turns_with_refusal(request: ChatRequest, guards: Sequence[Guard]) -> ChatRequest:
    """Removes the turns that end with a refusal by one of `guards`, with that refusal.

    Raises `InvalidRequest` if no message is left.
    """
    start, _ = client_retries.first_try(request, guards)
    kept: list[Message] = []
    for index, message in enumerate(request.messages):
        # A refused turn that the client's library retries stays, so that it is refused again.
        if index < start and client_retries.is_refusal(message, guards):
            _remove_last_turn(kept)
        else:
            kept.append(message)
    return request if len(kept) == len(request.messages) else request.with_messages(kept)


def _remove_last_turn(kept: list[Message]) -> None:
    """Removes tool calls with their results from the end, then the user messages before them."""
    while kept and (kept[-1]["role"] in _TOOL_RESULTS or has_tool_calls(kept[-1])):
        kept.pop()
    while kept and kept[-1]["role"] == "user":
        kept.pop()


@dataclass(frozen=True, slots=True)
class _RefusedTurn:
    """A turn with a refused text: user messages from `start` to `user_end`, then other messages to `end`.

    `only_user`: no refused text stands after the user messages.
    """

    start: int
    user_end: int
    end: int
    only_user: bool


async def drop_blocked_turns(evaluator: Evaluator, request: ChatRequest, verdict: Verdict) -> ChatRequest | None:
    """Returns `request` without the turns whose texts `verdict` refused; None if the last turn stays refused.

    Some clients send no answer back for a blocked prompt: the next prompt follows it directly, in the same turn. If the
    user messages before the last one of a turn are blocked by themselves, only those are dropped. An attack that is
    split over several messages is blocked only as a whole, and stays one turn. A turn that the client's library retries
    stays one turn too, and so do consecutive messages of a structured-output client.

    Raises `GuardUnavailable` and `ContextTooLong`.
    """
    dropped: set[int] = set()
    last_start, last_end = client_retries.first_try(request, evaluator.guards)
    is_whole = request.is_structured or last_end < len(request.messages)
    refused_turns = await worker_thread.run(request.is_large, _refused_turns, request.messages, verdict)
    for number, turn in enumerate(refused_turns):
        if is_whole and turn.start >= last_start:
            return None
        earlier = request.messages[turn.start : turn.user_end - 1]
        if earlier and turn.only_user and number < _MAX_EVALUATED and await _is_blocked(evaluator, earlier):
            dropped.update(range(turn.start, turn.user_end - 1))
        elif turn.end == len(request.messages):
            return None
        else:
            dropped.update(range(turn.start, turn.end))
    if not dropped:
        return None
    kept = [
        message
        for index, message in enumerate(request.messages)
        if index not in dropped or message["role"] in SYSTEM_ROLES
    ]
    return request.with_messages(kept)


async def _is_blocked(evaluator: Evaluator, messages: Sequence[Message]) -> bool:
    request = of_messages(messages)
    return (await evaluator.evaluate(request)).blocked_by is not None


def _refused_turns(messages: Sequence[Message], verdict: Verdict) -> list[_RefusedTurn]:
    """Returns the turns that hold a text which `verdict` refused, in order."""
    starts = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "user" and (index == 0 or messages[index - 1]["role"] != "user")
    ]
    turns: list[_RefusedTurn] = []
    for start, end in pairwise([*starts, len(messages)]):
        user_end = next((index for index in range(start, end) if messages[index]["role"] != "user"), end)
        is_user_refused = _is_refused(messages[start:user_end], verdict)
        is_rest_refused = _is_refused(messages[user_end:end], verdict)
        if is_user_refused or is_rest_refused:
            turns.append(_RefusedTurn(start, user_end, end, only_user=not is_rest_refused))
    return turns


def _is_refused(messages: Sequence[Message], verdict: Verdict) -> bool:
    return not verdict.refused.isdisjoint(text_extraction.conversation_texts(messages))
