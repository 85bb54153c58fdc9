"""The description of an API that all readers produce and prompt_targets.py consumes, free of framework and YAML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from pydantic import JsonValue

from controlplane.config.addresses import Url
from extproc.shared.filter_config import HttpMethod, ParameterType

Scalar: TypeAlias = str | int | float | bool
# The HTTP methods that a prompt target can call with.
METHODS: Final = tuple(method.value for method in HttpMethod)
# The key of a body in which the gateway itself sends the conversation.
CONVERSATION: Final = "messages"
# Bounds of one description.
MAX_OPERATIONS: Final = 2000
MAX_ENUM_VALUES: Final = 256


_JSON_TYPES: Final[Mapping[type, ParameterType]] = {
    bool: ParameterType.BOOL,
    int: ParameterType.INT,
    float: ParameterType.FLOAT,
    str: ParameterType.STR,
    list: ParameterType.LIST,
    dict: ParameterType.DICT,
}


class Location(StrEnum):
    """The part of the HTTP request that holds an argument; OpenAPI's `in`."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Shape:
    """The values that are allowed. `items`: the shape of a list's elements, None when unknown."""

    type: ParameterType = ParameterType.STR
    nullable: bool = False
    enum: tuple[Scalar, ...] = ()
    format: str | None = None
    items: Shape | None = None


# The shape of a value whose type is unknown: text.
ANY: Final = Shape()


@dataclass(frozen=True, slots=True)
class Default:
    """A known default value. The wrapper distinguishes a default of None from no default."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. When it is not required and has no `default`, the API fills it in."""

    name: str
    location: Location
    shape: Shape = ANY
    description: str | None = None
    required: bool = False
    default: Default | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One call that a prompt target can make. `path` holds `{name}` for each path argument.

    `position`: its line in the source (`app.py:12`). `remarks`: limitations that the author must know.
    """

    name: str
    method: str
    path: str
    position: str
    description: str | None = None
    arguments: tuple[Argument, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """One line for stderr, such as an operation that was skipped. `subject`: the operation or thing it is about."""

    position: str
    subject: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.position}: {self.subject}: {self.message}" if self.subject else f"{self.position}: {self.message}"
        )


@dataclass(frozen=True, slots=True)
class ApiDescription:
    """An API as one source describes it. `server`: its address, None when the source does not give it."""

    title: str | None = None
    server: Url | None = None
    operations: tuple[Operation, ...] = ()
    notes: tuple[Note, ...] = ()


class InexpressibleError(Exception):
    """An operation that cannot be a prompt target; the message is the reason. Each reader makes a note of it."""


def scalars(values: Iterable[object]) -> tuple[Scalar, ...] | None:
    """Returns the distinct values of an enum without null, or None when one of them is not a scalar."""
    found: list[Scalar] = []
    for value in values:
        if value is None:
            continue
        if not isinstance(value, str | int | float):
            return None
        # As in JSON, 1 and 1.0 are one value; 1 and true are two.
        if not any(value == other and isinstance(value, bool) is isinstance(other, bool) for other in found):
            found.append(value)
    return tuple(found)


def type_of(value: object) -> ParameterType | None:
    """Returns the type of a JSON value, None for null and for values that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    # bool before int: True is an int too.
    return next((kind for python, kind in _JSON_TYPES.items() if isinstance(value, python)), None)


def common_type(types: Iterable[ParameterType]) -> ParameterType:
    """Returns the narrowest type that holds values of all given types."""
    kinds = set(types)
    if len(kinds) == 1:
        return kinds.pop()
    return ParameterType.FLOAT if kinds and kinds <= {ParameterType.INT, ParameterType.FLOAT} else ParameterType.STR


def enum_shape(values: Iterable[object]) -> Shape:
    """Returns the shape of an enum. Null makes it nullable; a value that is not a scalar drops the enum."""
    listed = list(values)
    members = scalars(listed)
    if not members:
        return Shape(nullable=None in listed)
    kind = common_type(kind for member in members if (kind := type_of(member)))
    if kind is ParameterType.BOOL or len(members) > MAX_ENUM_VALUES:
        members = ()
    if kind is ParameterType.STR and not all(isinstance(member, str) for member in members):
        members = tuple(dict.fromkeys(str(member) for member in members))
    return Shape(kind, nullable=None in listed, enum=members)
