"""Converts pydantic's validation errors into messages with positions, for the author of the file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controlplane.config.arch_config import ArchConfig
from controlplane.config.suggestions import did_you_mean, suggestion
from controlplane.config.yaml_tree import (
    Finding,
    Loc,
    MapNode,
    Node,
    Scalar,
    key_mark,
    node_at,
    plain,
    rewrite,
    value_mark,
)
from controlplane.quoting import quoted

# Message by pydantic's type of error.
_MESSAGES: Final = {
    "string_type": "expected text, got {given}",
    "bool_type": "expected true or false, got {given}",
    "int_type": "expected a whole number, got {given}",
    "int_from_float": "expected a whole number, got {given}",
    "float_type": "expected a number, got {given}",
    "tuple_type": "expected a list, got {kind}",
    "dict_type": "expected a mapping of keys, got {kind}",
    "model_type": "expected a mapping of keys, got {kind}",
    "greater_than": "{given} is out of bounds: it must be more than {gt}",
    "less_than": "{given} is out of bounds: it must be less than {lt}",
    "greater_than_equal": "{given} is out of bounds: it must be at least {ge}",
    "less_than_equal": "{given} is out of bounds: it must be at most {le}",
    "string_too_short": "the text is empty",
    "string_too_long": "the text is longer than {max_length} characters",
    "too_long": "more than {max_length} items",
}
_QUOTE: Final = "put it in quotes if it is meant as text"
# Hint by type of error and type of the given value; None: any type.
_HINTS: Final[dict[tuple[str, type | None], str]] = {
    ("string_type", bool): _QUOTE,
    ("string_type", int): _QUOTE,
    ("string_type", float): _QUOTE,
    ("tuple_type", None): "begin each item with `- `",
}
# Sections whose items are independent: an error in one does not affect the others.
_ITEMS: Final = frozenset({"llm_providers", "prompt_targets", "endpoints", "listeners"})


def explain(error: ValidationError, root: MapNode) -> tuple[Finding, ...]:
    """Returns one finding for each error that no other finding explains.

    A key without a value has been reported already. If a key is misspelt, the intended key is not reported as missing.
    """
    errors = error.errors(include_url=False)
    misspelt = {_intended_loc(details["loc"]) for details in errors if details["type"] == "extra_forbidden"}
    return tuple(
        _finding(details, root)
        for details in errors
        if not _has_no_value(root, details["loc"])
        if details["type"] != "missing" or details["loc"] not in misspelt
    )


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The valid part of a file. Indices of lists in `config` are those of `root`, not of the file."""

    config: ArchConfig
    root: MapNode


def salvage(error: ValidationError, root: MapNode) -> Salvaged | None:
    """Returns the file without its faulty items, so that the checks between sections can report in the same run."""
    faulty = {_faulty_loc(details) for details in error.errors(include_url=False, include_input=False)}
    rest = rewrite(root, lambda loc, node: None if loc in faulty else node).with_value(
        "version", Scalar("v1", root.mark)
    )
    try:
        return Salvaged(ArchConfig.model_validate_json(json.dumps(plain(rest))), rest)
    except ValidationError:
        return None


def _faulty_loc(details: ErrorDetails) -> Loc:
    loc = details["loc"]
    if details["type"] == "extra_forbidden":
        return loc
    return loc[: 2 if loc[0] in _ITEMS else 1]


def _intended_loc(loc: Loc) -> Loc:
    """Returns the location of the key that an unknown key probably stands for."""
    nearest = suggestion(str(loc[-1]), model_at(loc[:-1]).model_fields)
    return (*loc[:-1], nearest) if nearest else loc


def _has_no_value(root: Node, loc: Loc) -> bool:
    node = node_at(root, loc)
    return isinstance(node, Scalar) and node.value is None and isinstance(loc[-1], str)


def _finding(details: ErrorDetails, root: MapNode) -> Finding:
    loc = details["loc"]
    if details["type"] == "extra_forbidden":
        return Finding(key_mark(root, loc), *_unknown_key(loc))
    if details["type"] == "missing":
        hint = "write `version: v1`" if loc == ("version",) else None
        return Finding(value_mark(root, loc), f"{quoted(loc[-1])} is missing", hint)
    message, hint = _wrong_value(details)
    subject = next((f"{step}: " for step in reversed(loc) if isinstance(step, str)), "")
    # An invalid name as a key: the message quotes it already.
    return Finding(value_mark(root, loc), message if loc[-1] == "[key]" else subject + message, hint)


def _unknown_key(loc: Loc) -> tuple[str, str]:
    known = tuple(model_at(loc[:-1]).model_fields)
    hint = did_you_mean(str(loc[-1]), known) or f"keys that are known here: {', '.join(known)}"
    return f"unknown key {quoted(loc[-1])}", hint


def _wrong_value(details: ErrorDetails) -> tuple[str, str | None]:
    ctx: dict[str, Any] = details.get("ctx", {})
    given = details["input"]
    if details["type"] == "archgw":
        return ctx["message"], ctx["hint"] or None
    if details["type"] in {"literal_error", "enum"}:
        return _not_one_of(str(ctx["expected"]), given)
    template = _MESSAGES.get(details["type"])
    if template is None:
        return details["msg"], None
    bounds = {name: f"{value:g}" for name, value in ctx.items() if isinstance(value, int | float)}
    hint = _HINTS.get((details["type"], type(given))) or _HINTS.get((details["type"], None))
    return template.format(given=_shown(given), kind=_kind(given), **bounds), hint


def _not_one_of(expected: str, given: object) -> tuple[str, str | None]:
    expected = expected.replace("'", "")
    hint = did_you_mean(given, expected.replace(" or ", ", ").split(", ")) if isinstance(given, str) else None
    return f"expected {expected}, got {_shown(given)}", hint


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping of keys"


def _shown(value: object) -> str:
    return _kind(value) if isinstance(value, list | dict) or value is None else quoted(value)


def model_at(loc: Loc) -> type[BaseModel]:
    """Returns the model of the mapping at `loc`."""
    annotation: Any = ArchConfig
    for step in loc:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = _required(annotation.model_fields[str(step)].annotation)
        else:
            # tuple[Item, ...] or dict[Name, Item]
            annotation = get_args(annotation)[1 if get_origin(annotation) is dict else 0]
    return cast(type[BaseModel], annotation)


def _required(annotation: object) -> object:
    """Returns `X` for `X | None`."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if get_origin(annotation) in {Union, UnionType} else annotation
