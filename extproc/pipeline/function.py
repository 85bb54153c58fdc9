"""Function calling: from the candidate targets and a conversation to one checked call, or to a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.apis.chat import Message, texts
from extproc.contract import Intent, JsonValue, Parameter, ParameterType, Target
from extproc.inference.roles import Models
from extproc.pipeline.arguments import check
from extproc.pipeline.conversation import Turn
from extproc.pipeline.intent import Scored

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
class Ask:
    """Required values are not in the conversation."""

    target: Target
    missing: tuple[str, ...]

    @property
    def question(self) -> str:
        return f"Could you provide the following details {', '.join(self.missing)} ?"


@dataclass(frozen=True, slots=True)
class NoCall:
    """The function model sees none of the candidates in the conversation."""


async def choose(models: Models, candidates: Sequence[Scored], turn: Turn, intent: Intent) -> Call | Ask | NoCall:
    """What the function model makes of the conversation. `candidates`, best first. Raises `RoleUnavailable`."""
    by_name = {candidate.target.name: candidate for candidate in candidates}
    tools = [tool(candidate.target) for candidate in candidates]
    extraction = await models.call_functions([_plain(message) for message in turn.dialogue], tools)
    for call in extraction.calls:
        if (candidate := by_name.get(call.name)) is not None:
            if extraction.confidence >= intent.confidence:
                return _checked(candidate.target, call.arguments)
            if candidate.score >= intent.sure:
                return _checked(candidate.target, {})
    return NoCall()


def _checked(target: Target, arguments: Mapping[str, JsonValue]) -> Call | Ask:
    checked = check(target, arguments)
    return Ask(target, checked.missing) if checked.missing else Call(target, checked.arguments)


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
    schema: dict[str, JsonValue] = {"type": _SCHEMA_TYPES[parameter.type], "description": parameter.description}
    if parameter.enum:
        schema["enum"] = list(parameter.enum)
    if parameter.format:
        schema["format"] = parameter.format
    return schema


def _plain(message: Message) -> Message:
    """Role and text: all that the function model reads."""
    return {"role": message["role"], "content": "\n".join(texts(message))}
