"""The calls that an API offers, as every reader describes them and `targets` takes them: no framework, no YAML."""

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
# What a prompt target can call.
METHODS: Final = tuple(method.value for method in HttpMethod)
# The key of a body in which the gateway itself sends the conversation.
CONVERSATION: Final = "messages"
# What one description may bring; a generated file beyond this helps nobody.
MOST_OPERATIONS: Final = 2000
MOST_ENUM_VALUES: Final = 256


_JSON_TYPES: Final[Mapping[type, ParameterType]] = {
    bool: ParameterType.BOOL,
    int: ParameterType.INT,
    float: ParameterType.FLOAT,
    str: ParameterType.STR,
    list: ParameterType.LIST,
    dict: ParameterType.DICT,
}


class Where(StrEnum):
    """Which part of the HTTP request an argument travels in."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Shape:
    """Which values are allowed. `items`: what each element of a list is, where it is known."""

    type: ParameterType = ParameterType.STR
    nullable: bool = False
    enum: tuple[Scalar, ...] = ()
    format: str | None = None
    items: Shape | None = None


# What nothing is known of: text.
ANY: Final = Shape()


@dataclass(frozen=True, slots=True)
class Default:
    """A default that is known. A default of None is told from no default by this wrapper."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `required` false without `default`: the API fills it in by itself."""

    name: str
    where: Where
    shape: Shape = ANY
    description: str | None = None
    required: bool = False
    default: Default | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One call that a prompt target can make. `path` holds `{name}` for each path argument.

    `place` is where to look (`app.py:12`); `remarks` are what the author must know before relying on it.
    """

    name: str
    method: str
    path: str
    place: str
    description: str | None = None
    arguments: tuple[Argument, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something said on stderr: what was left out, and why; `subject` is the operation or thing it is about."""

    place: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.subject}: {self.message}" if self.subject else f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source says of an API. `server`: where it answers, if the source knows."""

    title: str | None = None
    server: Url | None = None
    operations: tuple[Operation, ...] = ()
    notes: tuple[Note, ...] = ()


class InexpressibleError(Exception):
    """This call cannot be a prompt target; the message says why. Caught by each reader, which makes a note of it."""


def scalars(values: Iterable[object]) -> tuple[Scalar, ...] | None:
    """The values of an enum, once each and without null, or None when one of them is no plain value."""
    found: list[Scalar] = []
    for value in values:
        if value is None:
            continue
        if not isinstance(value, str | int | float):
            return None
        # 1 and 1.0 are one value, and so they are in JSON; 1 and true are not.
        if not any(value == other and isinstance(value, bool) is isinstance(other, bool) for other in found):
            found.append(value)
    return tuple(found)


def type_of(value: object) -> ParameterType | None:
    """The type that a value of JSON has, None for null and for what is no JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    # bool before int: True is an int too.
    return next((kind for python, kind in _JSON_TYPES.items() if isinstance(value, python)), None)


def common_type(types: Iterable[ParameterType]) -> ParameterType:
    """The type that takes values of all of these."""
    kinds = set(types)
    if len(kinds) == 1:
        return kinds.pop()
    return ParameterType.FLOAT if kinds and kinds <= {ParameterType.INT, ParameterType.FLOAT} else ParameterType.STR


def enum_shape(values: Iterable[object]) -> Shape:
    """A shape of these values alone; null among them makes it nullable, and what is no plain value lifts the enum."""
    listed = list(values)
    members = scalars(listed)
    if not members:
        return Shape(nullable=None in listed)
    kind = common_type(kind for member in members if (kind := type_of(member)))
    if kind is ParameterType.BOOL or len(members) > MOST_ENUM_VALUES:
        members = ()
    if kind is ParameterType.STR and not all(isinstance(member, str) for member in members):
        members = tuple(dict.fromkeys(str(member) for member in members))
    return Shape(kind, nullable=None in listed, enum=members)
