"""The current turn of a conversation: what the user says now, with the questions that it answers. Pure.

The ingress pipeline reads it. Intent resolution and slot filling take a `CurrentTurn`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.conversation.messages import Message, texts
from extproc.conversation.state import is_gateway_message
from extproc.shared.filter_config import JsonValue, Target

# Intent, function calling and grounding read only this many characters of the beginning and of the end of a text: a
# request is there, and their models read no more. The guards read everything.
_MAX_PART_CHARACTERS: Final = 4_096
# Messages before the turn that are read with it, and user texts among them and the turn that are read as one request.
_MAX_HISTORY: Final = 8
_RECENT_TEXTS: Final = 3
# A dialogue with more questions is not followed further back.
_MAX_CLARIFICATIONS: Final = 32

# Must match the text of `tool_selection.Clarification.question` exactly.
_QUESTION: Final = re.compile(r"\s*Could you provide the following details (?P<names>\S+(?:, \S+)*) \?\s*")


@dataclass(frozen=True, slots=True)
class AnsweredClarification:
    """A question of the gateway for `parameters`, and the user's answer to it."""

    parameters: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class CurrentTurn:
    """The user's current turn. Texts are bounded: a long one loses its middle.

    `dialogue`: role and text of the user messages after the last assistant message. If they answer questions of the
    gateway, these questions and all messages back to the prompt that began the dialogue come first.
    `initial_prompt`: the text of that prompt.
    `clarifications`: those questions with their answers, in order.
    `pending_targets`: names of the targets that the last question may be about; empty without a question.
    `question_is_marked`: the last question carries the `model` of the gateway.
    `history`: role and text of the last messages before a turn that answers no question of the gateway.
    """

    dialogue: tuple[Message, ...] = ()
    initial_prompt: str = ""
    clarifications: tuple[AnsweredClarification, ...] = ()
    pending_targets: tuple[str, ...] = ()
    question_is_marked: bool = False
    history: tuple[Message, ...] = ()

    @property
    def is_empty(self) -> bool:
        """The user says nothing new."""
        return not self.dialogue

    @property
    def is_answer(self) -> bool:
        """The user answers a question of the gateway."""
        return bool(self.clarifications)

    @property
    def asked(self) -> str:
        """The last words of the assistant, if they ask the user something: an LLM worded the question. Else ""."""
        last = self.history[-1] if self.history else None
        text = str(last["content"]) if last is not None and last["role"] == "assistant" else ""
        return text if "?" in text or "confirm" in text.casefold() else ""

    @property
    def recent_text(self) -> str:
        """The user's last texts, this one included, as one request."""
        earlier = [str(message["content"]) for message in self.history if message["role"] == "user"]
        return "\n".join([*earlier, self.user_text][-_RECENT_TEXTS:])

    @property
    def latest_text(self) -> str:
        """The user's last words: the last answer, or the prompt."""
        return self.clarifications[-1].answer if self.clarifications else self.initial_prompt

    @property
    def user_text(self) -> str:
        """All user texts of this dialogue."""
        return "\n".join([self.initial_prompt, *(each.answer for each in self.clarifications)])

    def standalone(self, text: str | None = None) -> CurrentTurn:
        """Returns `text`, or the latest text, as a prompt without the dialogue before it."""
        prompt = self.latest_text if text is None else text
        return CurrentTurn(dialogue=({"role": "user", "content": prompt},), initial_prompt=prompt)


@dataclass(frozen=True, slots=True)
class _Question:
    """A question of the gateway in the conversation: its parameters, and the targets that it may be about."""

    parameters: tuple[str, ...]
    targets: frozenset[str]


def read(
    messages: Sequence[Message],
    targets: Sequence[Target] = (),
    question: Mapping[str, JsonValue] | None = None,
) -> CurrentTurn:
    """Returns the current turn. `question`: the last question according to the client's state.

    The turn is empty if the last user or assistant message is not a user's: the client answers its LLM's tool calls,
    begins the assistant's answer, or sends instructions only. Instructions and tool results are ignored.

    A question of the gateway is recognised in one of three ways:
    - by its text, if all its parameters belong to one target;
    - by its text and its `model`, if they belong to several targets;
    - by the state, if the last assistant message names the parameters in the state.
    A client can forge all three, which only makes a dialogue continue.
    """
    spoken = [message for message in messages if message["role"] in {"user", "assistant"}]
    start = _turn_start(spoken, len(spoken))
    if start == len(spoken):
        return CurrentTurn()
    text, end = _joined_text(spoken[start:]), start
    last = current = _question_before(spoken, start, targets, question)
    clarifications: list[AnsweredClarification] = []
    is_marked = current is not None and is_gateway_message(spoken[start - 1])
    while current is not None and len(clarifications) < _MAX_CLARIFICATIONS:
        clarifications.append(AnsweredClarification(current.parameters, text))
        end = start
        start = _turn_start(spoken, end - 1)
        text = _joined_text(spoken[start : end - 1])
        earlier = _question_before(spoken, start, targets, None)
        # If the earlier question is about another target, the dialogue began when the user changed to this one.
        same_dialogue = earlier is not None and (earlier.targets & current.targets or not earlier.targets)
        current = earlier if same_dialogue else None
    return CurrentTurn(
        dialogue=tuple(_plain(message) for message in spoken[start:]),
        initial_prompt=text,
        clarifications=tuple(reversed(clarifications)),
        pending_targets=tuple(target.name for target in targets if last is not None and target.name in last.targets),
        question_is_marked=is_marked,
        history=() if last else tuple(_plain(message) for message in spoken[:start][-_MAX_HISTORY:]),
    )


def is_clarification(message: Message) -> bool:
    """Returns whether a message is a question of the gateway, by its text alone."""
    return message["role"] == "assistant" and _QUESTION.fullmatch(_bounded(texts(message))) is not None


def _turn_start(spoken: Sequence[Message], end: int) -> int:
    """Returns the index of the first of the consecutive user messages before `end`."""
    while end > 0 and spoken[end - 1]["role"] == "user":
        end -= 1
    return end


def _plain(message: Message) -> Message:
    """Returns role and text only: a model reads no more of a dialogue."""
    return {"role": message["role"], "content": _bounded(texts(message))}


def _joined_text(messages: Sequence[Message]) -> str:
    return _bounded([text for message in messages for text in texts(message)])


def _bounded(parts: Sequence[str]) -> str:
    """Joins the texts, and cuts the middle out of a long one."""
    text = "\n".join(parts)
    limit = _MAX_PART_CHARACTERS
    return text if len(text) <= 2 * limit else f"{text[:limit]}\n{text[-limit:]}"


def _question_before(
    spoken: Sequence[Message], start: int, targets: Sequence[Target], question: Mapping[str, JsonValue] | None
) -> _Question | None:
    """Returns the question right before `start`. A user must have spoken before it."""
    if start < 2 or spoken[start - 2]["role"] != "user":
        return None
    message = spoken[start - 1]
    text = "\n".join(texts(message))
    if len(text) > 2 * _MAX_PART_CHARACTERS:
        return None  # no question of the gateway is that long
    from_state = _question_from_state(text, targets, question)
    if from_state is not None:
        return from_state
    match = _QUESTION.fullmatch(text)
    if match is None:
        return None
    names = tuple(match["names"].split(", "))
    of_one = frozenset(target.name for target in targets if set(names) <= _parameter_names(target))
    if of_one:
        return _Question(names, of_one)
    # One question asks for the missing values of several calls.
    of_any = frozenset(target.name for target in targets if set(names) & _parameter_names(target))
    return _Question(names, of_any) if of_any and is_gateway_message(message) else None


def _question_from_state(
    text: str, targets: Sequence[Target], question: Mapping[str, JsonValue] | None
) -> _Question | None:
    if question is None:
        return None
    target = next((target for target in targets if target.name == question.get("target")), None)
    missing = question.get("missing")
    if target is None or not isinstance(missing, list) or not missing:
        return None
    known = _parameter_names(target)
    names = tuple(dict.fromkeys(name for name in missing if isinstance(name, str) and name in known))
    # The state may be older than the last assistant message.
    is_in_text = all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)
    return _Question(names, frozenset({target.name})) if names and is_in_text else None


def _parameter_names(target: Target) -> set[str]:
    return {parameter.name for parameter in target.parameters}
