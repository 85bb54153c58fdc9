"""Converts Needle's arguments to the types of the schema, and removes those that the text does not support. Pure.

Used by needle_caller.py, `conform` also by arch.py. An argument without support in the conversation is removed: the
gateway asks for it. A value of another type is converted only without loss: 250.0 is 250, "5" is 5; "five" stays, and
the gateway validates it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME_WORDS = re.compile(
    r"\d|\b(today|tonight|tomorrow|yesterday|now|asap|immediately|current|next|last|this|coming|week|month|year|weekend|"
    r"(mon|tues|wednes|thurs|fri|satur|sun)day|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)


def without_paths(arguments: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Removes the values at `paths` ("days", "guest.age"). A path into a list removes the whole argument."""
    kept = dict(arguments)
    for path in paths:
        name, _, rest = path.partition(".")
        name, bracket, _ = name.partition("[")
        inner = kept.get(name)
        if rest and not bracket and isinstance(inner, Mapping):
            kept[name] = without_paths(inner, [rest])
        else:
            kept.pop(name, None)
    return kept


def without_unsupported_dates(arguments: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Removes dates if `text` has no word about time: Needle knows today's date, and invents it as an argument."""
    if _TIME_WORDS.search(text):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if not (isinstance(value, str) and _ISO_DATE.match(value))}


def conform(value: Any, schema: Mapping[str, Any]) -> Any:
    """Converts `value` to the type of `schema` if nothing is lost. Removes properties that the schema does not have."""
    members = schema.get("enum")
    if isinstance(members, list) and isinstance(value, str) and value not in members:
        same = [member for member in members if isinstance(member, str) and member.casefold() == value.casefold()]
        return same[0] if len(same) == 1 else value
    match schema.get("type"):
        case "object" if isinstance(value, Mapping):
            value = _conform_object(value, schema)
        case "array" if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            value = [conform(item, schema["items"]) for item in value]
        case "integer" | "number" as kind:
            value = _number(value, whole=kind == "integer")
        case "boolean" if isinstance(value, str) and value.casefold() in {"true", "false"}:
            value = value.casefold() == "true"
        case "string" if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
    return value


def _conform_object(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict(value)
    return {name: conform(inner, properties[name]) for name, inner in value.items() if name in properties}


def _number(value: Any, *, whole: bool) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[-+]?\d{1,15}", text):
            return int(text)
        if not re.fullmatch(r"[-+]?\d{1,15}\.\d{1,15}", text):
            return value
        value = float(text)
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
