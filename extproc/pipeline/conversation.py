"""Which part of a conversation a decision is about. Pure functions over messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extproc.apis.chat import Message, texts
from extproc.apis.state import is_own
from extproc.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user asks now.

    `said`: every text of the last user turn, the messages after the last assistant message. `dialogue`: those messages,
    and before them the questions of the gateway that they answer, back to the prompt that began it. `is_answer`: such a
    question was asked. `is_tool_result`: the client answers its LLM's own tool calls, and the user says nothing new.
    """

    said: str
    dialogue: tuple[Message, ...]
    is_answer: bool
    is_tool_result: bool = False

    @property
    def meant(self) -> str:
        """All that the user said in this dialogue: what a target is chosen by."""
        return "\n".join(text for message in self.dialogue if message["role"] == "user" for text in texts(message))


def read(messages: Sequence[Message]) -> Turn:
    """Raises `InvalidRequest` where no user speaks last."""
    spoken = [message for message in messages if message["role"] in {"user", "assistant"}]
    start = _turn_start(spoken, len(spoken))
    turn = spoken[start:]
    if (
        not turn
        and messages
        and messages[-1]["role"] == "tool"
        and any(message["role"] == "user" for message in messages)
    ):
        return Turn(said="", dialogue=(), is_answer=False, is_tool_result=True)
    if not turn:
        raise InvalidRequest("`messages` must end with a message of role `user`.")
    is_answer = start > 0 and is_own(spoken[start - 1])
    said = "\n".join(text for message in turn for text in (*_name(message), *texts(message)))
    while start > 0 and is_own(spoken[start - 1]):
        start = _turn_start(spoken, start - 1)
    return Turn(said=said, dialogue=tuple(spoken[start:]), is_answer=is_answer)


def _turn_start(spoken: Sequence[Message], end: int) -> int:
    """Where the run of user messages that ends before `end` begins."""
    while end > 0 and spoken[end - 1]["role"] == "user":
        end -= 1
    return end


def _name(message: Message) -> tuple[str, ...]:
    name = message.get("name")
    return (name,) if isinstance(name, str) else ()
