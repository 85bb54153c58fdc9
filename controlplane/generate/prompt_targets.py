"""Makes prompt targets of operations; notes what a target cannot express. Pure. Used by generate.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from pydantic import JsonValue

from controlplane.config.names import is_name
from controlplane.config.parameter_types import is_of_type
from controlplane.config.yaml_parser import is_unicode
from controlplane.generate.naming import config_name, sentence, unique
from controlplane.generate.operations import (
    CONVERSATION,
    MAX_ENUM_VALUES,
    Argument,
    Default,
    InexpressibleError,
    Location,
    Note,
    Operation,
    Scalar,
    Shape,
)
from extproc.shared.filter_config import ParameterType
from extproc.shared.string_formats import FORMATS, has_format

# The bounds of `prompt_targets` in the configuration.
MAX_TARGETS: Final = 128
_MAX_PARAMETERS: Final = 64
_MAX_DESCRIPTION_LENGTH: Final = 4096
_MAX_ENUM_VALUE_LENGTH: Final = 256
_MAX_PATH_LENGTH: Final = 2048
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
_PATH_CHARACTERS: Final = "/._~!$&'()*+,;=:@%?-"
_MAX_INT: Final = 10**18
# Numbers outside are written with a three-digit exponent, which YAML 1.2 reads as text.
_MIN_FLOAT: Final = 1e-15
_MAX_FLOAT: Final = 1e15
_MAX_DEFAULT_DEPTH: Final = 8
_MAX_DEFAULT_VALUES: Final = 256
_MAX_DEFAULT_LENGTH: Final = 4096
_WITH_ENUM: Final = frozenset({ParameterType.STR, ParameterType.INT, ParameterType.FLOAT})


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of `prompt_targets`, and the limitations that its author must know."""

    value: Mapping[str, JsonValue]
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _TargetDraft:
    """A target under construction. `names` maps each placeholder of the path to its parameter."""

    parameters: list[Argument] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    query: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def taken(self) -> set[str]:
        return {parameter.name for parameter in self.parameters} | {CONVERSATION}


def targets(operations: Sequence[Operation], endpoint: str) -> tuple[tuple[Target, ...], tuple[Note, ...]]:
    """Returns a target for each operation that can be one, in order, and the notes about all of them."""
    found: dict[str, Target] = {}
    notes: list[Note] = []
    for operation in operations:
        if len(found) >= MAX_TARGETS:
            notes.append(
                Note(operation.position, operation.name, f"skipped: a gateway has at most {MAX_TARGETS} targets")
            )
            continue
        name = _target_name(operation, found)
        try:
            target, unnamed = _target(operation, name, endpoint)
        except InexpressibleError as error:
            notes.append(Note(operation.position, operation.name, f"skipped: {error}"))
            continue
        found[name] = target
        notes += (Note(operation.position, name, remark) for remark in target.remarks)
        if unnamed:
            message = f"no description in the source for {', '.join(unnamed)}: made from the name; write one"
            notes.append(Note(operation.position, name, message))
    return tuple(found.values()), tuple(notes)


def _target_name(operation: Operation, taken: Mapping[str, Target]) -> str:
    name = config_name(operation.name)
    # A second method of one function gets the method as suffix, any other duplicate a number.
    return unique(config_name(f"{name}_{operation.method.lower()}"), taken) if name in taken else name


def _target(operation: Operation, name: str, endpoint: str) -> tuple[Target, list[str]]:
    """Returns the target, and the names of its parts that have no description in the source."""
    draft = _TargetDraft(remarks=list(operation.remarks))
    # Path arguments come last: placeholders can be renamed, keys of body and query cannot.
    for argument in sorted(operation.arguments, key=lambda item: item.location is Location.PATH):
        _add(argument, operation, draft)
    _limit_parameters(draft)
    unnamed = [] if _text(operation.description) else ["the target"]
    unnamed += [parameter.name for parameter in draft.parameters if not _text(parameter.description)]
    call: dict[str, JsonValue] = {
        "name": endpoint,
        "path": _path(operation.path, draft),
        "http_method": operation.method,
    }
    value: dict[str, JsonValue] = {
        "name": name,
        "description": _text(operation.description) or sentence(name),
        "endpoint": call,
    }
    if draft.parameters:
        value["parameters"] = [_parameter(parameter) for parameter in draft.parameters]
    return Target(value, tuple(dict.fromkeys(draft.remarks))), unnamed


def _add(argument: Argument, operation: Operation, draft: _TargetDraft) -> None:
    """Adds the argument to the draft, or a remark why it cannot be sent."""
    reason = _unsupported_reason(argument, operation)
    if reason is not None:
        if argument.required and not _is_conversation(argument):
            raise InexpressibleError(reason)
        draft.remarks.append(f"{reason}, so it is left out")
    elif argument.location is Location.PATH:
        if f"{{{argument.name}}}" in operation.path:
            _add_placeholder(argument, "path_", draft)
    elif argument.location is Location.QUERY and operation.method == "POST":
        name = _add_placeholder(argument, "query_", draft)
        draft.query.append((argument.name, name))
    elif argument.name not in draft.taken:
        draft.parameters.append(argument)


def _is_conversation(argument: Argument) -> bool:
    """Returns whether it is `messages`, which the gateway itself adds to the body."""
    return argument.name == CONVERSATION and argument.location is Location.BODY


def _unsupported_reason(argument: Argument, operation: Operation) -> str | None:
    """Returns the reason why a target cannot send the argument, None when it can."""
    if _is_conversation(argument):
        return f"`{CONVERSATION}` is the conversation, which the gateway sends by itself"
    if argument.location is Location.PATH:
        return f"`{argument.name}` in the path is a {argument.shape.type}" if _is_compound(argument) else None
    if argument.location is Location.QUERY and operation.method == "POST":
        return _unsupported_in_path(argument)
    if not is_name(argument.name) or argument.name == CONVERSATION:
        return f"`{argument.name}` is not a valid parameter name"
    in_query = argument.location is Location.QUERY and argument.shape.type is ParameterType.DICT
    return f"`{argument.name}` in the query is a dict" if in_query else None


def _unsupported_in_path(argument: Argument) -> str | None:
    """As `_unsupported_reason`, for the query of a POST: it is written into the path, which needs single values."""
    if _is_compound(argument):
        return f"`{argument.name}` in the query of a POST is a {argument.shape.type}"
    if not argument.required and _default(argument) is None:
        return f"`{argument.name}` in the query of a POST may be missing"
    return None


def _is_compound(argument: Argument) -> bool:
    return argument.shape.type in {ParameterType.LIST, ParameterType.DICT}


def _add_placeholder(argument: Argument, prefix: str, draft: _TargetDraft) -> str:
    """Adds the parameter that fills a placeholder and returns its name, which is changed when it is taken."""
    name = argument.name if is_name(argument.name) else config_name(argument.name)
    if name in draft.taken:
        name = unique(config_name(prefix + name), draft.taken)
    described = argument.description or sentence(argument.name) if name != argument.name else argument.description
    required = argument.required or argument.location is Location.PATH
    parameter = replace(argument, name=name, description=described, required=required)
    if argument.location is Location.PATH:
        position = len(draft.names)
        draft.names[argument.name] = name
        # Listed first nevertheless: the path names the subject of a call.
        draft.parameters.insert(position, parameter)
    else:
        draft.parameters.append(parameter)
    return name


def _limit_parameters(draft: _TargetDraft) -> None:
    if len(draft.parameters) <= _MAX_PARAMETERS:
        return
    required = [parameter for parameter in draft.parameters if parameter.required]
    if len(required) > _MAX_PARAMETERS:
        raise InexpressibleError(f"it needs {len(required)} arguments, and a target has at most {_MAX_PARAMETERS}")
    in_query = {name for _, name in draft.query}
    optional = sorted(
        (parameter for parameter in draft.parameters if not parameter.required),
        key=lambda parameter: parameter.name not in in_query,
    )
    kept = {parameter.name for parameter in (*required, *optional[: _MAX_PARAMETERS - len(required)])}
    left_out = [parameter.name for parameter in draft.parameters if parameter.name not in kept]
    draft.parameters = [parameter for parameter in draft.parameters if parameter.name in kept]
    draft.query = [(query_name, name) for query_name, name in draft.query if name in kept]
    draft.remarks.append(f"a target has at most {_MAX_PARAMETERS} parameters; left out: {', '.join(left_out)}")


def _path(path: str, draft: _TargetDraft) -> str:
    """Returns the path with the parameters as placeholders, followed by the query of a POST."""
    pieces: list[str] = []
    end = 0
    for match in _PLACEHOLDER.finditer(path):
        if match[1] not in draft.names:
            raise InexpressibleError(f"its path contains {match[0]}, which is not an argument")
        pieces += _static(path[end : match.start()]), f"{{{draft.names[match[1]]}}}"
        end = match.end()
    pieces.append(_static(path[end:]))
    query = "&".join(f"{quote(query_name, safe='')}={{{name}}}" for query_name, name in draft.query)
    found = "".join(pieces)
    found += f"{'&' if '?' in found else '?'}{query}" if query else ""
    if len(found) > _MAX_PATH_LENGTH:
        raise InexpressibleError(f"its path is longer than {_MAX_PATH_LENGTH} characters")
    return found


def _static(text: str) -> str:
    if re.search(r"[{}<>]", text) or not is_unicode(text):
        raise InexpressibleError(
            "its path contains braces or angle brackets that are not placeholders, or invalid characters"
        )
    return quote(text, safe=_PATH_CHARACTERS)


def _text(text: str | None) -> str | None:
    """Returns a description as one line of printable characters."""
    if text is None:
        return None
    shown = "".join(character if is_unicode(character) and character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_MAX_DESCRIPTION_LENGTH] or None


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
    """Returns the values of an enum; none when the configuration cannot hold one, since users could not send it."""
    if shape.type not in _WITH_ENUM or len(shape.enum) > MAX_ENUM_VALUES:
        return ()
    # Forms often offer an empty choice; a conversation cannot express it.
    values = tuple(value for value in shape.enum if value != "")
    usable = all(
        is_of_type(value, shape.type)
        and _is_storable(value)
        and not (isinstance(value, str) and len(value) > _MAX_ENUM_VALUE_LENGTH)
        for value in values
    )
    return values if usable else ()


def _default(argument: Argument) -> Default | None:
    """Returns the default, or None when the configuration would refuse it; the API then fills it in."""
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
    """Returns whether the value survives writing to and reading from the configuration file."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if seen > _MAX_DEFAULT_VALUES or depth > _MAX_DEFAULT_DEPTH or not _is_plain(item):
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
            return abs(value) < _MAX_INT
        case float():
            return value == 0 or _MIN_FLOAT < abs(value) < _MAX_FLOAT
        case str():
            return is_unicode(value) and len(value) <= _MAX_DEFAULT_LENGTH
        case _:
            return value is None or isinstance(value, list | dict)
