"""Arguments as declared: typed, checked, defaults filled in. Pure.

A value of another type is repaired where what was meant is certain: "1,500" is 1500, "five days" is 5, "yes" is true,
one value is a list of one. What cannot have the declared type, is outside its enum or not in its format counts as not
given: a required one is asked for, another one falls back to its default or is left out. So does null, at any depth.
What may not stand in a path is asked for in any case.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extproc.pipeline.functions.numerals import number
from extproc.pipeline.functions.string_formats import FORMATS
from extproc.shared.filter_config import EnumValue, Items, JsonValue, Parameter, ParameterType, Target
from extproc.targets import path_values

_TRUE: Final = frozenset({"true", "yes", "y", "on", "enabled"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "disabled"})


class _NotGiven(Exception):
    """The value cannot be what the parameter wants."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`missing`: the required parameters without a value, in the order of their declaration.

    `refused`: those of them whose value may not stand in the path of the call, with the reasons. They are missing even
    where there is a default: the user meant something else.
    """

    arguments: Mapping[str, JsonValue]
    missing: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


def check(target: Target, given: Mapping[str, JsonValue]) -> Checked:
    """What is declared of `given`; anything else the model wrote is dropped."""
    arguments: dict[str, JsonValue] = {}
    missing: list[str] = []
    refused: dict[str, str] = {}
    in_path = path_values.placeholders(target.call.path)
    for parameter in target.parameters:
        try:
            value = _value(parameter, given.get(parameter.name))
            if parameter.name in in_path and (reason := path_values.unsafe_reason(str(value))) is not None:
                refused[parameter.name] = reason
                missing.append(parameter.name)
            else:
                arguments[parameter.name] = value
        except (_NotGiven, RecursionError):  # nested deeper than any API wants
            if parameter.required:
                missing.append(parameter.name)
            elif parameter.default_json is not None:
                arguments[parameter.name] = msgspec.json.decode(parameter.default_json)
    return Checked(arguments, tuple(missing), refused)


def _value(declared: Parameter | Items, given: JsonValue) -> JsonValue:
    if given is None:
        raise _NotGiven
    if isinstance(given, list) and len(given) == 1 and declared.type is not ParameterType.LIST:
        given = given[0]
    if declared.type is ParameterType.LIST:
        return _list(declared.items if isinstance(declared, Parameter) else None, given, declared.enum)
    if declared.enum:
        return _member(declared.enum, given)
    value = _READERS[declared.type](given)
    if declared.format in FORMATS and isinstance(value, str):
        try:
            return FORMATS[declared.format](value)
        except ValueError as error:
            raise _NotGiven from error
    return value


def _int(given: JsonValue) -> JsonValue:
    value = _number(given)
    if isinstance(value, float) and not value.is_integer():
        raise _NotGiven
    return int(value)


def _float(given: JsonValue) -> JsonValue:
    return float(_number(given))


def _number(given: JsonValue) -> int | float:
    value = number(given) if isinstance(given, str) else given
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _NotGiven
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        finite = False
    if not finite:
        raise _NotGiven
    return value


def _bool(given: JsonValue) -> JsonValue:
    if isinstance(given, bool):
        return given
    word = given.strip().casefold() if isinstance(given, str) else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise _NotGiven


def _str(given: JsonValue) -> JsonValue:
    if isinstance(given, str) and given.strip():
        return given.strip()
    if isinstance(given, list) and given and all(isinstance(item, str) and item.strip() for item in given):
        return ", ".join(str(item).strip() for item in given)
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(int(given)) if isinstance(given, float) and given.is_integer() else str(given)
    raise _NotGiven


def _list(items: Items | None, given: JsonValue, enum: tuple[EnumValue, ...]) -> JsonValue:
    value = _json(given, "[")
    elements = value if isinstance(value, list) else _parts(value, items)
    # An enum on the list itself names its elements: a list is never one of several words.
    element = items or (Items(type=ParameterType.STR, enum=enum) if enum else None)
    kept = [_without_nulls(each) for each in elements if each is not None]
    if elements and not kept:
        raise _NotGiven
    return [_value(element, each) for each in kept] if element else kept


def _parts(given: JsonValue, items: Items | None) -> list[JsonValue]:
    """One value where a list is declared: the list that a text enumerates, else a list of one."""
    if not isinstance(given, str):
        if isinstance(given, dict) and (items is None or items.type is not ParameterType.DICT):
            raise _NotGiven
        return [given]
    text = given.strip()
    if not text:
        raise _NotGiven
    if number(text) is not None:  # "1,500" is no list
        return [text]
    parts = [part for part in _SEPARATORS.split(text) if part]
    if len(parts) == 2 and re.fullmatch(r"[^,]+,[^,]+", text) and not (items and items.type in _NUMERIC):
        raise _NotGiven  # "Paris, France" is one thing, "Paris, Rome" two
    return list(parts)


def _dict(given: JsonValue) -> JsonValue:
    value = _json(given, "{")
    if isinstance(value, dict):
        return _without_nulls(value)
    raise _NotGiven


def _json(given: JsonValue, opening: str) -> JsonValue:
    """Small models write structured values as strings of JSON; other text stays as it is."""
    if not isinstance(given, str) or not given.lstrip().startswith(opening):
        return given
    try:
        value: JsonValue = msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _NotGiven from error
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


def _member(enum: tuple[EnumValue, ...], given: JsonValue) -> JsonValue:
    """The enum's own value that `given` means: the same one, or the only one that is spelled alike."""
    said = _number_or_text(given)
    for member in enum:
        if _number_or_text(member) == said:
            return member
    alike = [member for member in enum if _spelling(str(member)) == _spelling(str(given))]
    if len(alike) == 1:
        return alike[0]
    raise _NotGiven


def _number_or_text(given: JsonValue) -> str | float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return str(given).casefold()
    if isinstance(given, str):
        value = number(given) if given[:1].isdigit() and given[-1:].isdigit() else None
        return given.casefold() if value is None else float(value)
    return float(given)


def _spelling(text: str) -> str:
    """What is left when case, accents' forms, punctuation and the plural are taken away."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )
