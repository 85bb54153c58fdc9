"""Arguments as declared: typed, checked, defaults filled in. Pure.

A value of the wrong type, outside its enum or not in its format counts as not given: a required one is asked for,
another one falls back to its default or is left out.
"""

from __future__ import annotations

import ipaddress
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from extproc.contract import JsonValue, Parameter, ParameterType, Target

_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})


class _NotGiven(Exception):
    """The value cannot be what the parameter wants."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`missing`: the required parameters without a value, in the order of their declaration."""

    arguments: Mapping[str, JsonValue]
    missing: tuple[str, ...]


def check(target: Target, given: Mapping[str, JsonValue]) -> Checked:
    """What is declared of `given`; anything else the model wrote is dropped."""
    arguments: dict[str, JsonValue] = {}
    missing: list[str] = []
    for parameter in target.parameters:
        try:
            arguments[parameter.name] = _value(parameter, given.get(parameter.name))
        except _NotGiven:
            if parameter.required:
                missing.append(parameter.name)
            elif parameter.default_json is not None:
                arguments[parameter.name] = msgspec.json.decode(parameter.default_json)
    return Checked(arguments, tuple(missing))


def _value(parameter: Parameter, given: JsonValue) -> JsonValue:
    if given is None:
        raise _NotGiven
    value = _READERS[parameter.type](given)
    if parameter.enum:
        value = _member(parameter.enum, value)
    if parameter.format in _FORMATS and isinstance(value, str):
        try:
            _FORMATS[parameter.format](value)
        except ValueError as error:
            raise _NotGiven from error
    return value


def _int(given: JsonValue) -> JsonValue:
    number = _float(given)
    if not number.is_integer():
        raise _NotGiven
    return given if isinstance(given, int) else int(number)


def _float(given: JsonValue) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _NotGiven
    try:
        number = float(given)
    except (ValueError, OverflowError) as error:
        raise _NotGiven from error
    if not math.isfinite(number):
        raise _NotGiven
    return number


def _bool(given: JsonValue) -> JsonValue:
    if isinstance(given, bool):
        return given
    word = given.strip().lower() if isinstance(given, str) else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise _NotGiven


def _str(given: JsonValue) -> JsonValue:
    if isinstance(given, str) and given.strip():
        return given.strip()
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    raise _NotGiven


def _list(given: JsonValue) -> JsonValue:
    value = _json(given)
    if isinstance(value, list):
        return value
    raise _NotGiven


def _dict(given: JsonValue) -> JsonValue:
    value = _json(given)
    if isinstance(value, dict):
        return value
    raise _NotGiven


def _json(given: JsonValue) -> JsonValue:
    """Small models write structured values as strings of JSON."""
    if not isinstance(given, str):
        return given
    try:
        value: JsonValue = msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _NotGiven from error
    return value


_READERS: Final[Mapping[ParameterType, Callable[[JsonValue], JsonValue]]] = {
    ParameterType.INT: _int,
    ParameterType.FLOAT: _float,
    ParameterType.BOOL: _bool,
    ParameterType.STR: _str,
    ParameterType.LIST: _list,
    ParameterType.DICT: _dict,
}


def _member(enum: tuple[str, ...], value: JsonValue) -> JsonValue:
    """The enum's own spelling of a string; a value of another type as it is."""
    for member in enum:
        if member.casefold() == str(value).casefold():
            return member if isinstance(value, str) else value
    raise _NotGiven


def _email(text: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError


# The formats of JSON Schema that can be checked without guessing; any other one is a hint to the model alone.
_FORMATS: Final[Mapping[str | None, Callable[[str], object]]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
    "email": _email,
    "uri": _uri,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}
