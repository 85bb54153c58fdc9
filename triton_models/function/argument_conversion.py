"""From the arguments that Needle writes to those that are handed on. Pure; used by caller.py.

Two rules. What the conversation does not hold is left out: the gateway asks for it. What has the wrong type is
converted only when nothing is lost: 250.0 is 250, "5" is 5, "five" stays as it is and the gateway's check refuses it.
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


def without(arguments: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """`arguments` less the values at `paths` ("days", "guest.age"); a path into a list takes the whole argument."""
    kept = dict(arguments)
    for path in paths:
        name, _, rest = path.partition(".")
        name, bracket, _ = name.partition("[")
        inner = kept.get(name)
        if rest and not bracket and isinstance(inner, Mapping):
            kept[name] = without(inner, [rest])
        else:
            kept.pop(name, None)
    return kept


def without_unsaid_dates(arguments: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Needle knows today's date, and gives it as an argument when none was said: dates need a word about time in
    `text`.
    """
    if _TIME_WORDS.search(text):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if not (isinstance(value, str) and _ISO_DATE.match(value))}


def conform(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` as `schema` types it, where that loses nothing; properties that the schema does not know are left out."""
    choices = schema.get("enum")
    if isinstance(choices, list) and isinstance(value, str) and value not in choices:
        same = [choice for choice in choices if isinstance(choice, str) and choice.casefold() == value.casefold()]
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
