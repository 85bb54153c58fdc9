"""Evaluates constant expressions without running them: literals, named constants, enum members, simple arithmetic."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from controlplane.generate.operations import Default
from controlplane.generate.python import classes
from controlplane.generate.python.project import Module

_MAX_DEPTH: Final = 8
_MAX_INT: Final = 10**18
_MAX_TEXT_LENGTH: Final = 16384
# Functions that return their one argument unchanged, as far as its text is concerned.
_TRANSPARENT: Final = frozenset(
    {"dedent", "cleandoc", "_", "gettext", "lazy_gettext", "str", "list", "tuple", "set", "dict"}
)
_FACTORIES: Final[Mapping[str, JsonValue]] = {"list": [], "tuple": [], "set": [], "dict": {}, "str": "", "int": 0}


class _UnknownError(Exception):
    """The value is known at run time only."""


@dataclass(frozen=True, slots=True)
class Literals:
    """Evaluates expressions of one module."""

    module: Module

    def value(self, node: ast.expr | None) -> Default | None:
        """Returns the JSON value of an expression, None when it is known at run time only."""
        if node is None:
            return None
        try:
            return Default(_value(node, self.module, 0))
        except _UnknownError:
            return None

    def text(self, node: ast.expr | None) -> str | None:
        found = self.value(node)
        return found.value if found and isinstance(found.value, str) else None

    def flag(self, node: ast.expr | None, default: bool) -> bool:
        found = self.value(node)
        return found.value if found and isinstance(found.value, bool) else default

    def factory(self, node: ast.expr | None) -> Default | None:
        """Returns the value of a factory: `default_factory=list`, or a lambda of a constant."""
        if isinstance(node, ast.Lambda):
            return self.value(node.body)
        made = _FACTORIES.get(self.module.qualified(node))
        return Default(made) if made is not None else None


def _value(node: ast.expr, module: Module, depth: int) -> JsonValue:  # noqa: PLR0911  one a kind of node
    if depth > _MAX_DEPTH:
        raise _UnknownError
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return _bounded(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand, module, depth + 1)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number
        case ast.BinOp(left=left, op=operator, right=right):
            return _binary(_value(left, module, depth + 1), operator, _value(right, module, depth + 1))
        case ast.JoinedStr(values=parts):
            return _bounded("".join(_text(part, module, depth + 1) for part in parts))
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_value(item, module, depth + 1) for item in items]
        case ast.Dict(keys=keys, values=values):
            return _mapping(keys, values, module, depth + 1)
        case ast.Name() | ast.Attribute():
            return _named(node, module, depth + 1)
        case ast.Call(func=function, args=[argument], keywords=[]) if module.short_name(function) in _TRANSPARENT:
            return _value(argument, module, depth + 1)
    raise _UnknownError


def _bounded(value: bool | int | float | str | None) -> JsonValue:
    # Values beyond these bounds do not survive writing to and reading from the configuration file.
    if isinstance(value, int) and abs(value) >= _MAX_INT:
        raise _UnknownError
    if isinstance(value, float) and not (value == 0 or 1e-15 < abs(value) < 1e15):
        raise _UnknownError
    if isinstance(value, str) and len(value) > _MAX_TEXT_LENGTH:
        raise _UnknownError
    return value


def _binary(left: JsonValue, operator: ast.operator, right: JsonValue) -> JsonValue:
    if isinstance(left, str) and isinstance(right, str) and isinstance(operator, ast.Add):
        return _bounded(left + right)
    if not isinstance(left, int) or not isinstance(right, int):
        raise _UnknownError
    match operator:
        case ast.Add():
            return _bounded(left + right)
        case ast.Sub():
            return _bounded(left - right)
        case ast.Mult():
            return _bounded(left * right)
    raise _UnknownError


def _text(node: ast.expr, module: Module, depth: int) -> str:
    if isinstance(node, ast.FormattedValue):
        if node.format_spec is not None or node.conversion != -1:
            raise _UnknownError
        node = node.value
    value = _value(node, module, depth)
    if not isinstance(value, str | int):
        raise _UnknownError
    return str(value)


def _mapping(keys: list[ast.expr | None], values: list[ast.expr], module: Module, depth: int) -> JsonValue:
    found: dict[str, JsonValue] = {}
    for key, item in zip(keys, values, strict=True):
        name = _value(key, module, depth) if key is not None else None
        if not isinstance(name, str):
            raise _UnknownError
        found[name] = _value(item, module, depth)
    return found


def _named(node: ast.Name | ast.Attribute, module: Module, depth: int) -> JsonValue:
    if isinstance(node, ast.Attribute):
        # Color.RED, and Color.RED.value
        inner = node.value if node.attr == "value" and isinstance(node.value, ast.Attribute) else node
        owner = module.find(inner.value) if isinstance(inner, ast.Attribute) else None
        if owner and isinstance(owner.node, ast.ClassDef) and isinstance(inner, ast.Attribute):
            member = classes.member(owner, inner.attr)
            if member is not None:
                return _value(member, owner.module, depth)
            raise _UnknownError
    found = module.find(node)
    if found is None or not isinstance(found.node, ast.expr):
        raise _UnknownError
    return _value(found.node, found.module, depth)
