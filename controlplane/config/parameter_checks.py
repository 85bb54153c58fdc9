"""Checks each parameter: enum, format, items and default must fit its type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from controlplane.config.check_report import CheckReport
from controlplane.config.parameter_types import is_of_type
from controlplane.config.parameters import Items, Parameter, format_of
from controlplane.config.prompt_targets import PromptTarget
from controlplane.config.yaml_tree import Loc
from controlplane.quoting import quoted
from extproc.shared.filter_config import ParameterType
from extproc.shared.string_formats import has_format

# The conversation's key in the body of an API call.
_RESERVED: Final = "messages"
_WITH_ENUM: Final = frozenset({ParameterType.STR, ParameterType.INT, ParameterType.FLOAT})
_EXAMPLES: Final = {"date": "2026-01-31", "time": "14:30", "date-time": "2026-01-31T14:30:00Z"}


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error at `path`, relative to the parameter."""

    path: Loc
    message: str
    hint: str | None = None


def check_parameters(target: PromptTarget, loc: Loc, report: CheckReport) -> None:
    names = [parameter.name for parameter in target.parameters]
    report.check_unique(names, (*loc, "parameters"), "parameter")
    for index, parameter in enumerate(target.parameters):
        parameter_loc: Loc = (*loc, "parameters", index)
        if parameter.name == _RESERVED:
            report.fault(
                (*parameter_loc, "name"),
                '"messages" cannot be the name of a parameter: the call has the messages under it',
            )
        for fault in _faults(parameter):
            report.fault((*parameter_loc, *fault.path), fault.message, fault.hint)


def _faults(parameter: Parameter) -> Iterator[_Fault]:
    yield from _declaration_faults(parameter, ())
    if parameter.items is not None:
        if parameter.type.type is ParameterType.LIST:
            yield from _declaration_faults(parameter.items, ("items",))
        else:
            yield _Fault(("items",), f"items has no meaning for a parameter of type {parameter.type.type}", "for list")
    if not parameter.has_default:
        return
    if parameter.required:
        yield _Fault(
            ("default",),
            "a required parameter is asked for, so its default is never used",
            "remove required, or the default",
        )
    elif parameter.default is not None:
        yield from _default_faults(parameter, parameter.default)


def _declaration_faults(declared: Parameter | Items, at: Loc) -> Iterator[_Fault]:
    kind = declared.type.type
    if declared.format is not None:
        if kind is not ParameterType.STR:
            yield _Fault((*at, "format"), f"format has no meaning for a parameter of type {kind}", "it works for str")
        elif declared.type.format not in {None, declared.format}:
            yield _Fault(
                (*at, "format"), f"the type says the format {declared.type.format} already", "remove one of them"
            )
    if not declared.enum:
        return
    if kind not in _WITH_ENUM:
        hint = "write it in items" if kind is ParameterType.LIST else "it works for str, int and float"
        yield _Fault((*at, "enum"), f"enum has no meaning for a parameter of type {kind}", hint)
        return
    for index, choice in enumerate(declared.enum):
        # In Python 1 and 1.0 are one value, and so they are in JSON.
        if choice in declared.enum[:index]:
            yield _Fault((*at, "enum", index), f"enum names {quoted(choice)} twice", "keep one")
        yield from _value_faults(declared, choice, (*at, "enum", index), f"{quoted(choice)} of enum", in_enum=True)


def _default_faults(parameter: Parameter, default: JsonValue) -> Iterator[_Fault]:
    yield from _value_faults(parameter, default, ("default",), "the default")
    if parameter.items is not None and isinstance(default, list):
        for index, element in enumerate(default):
            yield from _value_faults(parameter.items, element, ("default", index), f"{quoted(element)} of the default")


def _value_faults(
    declared: Parameter | Items, value: JsonValue, at: Loc, what: str, *, in_enum: bool = False
) -> Iterator[_Fault]:
    """Yields the first error of `value` against its declaration."""
    kind, form = declared.type.type, format_of(declared)
    if not is_of_type(value, kind):
        subject = "parameter's" if isinstance(declared, Parameter) else "items'"
        hint = "put it in quotes" if kind is ParameterType.STR and not isinstance(value, list | dict) else None
        yield _Fault(at, f"{what} is not of the {subject} type, {kind}", hint)
    elif form is not None and isinstance(value, str) and not has_format(value, form):
        example = _EXAMPLES.get(form)
        yield _Fault(at, f"{what} is not in the format {form}", f"such as {example}" if example else None)
    elif declared.enum and not in_enum and value not in declared.enum:
        yield _Fault(
            at, f"{what} is not one of enum", f"enum has: {', '.join(str(choice) for choice in declared.enum)}"
        )
