"""`prompt_targets`: what a prompt may mean, and the API call that answers it."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, JsonValue, PlainValidator, WithJsonSchema

from controlplane.config.names import Name
from controlplane.config.quoting import quoted
from controlplane.config.section import Section, refusal
from extproc.contract import HttpMethod, ParameterType

_TYPES: Final = {
    "int": ParameterType.INT,
    "integer": ParameterType.INT,
    "float": ParameterType.FLOAT,
    "number": ParameterType.FLOAT,
    "bool": ParameterType.BOOL,
    "boolean": ParameterType.BOOL,
    "str": ParameterType.STR,
    "string": ParameterType.STR,
    "list": ParameterType.LIST,
    "array": ParameterType.LIST,
    "dict": ParameterType.DICT,
    "object": ParameterType.DICT,
}
# The formats of JSON Schema that an argument can be checked against without guessing.
FORMATS: Final = ("date", "time", "date-time", "email", "uri", "uuid", "ipv4", "ipv6")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?{}-]*")
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z0-9_.-]{1,64})\}")
_LONGEST_PATH: Final = 2048


def parse_type(value: object) -> ParameterType:
    resolved = _TYPES.get(value) if isinstance(value, str) else None
    if resolved is None:
        raise refusal(
            f"{quoted(value)} is not known",
            "use int, float, bool, str, list or dict (or integer, number, boolean, string, array, object)",
        )
    return resolved


def parse_format(value: object) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        raise refusal(f"{quoted(value)} is not known", f"use one of {', '.join(FORMATS)}")
    return value


def parse_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise refusal(f"expected a path that starts with /, got {quoted(value)}")
    if len(value) > _LONGEST_PATH or not _PATH.fullmatch(value):
        raise refusal("the path is too long or holds characters that a path may not hold", "percent-encode them")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
        raise refusal(
            "the path has a brace without its partner, or an odd name in braces", "write a placeholder as {name}"
        )
    return value


def placeholders(path: str) -> tuple[str, ...]:
    """The parameter names that a path is filled with, in order, once each."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(path)))


Type = Annotated[ParameterType, PlainValidator(parse_type), WithJsonSchema({"type": "string", "enum": list(_TYPES)})]
Format = Annotated[str, PlainValidator(parse_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]
Path = Annotated[str, PlainValidator(parse_path), WithJsonSchema({"type": "string", "pattern": "^/"})]


class Parameter(Section):
    """One argument of the API call, read from the conversation."""

    name: Name
    """The key of the argument in the API call."""
    type: Type = ParameterType.STR
    """`int`, `float`, `bool`, `str`, `list` or `dict`, or their JSON Schema names."""
    description: str = Field(min_length=1, max_length=4096)
    """What the argument means: the function-calling model reads it."""
    required: bool = False
    """Whether the user is asked for it when the conversation does not hold it."""
    default: JsonValue = None
    """The value when the conversation holds none. Only for parameters that are not required."""
    enum: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(default=(), max_length=256)
    """The only values that are allowed. For `str` parameters."""
    format: Format | None = None
    """The form of the value, by its JSON Schema name. For `str` parameters."""

    @property
    def has_default(self) -> bool:
        """A default of null is a default."""
        return "default" in self.model_fields_set


class TargetEndpoint(Section):
    """Which API answers a target."""

    name: Name
    """A key of `endpoints`."""
    path: Path = "/"
    """The path of the call. `{name}` is filled with the argument of that name."""
    http_method: HttpMethod = HttpMethod.POST
    """`POST`: arguments as a JSON body. `GET`: what the path does not take goes into the query."""


class PromptTarget(Section):
    """What a prompt may mean, and the API call that answers it."""

    name: Name
    """The function name that the function-calling model sees."""
    description: str = Field(min_length=1, max_length=4096)
    """What the target is for, in the users' words: prompts are matched against it."""
    default: bool = False
    """Takes the prompts that mean no other target; its API gets the messages as they are."""
    endpoint: TargetEndpoint
    """Which API answers."""
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=64)
    """The arguments of the call."""
    system_prompt: str | None = Field(default=None, min_length=1, max_length=65536)
    """The system prompt of the LLM that words the API's answer, instead of the global one."""
    auto_llm_dispatch_on_response: bool | None = None
    """`true`: an LLM words the API's answer; `false`: the client gets the API's own.

    True by default, but false for the default target."""
