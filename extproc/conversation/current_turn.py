"""Which part of a conversation a decision is about. Pure functions over messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.conversation.messages import Message, texts
from extproc.conversation.state import is_own
from extproc.shared.filter_config import JsonValue, Target

# Intent, function calling and grounding read so much of the beginning and of the end of what is said at once: a wish
# stands there, and their models read no more. The guards read everything.
_LONGEST_PART: Final = 4_096
# A dialogue of more questions is followed no further back.
_MOST_EXCHANGES: Final = 32

# What function.Clarification says, to the letter.
_QUESTION: Final = re.compile(r"\s*Could you provide the following details (?P<names>\S+(?:, \S+)*) \?\s*")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of the gateway for the parameters `asked`, and what the user said to it."""

    asked: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user asks now.

    `dialogue`: role and text of the messages of the last user turn, and before them of the questions of the gateway
    that they answer, back to the prompt that began it, which says `opening`; `exchanges` are these questions with their
    answers, in order. `pending`: the targets that the last question may be about, none where nothing was asked.
    `claimed`: that question says by its `model` that it is ours. Texts are bounded: of a long one the middle is left
    out.
    """

    dialogue: tuple[Message, ...] = ()
    opening: str = ""
    exchanges: tuple[Exchange, ...] = ()
    pending: tuple[str, ...] = ()
    claimed: bool = False

    @property
    def is_empty(self) -> bool:
        """The user says nothing new."""
        return not self.dialogue

    @property
    def is_answer(self) -> bool:
        return bool(self.exchanges)

    @property
    def answer(self) -> str:
        """What the user said last."""
        return self.exchanges[-1].answer if self.exchanges else self.opening

    @property
    def meant(self) -> str:
        """All that the user said in this dialogue."""
        return "\n".join([self.opening, *(exchange.answer for exchange in self.exchanges)])

    def alone(self, text: str | None = None) -> Turn:
        """What the user said last as a prompt of its own; `text`: what of it counts."""
        said = self.answer if text is None else text
        return Turn(dialogue=({"role": "user", "content": said},), opening=said)


@dataclass(frozen=True, slots=True)
class _Question:
    names: tuple[str, ...]
    targets: frozenset[str]


def read(
    messages: Sequence[Message],
    targets: Sequence[Target] = (),
    question: Mapping[str, JsonValue] | None = None,
) -> Turn:
    """The last turn. `question`: what the client's state says that was asked last.

    Empty where no user speaks last: the client answers its LLM's tool calls, begins the assistant's answer, or sends
    instructions alone. Instructions and results behind the user's words change nothing.

    A question is known by its own text, where that names parameters of one target, or of any where the message says by
    `model` that it is ours; or by the state, where the last answer names what the state says was asked. All of that may
    be forged: it lets a dialogue go on, and nothing else.
    """
    spoken = [message for message in messages if message["role"] in {"user", "assistant"}]
    start = _turn_start(spoken, len(spoken))
    if start == len(spoken):
        return Turn()
    said, end = _said(spoken[start:]), start
    asked = _asked(spoken, start, targets, question)
    last = asked
    exchanges: list[Exchange] = []
    claimed = asked is not None and is_own(spoken[start - 1])
    while asked is not None and len(exchanges) < _MOST_EXCHANGES:
        exchanges.append(Exchange(asked.names, said))
        end = start
        start = _turn_start(spoken, end - 1)
        said = _said(spoken[start : end - 1])
        before = _asked(spoken, start, targets, None)
        # Another target since: the dialogue began when the user changed to it.
        asked = before if before is not None and (before.targets & asked.targets or not before.targets) else None
    return Turn(
        dialogue=tuple(_plain(message) for message in spoken[start:]),
        opening=said,
        exchanges=tuple(reversed(exchanges)),
        pending=tuple(target.name for target in targets if last is not None and target.name in last.targets),
        claimed=claimed,
    )


def asks(message: Message) -> bool:
    """Whether a message is a question of ours, by its text alone."""
    return message["role"] == "assistant" and _QUESTION.fullmatch(_bounded(texts(message))) is not None


def _turn_start(spoken: Sequence[Message], end: int) -> int:
    """Where the run of user messages that ends before `end` begins."""
    while end > 0 and spoken[end - 1]["role"] == "user":
        end -= 1
    return end


def _plain(message: Message) -> Message:
    """Role and text: all that a model reads of a dialogue."""
    return {"role": message["role"], "content": _bounded(texts(message))}


def _said(messages: Sequence[Message]) -> str:
    return _bounded([text for message in messages for text in texts(message)])


def _bounded(said: Sequence[str]) -> str:
    """The texts as one, without the middle of a long one."""
    text = "\n".join(said)
    return text if len(text) <= 2 * _LONGEST_PART else f"{text[:_LONGEST_PART]}\n{text[-_LONGEST_PART:]}"


def _asked(
    spoken: Sequence[Message], start: int, targets: Sequence[Target], question: Mapping[str, JsonValue] | None
) -> _Question | None:
    """The question before `start`, where that is one and a user spoke before it."""
    if start < 2 or spoken[start - 2]["role"] != "user":
        return None
    message = spoken[start - 1]
    text = "\n".join(texts(message))
    if len(text) > 2 * _LONGEST_PART:
        return None  # no question of ours is that long
    by_state = _by_state(text, targets, question)
    if by_state is not None:
        return by_state
    match = _QUESTION.fullmatch(text)
    if match is None:
        return None
    names = tuple(match["names"].split(", "))
    of_one = frozenset(target.name for target in targets if set(names) <= _parameters(target))
    if of_one:
        return _Question(names, of_one)
    # Several calls that each lacked something are asked about in one question.
    of_any = frozenset(target.name for target in targets if set(names) & _parameters(target))
    return _Question(names, of_any) if of_any and is_own(message) else None


def _by_state(text: str, targets: Sequence[Target], question: Mapping[str, JsonValue] | None) -> _Question | None:
    if question is None:
        return None
    target = next((target for target in targets if target.name == question.get("target")), None)
    missing = question.get("missing")
    if target is None or not isinstance(missing, list) or not missing:
        return None
    known = _parameters(target)
    names = tuple(dict.fromkeys(name for name in missing if isinstance(name, str) and name in known))
    # An old state beside a newer answer is no question.
    said = all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)
    return _Question(names, frozenset({target.name})) if names and said else None


def _parameters(target: Target) -> set[str]:
    return {parameter.name for parameter in target.parameters}
