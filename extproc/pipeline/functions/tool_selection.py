"""Function calling: from the candidate targets and a conversation to checked calls, or to a question."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from extproc.conversation.current_turn import Turn
from extproc.endpoints.chat_completions import Message, texts
from extproc.inference.interface import Models
from extproc.pipeline.functions.argument_validation import check
from extproc.pipeline.functions.grounding.datetimes import in_format
from extproc.pipeline.intent.target_index import Scored
from extproc.shared.filter_config import Intent, Items, JsonValue, Parameter, ParameterType, Target

log = logging.getLogger(__name__)

# How much more confidence a call needs where the prompt is only just like its target.
_DOUBT: Final = 3.0

# More calls than this in one prompt are a mistake of the model rather than a wish of the user.
MAX_CALLS: Final = 8

_SCHEMA_TYPES: Final[Mapping[ParameterType, str]] = {
    ParameterType.INT: "integer",
    ParameterType.FLOAT: "number",
    ParameterType.BOOL: "boolean",
    ParameterType.STR: "string",
    ParameterType.LIST: "array",
    ParameterType.DICT: "object",
}


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that the target's API needs."""

    target: Target
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Calls:
    """Everything that the conversation asks for, in its order: one call or more, no two of them equal."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Clarification:
    """Required values are not in the conversation; `target` is the first that lacks one.

    Nothing is called before the answer, not even calls that lack nothing: the gateway keeps no conversation, so the
    answer is read together with the prompt, and what had been called already would be called again.
    """

    target: Target
    missing: tuple[str, ...]
    # What the model proposed, with the values that it gave: incomplete, or only a guess.
    proposed: tuple[Call, ...] = field(default=(), compare=False)
    guess: bool = field(default=False, compare=False)
    # Parameters whose value may not stand in a path: no default takes its place.
    refused: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def question(self) -> str:
        return f"Could you provide the following details {', '.join(self.missing)} ?"


@dataclass(frozen=True, slots=True)
class NoCall:
    """The function model sees none of the candidates in the conversation."""


async def choose(
    models: Models, candidates: Sequence[Scored], turn: Turn, intent: Intent, today: date | None = None
) -> Calls | Clarification | NoCall:
    """What the function model makes of the conversation. `candidates`, best first. Raises `RoleUnavailable`.

    `today`: the gateway's local date unless given.
    """
    by_name = {candidate.target.name: candidate for candidate in candidates}
    tools = [tool(candidate.target) for candidate in candidates]
    extraction = await models.call_functions([_plain(message) for message in turn.dialogue], tools)
    day = today or date.today()
    called = [
        Call(by_name[call.name].target, in_format(by_name[call.name].target, call.arguments, day))
        for call in extraction.calls
        if call.name in by_name
    ][:MAX_CALLS]
    if not called:
        return NoCall()
    first = by_name[called[0].target.name]
    doubt = 1.0 if first.score >= intent.sure else _DOUBT
    if extraction.confidence >= doubt * intent.confidence:
        return checked([(call.target, call.arguments) for call in called])
    if extraction.confidence >= intent.confidence or first.score >= intent.sure:
        return _asked(first.target, called[0].arguments)
    return NoCall()


def _asked(target: Target, arguments: Mapping[str, JsonValue]) -> Clarification | NoCall:
    """The question after a guess: what the model made of the prompt counts for nothing."""
    required = tuple(parameter.name for parameter in target.parameters if parameter.required)
    proposed = Call(target, check(target, arguments).arguments)
    return Clarification(target, required, (proposed,), guess=True) if required else NoCall()


def checked(proposed: Sequence[tuple[Target, Mapping[str, JsonValue]]]) -> Calls | Clarification:
    """The calls with their arguments as declared, or the one question for all that is missing."""
    calls: list[Call] = []
    whole: list[Call] = []
    lacking: list[tuple[Target, tuple[str, ...]]] = []
    refused: set[str] = set()
    for target, arguments in proposed:
        found = check(target, arguments)
        call = Call(target, found.arguments)
        whole.append(call)
        refused.update(_logged(target, found.refused))
        if found.missing:
            lacking.append((target, found.missing))
        elif call not in calls:
            calls.append(call)
    if not lacking:
        return Calls(tuple(calls))
    missing = tuple(dict.fromkeys(name for _, names in lacking for name in names))
    return Clarification(lacking[0][0], missing, tuple(whole), refused=frozenset(refused))


def refused(target: Target, given: Mapping[str, JsonValue]) -> Mapping[str, str]:
    """The parameters whose values may not stand in the path of the call, with the reasons, which are logged."""
    return _logged(target, check(target, given).refused)


def _logged(target: Target, reasons: Mapping[str, str]) -> Mapping[str, str]:
    for name, reason in reasons.items():
        # Not the value: it is what a user said.
        fields = {"target": target.name, "parameter": name, "reason": reason}
        log.warning("argument refused", extra={"fields": fields})
    return reasons


def tool(target: Target) -> JsonValue:
    """A target as an OpenAI tool."""
    parameters: JsonValue = {
        "type": "object",
        "properties": {parameter.name: _schema(parameter) for parameter in target.parameters},
        "required": [parameter.name for parameter in target.parameters if parameter.required],
    }
    return {
        "type": "function",
        "function": {"name": target.name, "description": target.description, "parameters": parameters},
    }


def _schema(parameter: Parameter) -> JsonValue:
    schema = {**_value_schema(parameter), "description": parameter.description}
    if parameter.items is not None:
        schema["items"] = _value_schema(parameter.items)
    return schema


def _value_schema(declared: Parameter | Items) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = {"type": _SCHEMA_TYPES[declared.type]}
    if declared.enum:
        schema["enum"] = list(declared.enum)
    # No `format`: Needle holds its answer to it, and runs out of tokens where the words are others ("tomorrow" for a
    # date, "7pm" for a time). What it copies is brought into the format by `in_format`.
    return schema


def _plain(message: Message) -> Message:
    """Role and text: all that the function model reads."""
    return {"role": message["role"], "content": "\n".join(texts(message))}
