"""Leaves earlier turns out of a conversation that a guard refuses because of them. Used by ingress.py and egress.py.

A client that does not send our refusal back keeps the blocked turn in `messages`, which would block every later turn.
Nothing here lets a text pass: what is left is judged again, as a whole, before it goes anywhere. A client can only take
its own words out of the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from extproc import worker_thread
from extproc.conversation.chat_request import ChatRequest, of_messages
from extproc.conversation.messages import SYSTEM_ROLES, Message
from extproc.pipeline import client_retries
from extproc.pipeline.guard import text_extraction
from extproc.pipeline.guard.guards import Verdict
from extproc.shared.filter_config import Guard


class Judge(Protocol):
    """The guards."""

    @property
    def guards(self) -> Sequence[Guard]: ...

    async def judge(self, request: ChatRequest) -> Verdict:
        """Raises `GuardUnavailable`."""


# So many turns are looked into; of further ones all is left out.
_MOST_JUDGED: Final = 8


@dataclass(frozen=True, slots=True)
class _Refused:
    """A turn that holds a refused text: the user's messages, from `start` to `spoken`, and what follows, to `end`.

    `by_user`: only what the user says in it is refused.
    """

    start: int
    spoken: int
    end: int
    by_user: bool


async def without_refused_turns(judge: Judge, request: ChatRequest, verdict: Verdict) -> ChatRequest | None:
    """The request without the turns whose texts `verdict` refused; None where that leaves the last one refused.

    A client that sends neither our refusal nor an answer has the next prompt right behind the blocked one. So messages
    of the user before the last one of a turn are left out alone where they are refused by themselves: they were blocked
    when they came. An attack that is cut into several messages is refused only as a whole, and stays one turn. So does
    one with its retries by the client's library, and whatever a structured-output client sends in a row.

    Raises `GuardUnavailable`.
    """
    dropped: set[int] = set()
    last, end = client_retries.first_try(request, judge.guards)
    stays = request.is_structured or end < len(request.messages)
    for number, turn in enumerate(await worker_thread.run(request.is_large, _refused, request.messages, verdict)):
        if stays and turn.start >= last:
            return None
        before = request.messages[turn.start : turn.spoken - 1]
        if before and turn.by_user and number < _MOST_JUDGED and await _is_blocked(judge, before):
            dropped.update(range(turn.start, turn.spoken - 1))
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


async def _is_blocked(judge: Judge, messages: Sequence[Message]) -> bool:
    return (await judge.judge(of_messages(messages))).blocked_by is not None


def _refused(messages: Sequence[Message], verdict: Verdict) -> list[_Refused]:
    """The turns that hold a text which `verdict` refused, in their order."""
    starts = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "user" and (index == 0 or messages[index - 1]["role"] != "user")
    ]
    found: list[_Refused] = []
    for start, end in pairwise([*starts, len(messages)]):
        spoken = next((index for index in range(start, end) if messages[index]["role"] != "user"), end)
        by_user = _holds(messages[start:spoken], verdict)
        around = _holds(messages[spoken:end], verdict)
        if by_user or around:
            found.append(_Refused(start, spoken, end, by_user=by_user and not around))
    return found


def _holds(messages: Sequence[Message], verdict: Verdict) -> bool:
    return not verdict.refused.isdisjoint(text_extraction.conversation_texts(messages))
