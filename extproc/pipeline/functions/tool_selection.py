"""Tool selection: from candidate targets and the current turn to validated calls, or to a clarification.

Used by intent/resolution.py and slot_filling.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from extproc.conversation.current_turn import CurrentTurn
from extproc.conversation.messages import Message, texts
from extproc.inference.interface import Models
from extproc.pipeline.functions.argument_validation import validate
from extproc.pipeline.functions.grounding.datetimes import normalize_datetimes
from extproc.pipeline.intent.target_index import ScoredTarget
from extproc.shared.filter_config import Intent, Items, JsonValue, Parameter, ParameterType, Target

log = logging.getLogger(__name__)

# Factor on the required confidence for a target below the score `sure`.
_UNSURE_FACTOR: Final = 3.0

# More calls for one prompt are a mistake of the model.
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
class TargetCall:
    """One call of a prompt target's API."""

    target: Target
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class TargetCalls:
    """The calls that the conversation asks for, in its order: at least one, no two equal."""

    calls: tuple[TargetCall, ...]


@dataclass(frozen=True, slots=True)
class Clarification:
    """Required values are missing. `target` is the first target that lacks one.

    Nothing is called before the answer, not even complete calls: the gateway keeps no conversation and reads the answer
    together with the prompt, so it would make these calls twice.
    """

    target: Target
    missing: tuple[str, ...]
    # The calls of the model: incomplete, or a guess.
    proposed: tuple[TargetCall, ...] = field(default=(), compare=False)
    is_guess: bool = field(default=False, compare=False)
    # Parameters whose value is not allowed in the URL path. Their defaults are not used.
    rejected: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def question(self) -> str:
        return f"Could you provide the following details {', '.join(self.missing)} ?"


@dataclass(frozen=True, slots=True)
class NoTargetCall:
    """The conversation asks for none of the candidates."""


ToolSelection = TargetCalls | Clarification | NoTargetCall


async def select_calls(
    models: Models, candidates: Sequence[ScoredTarget], turn: CurrentTurn, intent: Intent, today: date | None = None
) -> ToolSelection:
    """Asks the function model for the calls. `candidates`: best first. Raises `RoleUnavailable`.

    `today`: the gateway's local date by default.
    """
    by_name = {candidate.target.name: candidate for candidate in candidates}
    tools = [openai_tool(candidate.target) for candidate in candidates]
    extraction = await models.call_functions([_plain(message) for message in turn.dialogue], tools)
    day = today or date.today()
    calls = [
        TargetCall(by_name[call.name].target, normalize_datetimes(by_name[call.name].target, call.arguments, day))
        for call in extraction.calls
        if call.name in by_name
    ][:MAX_CALLS]
    if not calls:
        return NoTargetCall()
    first = by_name[calls[0].target.name]
    factor = 1.0 if first.score >= intent.sure else _UNSURE_FACTOR
    if extraction.confidence >= factor * intent.confidence:
        return validate_calls([(call.target, call.arguments) for call in calls])
    if extraction.confidence >= intent.confidence or first.score >= intent.sure:
        return _confirm_guess(first.target, calls[0].arguments)
    return NoTargetCall()


def _confirm_guess(target: Target, arguments: Mapping[str, JsonValue]) -> Clarification | NoTargetCall:
    """Returns a clarification for every required value: the values of a guess are not used."""
    required = tuple(parameter.name for parameter in target.parameters if parameter.required)
    proposed = TargetCall(target, validate(target, arguments).arguments)
    return Clarification(target, required, (proposed,), is_guess=True) if required else NoTargetCall()


def validate_calls(proposed: Sequence[tuple[Target, Mapping[str, JsonValue]]]) -> TargetCalls | Clarification:
    """Returns the calls with validated arguments, or one clarification for all missing values."""
    calls: list[TargetCall] = []
    all_calls: list[TargetCall] = []
    incomplete: list[tuple[Target, tuple[str, ...]]] = []
    rejected: set[str] = set()
    for target, arguments in proposed:
        validated = validate(target, arguments)
        call = TargetCall(target, validated.arguments)
        all_calls.append(call)
        rejected.update(_log_rejected(target, validated.rejected))
        if validated.missing:
            incomplete.append((target, validated.missing))
        elif call not in calls:
            calls.append(call)
    if not incomplete:
        return TargetCalls(tuple(calls))
    missing = tuple(dict.fromkeys(name for _, names in incomplete for name in names))
    return Clarification(incomplete[0][0], missing, tuple(all_calls), rejected=frozenset(rejected))


def rejected_values(target: Target, arguments: Mapping[str, JsonValue]) -> Mapping[str, str]:
    """Returns parameter -> reason for the values that are not allowed in the URL path of the call, and logs them."""
    return _log_rejected(target, validate(target, arguments).rejected)


def _log_rejected(target: Target, reasons: Mapping[str, str]) -> Mapping[str, str]:
    for name, reason in reasons.items():
        # The value is not logged: it is the user's text.
        fields = {"target": target.name, "parameter": name, "reason": reason}
        log.warning("argument refused", extra={"fields": fields})
    return reasons


def openai_tool(target: Target, *, all_optional: bool = False) -> JsonValue:
    """Returns the target as a tool in OpenAI's format.

    `all_optional`: for a text that need not hold all values; a model is tempted to invent required ones.
    """
    parameters: JsonValue = {
        "type": "object",
        "properties": {parameter.name: _schema(parameter) for parameter in target.parameters},
        "required": [] if all_optional else [each.name for each in target.parameters if each.required],
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
    # No `format`: the model Needle forces its answer into it, and runs out of tokens if the text has another form
    # ("tomorrow" for a date, "7pm" for a time). It copies such words, and `normalize_datetimes` converts them.
    return schema


def _plain(message: Message) -> Message:
    """Returns role and text only: the function model reads no more."""
    return {"role": message["role"], "content": "\n".join(texts(message))}
