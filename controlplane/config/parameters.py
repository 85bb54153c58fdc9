"""`prompt_targets[].parameters`: the arguments of an API call and their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue, PlainValidator, WithJsonSchema

from controlplane.config.base_model import Section, refusal
from controlplane.config.names import Name
from controlplane.quoting import quoted
from extproc.shared.filter_config import EnumValue, ParameterType
from extproc.shared.string_formats import FORMATS


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of the file: its JSON type, and the string format that it implies."""

    type: ParameterType
    format: str | None = None


TYPES: Final = {
    "int": Kind(ParameterType.INT),
    "integer": Kind(ParameterType.INT),
    "float": Kind(ParameterType.FLOAT),
    "number": Kind(ParameterType.FLOAT),
    "bool": Kind(ParameterType.BOOL),
    "boolean": Kind(ParameterType.BOOL),
    "str": Kind(ParameterType.STR),
    "string": Kind(ParameterType.STR),
    "list": Kind(ParameterType.LIST),
    "array": Kind(ParameterType.LIST),
    "dict": Kind(ParameterType.DICT),
    "object": Kind(ParameterType.DICT),
    "date": Kind(ParameterType.STR, "date"),
    "time": Kind(ParameterType.STR, "time"),
    "datetime": Kind(ParameterType.STR, "date-time"),
}
_LONGEST_CHOICE: Final = 256


def parse_type(value: object) -> Kind:
    resolved = TYPES.get(value) if isinstance(value, str) else None
    if resolved is None:
        raise refusal(
            f"{quoted(value)} is not known",
            "use int, float, bool, str, list, dict, date, time or datetime "
            "(or integer, number, boolean, string, array, object)",
        )
    return resolved


def parse_format(value: object) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        raise refusal(f"{quoted(value)} is not known", f"use one of {', '.join(FORMATS)}")
    return value


def parse_choice(value: object) -> EnumValue:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refusal(f"expected text or a number, got {quoted(value)}", "put it in quotes if it is meant as text")
    if isinstance(value, str) and not 1 <= len(value) <= _LONGEST_CHOICE:
        raise refusal(f"expected a text of 1 to {_LONGEST_CHOICE} characters")
    return value


_TYPE_SCHEMA: Final[dict[str, JsonValue]] = {"type": "string", "enum": list(TYPES)}
Type = Annotated[Kind, PlainValidator(parse_type), WithJsonSchema(_TYPE_SCHEMA)]
Format = Annotated[str, PlainValidator(parse_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]
Enum = Annotated[
    tuple[Annotated[EnumValue, PlainValidator(parse_choice), WithJsonSchema({"type": ["string", "number"]})], ...],
    Field(max_length=256),
]


def _or_type_name(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [dict(_TYPE_SCHEMA), *schema["anyOf"]]


class Items(Section):
    """The elements of a list."""

    type: Type
    """As for parameters."""
    enum: Enum = ()
    """The only values that are allowed."""
    format: Format | None = None
    """String format of each element, by its JSON Schema name. For `str`."""


class Parameter(Section):
    """One argument of the API call, read from the conversation."""

    name: Name
    """The key of the argument in the API call."""
    type: Type = Field(default=TYPES["str"], json_schema_extra={"default": "str"})
    """`int`, `float`, `bool`, `str`, `list`, `dict`, or their JSON Schema names; `date`, `time` and `datetime` are text
    in that format."""
    description: str = Field(min_length=1, max_length=4096)
    """Meaning of the argument. The function-calling model reads it."""
    required: bool = False
    """`true`: the gateway asks the user for it when the conversation does not have it."""
    default: JsonValue = None
    """Value when the conversation has none. Only for parameters that are not required."""
    enum: Enum = ()
    """The only values that are allowed, each of the parameter's type. For `str`, `int` and `float`."""
    format: Format | None = None
    """String format of the value, by its JSON Schema name. For `str` parameters."""
    items: Items | None = Field(default=None, json_schema_extra=_or_type_name)
    """Elements of a `list`: the name of a type, or `{type, enum, format}`."""

    @property
    def has_default(self) -> bool:
        """True if the file sets a default, even null."""
        return "default" in self.model_fields_set


def format_of(declared: Parameter | Items) -> str | None:
    """Returns the format that a type such as `date` implies, else the declared one."""
    return declared.type.format or declared.format
