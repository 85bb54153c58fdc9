"""Validates the arguments of a call: types, enums, formats, defaults. Pure; used by tool selection and slot filling.

A value of another type is converted if its meaning is certain: "1,500" is 1500, "five days" is 5, "yes" is true, one
value is a list of one. A value that cannot be converted, is outside the enum or not in the format is dropped, like null
at any depth. A required parameter without a value is missing; an optional one gets its default or is left out. A value
that is not allowed in the URL path of the call always counts as missing.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extproc.pipeline.functions.numerals import parse_number
from extproc.shared.filter_config import EnumValue, Items, JsonValue, Parameter, ParameterType, Target
from extproc.shared.string_formats import normalize
from extproc.targets import path_values

_TRUE: Final = frozenset({"true", "yes", "y", "on", "enabled"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "disabled"})


class _InvalidValue(Exception):
    """The value cannot be converted to the declared type, enum or format."""


@dataclass(frozen=True, slots=True)
class ValidatedArguments:
    """`missing`: required parameters without a value, in the order of their declaration.

    `rejected`: parameter -> reason, for values that are not allowed in the URL path of the call. These parameters are
    missing even if they have a default: the user meant something else.
    """

    arguments: Mapping[str, JsonValue]
    missing: tuple[str, ...]
    rejected: Mapping[str, str] = field(default_factory=dict)


def validate(target: Target, values: Mapping[str, JsonValue]) -> ValidatedArguments:
    """Validates `values`; those without a declared parameter are dropped."""
    arguments: dict[str, JsonValue] = {}
    missing: list[str] = []
    rejected: dict[str, str] = {}
    in_path = path_values.placeholders(target.call.path)
    for parameter in target.parameters:
        try:
            value = _value(parameter, values.get(parameter.name))
            if parameter.name in in_path and (reason := path_values.unsafe_reason(str(value))) is not None:
                rejected[parameter.name] = reason
                missing.append(parameter.name)
            else:
                arguments[parameter.name] = value
        except (_InvalidValue, RecursionError):  # nested too deeply
            if parameter.required:
                missing.append(parameter.name)
            elif parameter.default_json is not None:
                arguments[parameter.name] = msgspec.json.decode(parameter.default_json)
    return ValidatedArguments(arguments, tuple(missing), rejected)


def _value(declared: Parameter | Items, raw: JsonValue) -> JsonValue:
    if raw is None:
        raise _InvalidValue
    if isinstance(raw, list) and len(raw) == 1 and declared.type is not ParameterType.LIST:
        raw = raw[0]
    if declared.type is ParameterType.LIST:
        return _list(declared.items if isinstance(declared, Parameter) else None, raw, declared.enum)
    if declared.enum:
        return _member(declared.enum, raw)
    value = _READERS[declared.type](raw)
    if isinstance(value, str):
        try:
            return normalize(value, declared.format)
        except ValueError as error:
            raise _InvalidValue from error
    return value


def _int(raw: JsonValue) -> JsonValue:
    value = _number(raw)
    if isinstance(value, float) and not value.is_integer():
        raise _InvalidValue
    return int(value)


def _float(raw: JsonValue) -> JsonValue:
    return float(_number(raw))


def _number(raw: JsonValue) -> int | float:
    value = parse_number(raw) if isinstance(raw, str) else raw
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _InvalidValue
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        finite = False
    if not finite:
        raise _InvalidValue
    return value


def _bool(raw: JsonValue) -> JsonValue:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().casefold() if isinstance(raw, str) else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise _InvalidValue


def _str(raw: JsonValue) -> JsonValue:
    if isinstance(raw, str) and raw.strip():
        return raw.strip()
    if isinstance(raw, list) and raw and all(isinstance(item, str) and item.strip() for item in raw):
        return ", ".join(str(item).strip() for item in raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(int(raw)) if isinstance(raw, float) and raw.is_integer() else str(raw)
    raise _InvalidValue


def _list(items: Items | None, raw: JsonValue, enum: tuple[EnumValue, ...]) -> JsonValue:
    value = _json(raw, "[")
    elements = value if isinstance(value, list) else _parts(value, items)
    # An enum of a list parameter is the enum of its elements.
    element = items or (Items(type=ParameterType.STR, enum=enum) if enum else None)
    kept = [_without_nulls(each) for each in elements if each is not None]
    if elements and not kept:
        raise _InvalidValue
    return [_value(element, each) for each in kept] if element else kept


def _parts(raw: JsonValue, items: Items | None) -> list[JsonValue]:
    """Makes a list of a single value: splits a text that enumerates, else returns a list of one."""
    if not isinstance(raw, str):
        if isinstance(raw, dict) and (items is None or items.type is not ParameterType.DICT):
            raise _InvalidValue
        return [raw]
    text = raw.strip()
    if not text:
        raise _InvalidValue
    if parse_number(text) is not None:  # "1,500" is no list
        return [text]
    parts = [part for part in _SEPARATORS.split(text) if part]
    if len(parts) == 2 and re.fullmatch(r"[^,]+,[^,]+", text) and not (items and items.type in _NUMERIC):
        raise _InvalidValue  # one item ("Paris, France") or two ("Paris, Rome")
    return list(parts)


def _dict(raw: JsonValue) -> JsonValue:
    value = _json(raw, "{")
    if isinstance(value, dict):
        return _without_nulls(value)
    raise _InvalidValue


def _json(raw: JsonValue, opening: str) -> JsonValue:
    """Decodes JSON in a string: small models write structured values as text. Other text is returned unchanged."""
    if not isinstance(raw, str) or not raw.lstrip().startswith(opening):
        return raw
    try:
        value: JsonValue = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _InvalidValue from error
    return value


def _without_nulls(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value if inner is not None]
    return value


_NUMERIC: Final = frozenset({ParameterType.INT, ParameterType.FLOAT})
_SEPARATORS: Final = re.compile(r"\s*[,;\n]\s*(?:and\s+|or\s+)?|\s+and\s+", re.IGNORECASE)
_READERS: Final[Mapping[ParameterType, Callable[[JsonValue], JsonValue]]] = {
    ParameterType.INT: _int,
    ParameterType.FLOAT: _float,
    ParameterType.BOOL: _bool,
    ParameterType.STR: _str,
    ParameterType.DICT: _dict,
}


def _member(enum: tuple[EnumValue, ...], raw: JsonValue) -> JsonValue:
    """Returns the member equal to `raw`, or the only member with the same spelling."""
    value = _number_or_text(raw)
    for member in enum:
        if _number_or_text(member) == value:
            return member
    alike = [member for member in enum if _spelling(str(member)) == _spelling(str(raw))]
    if len(alike) == 1:
        return alike[0]
    raise _InvalidValue


def _number_or_text(raw: JsonValue) -> str | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return str(raw).casefold()
    if isinstance(raw, str):
        value = parse_number(raw) if raw[:1].isdigit() and raw[-1:].isdigit() else None
        return raw.casefold() if value is None else float(value)
    return float(raw)


def _spelling(text: str) -> str:
    """Normalises a text: no case, no punctuation, no plural ending, Unicode NFKC."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )
