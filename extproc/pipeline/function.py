"""Function calling: from the candidate targets and a conversation to one checked call, or to a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.apis.chat import Message, texts
from extproc.contract import JsonValue, Parameter, ParameterType, Target
from extproc.inference.roles import Models
from extproc.pipeline.arguments import check
from extproc.pipeline.conversation import Turn

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


async def choose(models: Models, candidates: Sequence[Target], turn: Turn) -> Call | Ask | NoCall:
    """What the function model makes of the conversation. Raises `RoleUnavailable`."""
    by_name = {target.name: target for target in candidates}
    calls = await models.call_functions([_plain(message) for message in turn.dialogue], [tool(t) for t in candidates])
    for call in calls:
        if (target := by_name.get(call.name)) is not None:
            checked = check(target, call.arguments)
            return Ask(target, checked.missing) if checked.missing else Call(target, checked.arguments)
    return NoCall()


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
