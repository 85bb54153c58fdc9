"""Operations into prompt targets: what a target can say is said, what it cannot is left out with a note. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from pydantic import JsonValue

from controlplane.config.document import is_unicode
from controlplane.config.names import is_name
from controlplane.config.values import FORMATS, has_format, is_of_type
from controlplane.generate.naming import config_name, sentence, unique
from controlplane.generate.operations import (
    CONVERSATION,
    MOST_ENUM_VALUES,
    Argument,
    Default,
    InexpressibleError,
    Note,
    Operation,
    Scalar,
    Shape,
    Where,
)
from extproc.shared.filter_config import ParameterType

# The bounds of `prompt_targets` in the configuration.
MOST_TARGETS: Final = 128
_MOST_PARAMETERS: Final = 64
_LONGEST_DESCRIPTION: Final = 4096
_LONGEST_ENUM_VALUE: Final = 256
_LONGEST_PATH: Final = 2048
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
_PATH_CHARACTERS: Final = "/._~!$&'()*+,;=:@%?-"
_LARGEST_INT: Final = 10**18
# Written without an exponent of three digits, which YAML 1.2 would read as text.
_SMALLEST_FLOAT: Final = 1e-15
_LARGEST_FLOAT: Final = 1e15
_DEEPEST_DEFAULT: Final = 8
_MOST_DEFAULT_VALUES: Final = 256
_LONGEST_DEFAULT: Final = 4096
_WITH_ENUM: Final = frozenset({ParameterType.STR, ParameterType.INT, ParameterType.FLOAT})


@dataclass(frozen=True, slots=True)
class Target:
    """One prompt target as the configuration holds it, and what its author must know before relying on it."""

    value: Mapping[str, JsonValue]
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Parts:
    """One target in the making. `names` maps each placeholder of the path to its parameter."""

    parameters: list[Argument] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    query: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def taken(self) -> set[str]:
        return {parameter.name for parameter in self.parameters} | {CONVERSATION}


def targets(operations: Sequence[Operation], endpoint: str) -> tuple[tuple[Target, ...], tuple[Note, ...]]:
    """A target for each operation that can be one, in order, and a note for each thing said or left out."""
    found: dict[str, Target] = {}
    notes: list[Note] = []
    for operation in operations:
        if len(found) >= MOST_TARGETS:
            notes.append(
                Note(operation.place, operation.name, f"skipped: a gateway has at most {MOST_TARGETS} targets")
            )
            continue
        name = _target_name(operation, found)
        try:
            target, unnamed = _target(operation, name, endpoint)
        except InexpressibleError as error:
            notes.append(Note(operation.place, operation.name, f"skipped: {error}"))
            continue
        found[name] = target
        notes += (Note(operation.place, name, remark) for remark in target.remarks)
        if unnamed:
            message = f"no description in the source for {', '.join(unnamed)}: made from the name; write one"
            notes.append(Note(operation.place, name, message))
    return tuple(found.values()), tuple(notes)


def _target_name(operation: Operation, taken: Mapping[str, Target]) -> str:
    name = config_name(operation.name)
    # The second method of one function is told by the method, anything else by a number.
    return unique(config_name(f"{name}_{operation.method.lower()}"), taken) if name in taken else name


def _target(operation: Operation, name: str, endpoint: str) -> tuple[Target, list[str]]:
    """The target, and the names of what has no description of its own."""
    parts = _Parts(remarks=list(operation.remarks))
    # What the path takes comes last: its placeholders can have any name, the keys of body and query cannot.
    for argument in sorted(operation.arguments, key=lambda item: item.where is Where.PATH):
        _add(argument, operation, parts)
    _bound(parts)
    unnamed = [] if _text(operation.description) else ["the target"]
    unnamed += [parameter.name for parameter in parts.parameters if not _text(parameter.description)]
    call: dict[str, JsonValue] = {
        "name": endpoint,
        "path": _path(operation.path, parts),
        "http_method": operation.method,
    }
    value: dict[str, JsonValue] = {
        "name": name,
        "description": _text(operation.description) or sentence(name),
        "endpoint": call,
    }
    if parts.parameters:
        value["parameters"] = [_parameter(parameter) for parameter in parts.parameters]
    return Target(value, tuple(dict.fromkeys(parts.remarks))), unnamed


def _add(argument: Argument, operation: Operation, parts: _Parts) -> None:
    """Give the argument a place in the call, or say why it has none."""
    fault = _fault(argument, operation)
    if fault is not None:
        if argument.required and not _is_conversation(argument):
            raise InexpressibleError(fault)
        parts.remarks.append(f"{fault}, so it is left out")
    elif argument.where is Where.PATH:
        if f"{{{argument.name}}}" in operation.path:
            _add_placeholder(argument, "path_", parts)
    elif argument.where is Where.QUERY and operation.method == "POST":
        name = _add_placeholder(argument, "query_", parts)
        parts.query.append((argument.name, name))
    elif argument.name not in parts.taken:
        parts.parameters.append(argument)


def _is_conversation(argument: Argument) -> bool:
    """The gateway sends `messages` in the body by itself."""
    return argument.name == CONVERSATION and argument.where is Where.BODY


def _fault(argument: Argument, operation: Operation) -> str | None:
    """Why a target cannot send the argument, None when it can."""
    if _is_conversation(argument):
        return f"`{CONVERSATION}` is the conversation, which the gateway sends by itself"
    if argument.where is Where.PATH:
        return f"`{argument.name}` in the path is a {argument.shape.type}" if _is_compound(argument) else None
    if argument.where is Where.QUERY and operation.method == "POST":
        return _fault_in_path(argument)
    if not is_name(argument.name) or argument.name == CONVERSATION:
        return f"`{argument.name}` is no name that a parameter can have"
    in_query = argument.where is Where.QUERY and argument.shape.type is ParameterType.DICT
    return f"`{argument.name}` in the query is a dict" if in_query else None


def _fault_in_path(argument: Argument) -> str | None:
    """The query of a POST is written into the path, which takes single values that are always there."""
    if _is_compound(argument):
        return f"`{argument.name}` in the query of a POST is a {argument.shape.type}"
    if not argument.required and _default(argument) is None:
        return f"`{argument.name}` in the query of a POST may be missing"
    return None


def _is_compound(argument: Argument) -> bool:
    return argument.shape.type in {ParameterType.LIST, ParameterType.DICT}


def _add_placeholder(argument: Argument, prefix: str, parts: _Parts) -> str:
    """The parameter that fills a placeholder; its name is free, so it gives way to one that is taken."""
    name = argument.name if is_name(argument.name) else config_name(argument.name)
    if name in parts.taken:
        name = unique(config_name(prefix + name), parts.taken)
    described = argument.description or sentence(argument.name) if name != argument.name else argument.description
    required = argument.required or argument.where is Where.PATH
    parameter = replace(argument, name=name, description=described, required=required)
    if argument.where is Where.PATH:
        position = len(parts.names)
        parts.names[argument.name] = name
        # Shown first all the same: a path names what a call is about.
        parts.parameters.insert(position, parameter)
    else:
        parts.parameters.append(parameter)
    return name


def _bound(parts: _Parts) -> None:
    if len(parts.parameters) <= _MOST_PARAMETERS:
        return
    required = [parameter for parameter in parts.parameters if parameter.required]
    if len(required) > _MOST_PARAMETERS:
        raise InexpressibleError(f"it needs {len(required)} arguments, and a target has at most {_MOST_PARAMETERS}")
    in_query = {name for _, name in parts.query}
    optional = sorted(
        (parameter for parameter in parts.parameters if not parameter.required),
        key=lambda parameter: parameter.name not in in_query,
    )
    kept = {parameter.name for parameter in (*required, *optional[: _MOST_PARAMETERS - len(required)])}
    left_out = [parameter.name for parameter in parts.parameters if parameter.name not in kept]
    parts.parameters = [parameter for parameter in parts.parameters if parameter.name in kept]
    parts.query = [(wire, name) for wire, name in parts.query if name in kept]
    parts.remarks.append(f"a target has at most {_MOST_PARAMETERS} parameters; left out: {', '.join(left_out)}")


def _path(path: str, parts: _Parts) -> str:
    """The path with its placeholders named as the parameters are, and the query of a POST, not in its body."""
    pieces: list[str] = []
    end = 0
    for match in _PLACEHOLDER.finditer(path):
        if match[1] not in parts.names:
            raise InexpressibleError(f"its path holds {match[0]}, which is no argument")
        pieces += _static(path[end : match.start()]), f"{{{parts.names[match[1]]}}}"
        end = match.end()
    pieces.append(_static(path[end:]))
    query = "&".join(f"{quote(wire, safe='')}={{{name}}}" for wire, name in parts.query)
    found = "".join(pieces)
    found += f"{'&' if '?' in found else '?'}{query}" if query else ""
    if len(found) > _LONGEST_PATH:
        raise InexpressibleError(f"its path is longer than {_LONGEST_PATH} characters")
    return found


def _static(text: str) -> str:
    if re.search(r"[{}<>]", text) or not is_unicode(text):
        raise InexpressibleError("its path is not understood")
    return quote(text, safe=_PATH_CHARACTERS)


def _text(text: str | None) -> str | None:
    """A description in one line of characters that a file can hold."""
    if text is None:
        return None
    shown = "".join(character if is_unicode(character) and character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_LONGEST_DESCRIPTION] or None


def _parameter(argument: Argument) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "name": argument.name,
        "type": argument.shape.type.value,
        "description": _text(argument.description) or sentence(argument.name),
    }
    if argument.required:
        found["required"] = True
    found |= _restrictions(argument.shape)
    if argument.shape.type is ParameterType.LIST and argument.shape.items is not None:
        items: dict[str, JsonValue] = {"type": argument.shape.items.type.value, **_restrictions(argument.shape.items)}
        found["items"] = items if len(items) > 1 else items["type"]
    default = _default(argument)
    if default is not None and not argument.required:
        found["default"] = default.value
    return found


def _restrictions(shape: Shape) -> dict[str, JsonValue]:
    enum, form = _enum(shape), _format(shape)
    found: dict[str, JsonValue] = {}
    if enum:
        found["enum"] = list(enum)
    if form:
        found["format"] = form
    return found


def _format(shape: Shape) -> str | None:
    is_checked = shape.type is ParameterType.STR and shape.format in FORMATS and not _enum(shape)
    return shape.format if is_checked else None


def _enum(shape: Shape) -> tuple[Scalar, ...]:
    """The values of an enum, or none of them where the configuration cannot hold one: it would be refused to users."""
    if shape.type not in _WITH_ENUM or len(shape.enum) > MOST_ENUM_VALUES:
        return ()
    # An empty choice, which forms like to offer, is nothing that a conversation could say.
    values = tuple(value for value in shape.enum if value != "")
    usable = all(
        is_of_type(value, shape.type)
        and _is_storable(value)
        and not (isinstance(value, str) and len(value) > _LONGEST_ENUM_VALUE)
        for value in values
    )
    return values if usable else ()


def _default(argument: Argument) -> Default | None:
    """The default, unless the configuration would refuse it: then the API fills it in, as it would without us."""
    default, shape = argument.default, argument.shape
    if default is None or default.value is None or not is_of_type(default.value, shape.type):
        return None
    if not _is_storable(default.value) or not _is_allowed(default.value, shape):
        return None
    if isinstance(default.value, list) and shape.items is not None:
        items = shape.items
        if not all(is_of_type(item, items.type) and _is_allowed(item, items) for item in default.value):
            return None
    return default


def _is_allowed(value: JsonValue, shape: Shape) -> bool:
    enum, form = _enum(shape), _format(shape)
    return (not enum or value in enum) and (form is None or not isinstance(value, str) or has_format(value, form))


def _is_storable(value: object) -> bool:
    """Whether a value comes out of the configuration file as it went in."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if seen > _MOST_DEFAULT_VALUES or depth > _DEEPEST_DEFAULT or not _is_plain(item):
            return False
        if isinstance(item, list):
            waiting += ((inner, depth + 1) for inner in item)
        elif isinstance(item, dict):
            waiting += ((inner, depth + 1) for pair in item.items() for inner in pair)
    return True


def _is_plain(value: object) -> bool:
    match value:
        case bool():
            return True
        case int():
            return abs(value) < _LARGEST_INT
        case float():
            return value == 0 or _SMALLEST_FLOAT < abs(value) < _LARGEST_FLOAT
        case str():
            return is_unicode(value) and len(value) <= _LONGEST_DEFAULT
        case _:
            return value is None or isinstance(value, list | dict)
