"""Reads the literals of Python source code without running it. Used by guard_texts.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

Value = str | int | float | list["Value"] | dict["Value", "Value"] | None


class _NotLiteralError(ValueError):
    """The expression is not made of literals, names of literals, + and * alone."""


def assigned(source: str) -> Iterator[tuple[str, str, Value]]:
    """Yields each assignment of a literal in `source`: its class ("" at module level), name and value.

    f-strings, names assigned before, + and * are evaluated; assignments of other expressions are skipped.
    """
    module = ast.parse(source)
    known: dict[str, Value] = {}
    for name, value in _of_body(module.body, known):
        yield "", name, value
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            for name, value in _of_body(node.body, dict(known)):
                yield node.name, name, value


def _of_body(body: list[ast.stmt], known: dict[str, Value]) -> Iterator[tuple[str, Value]]:
    for statement in body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            continue
        try:
            value = _value(statement.value, known)
        except _NotLiteralError:
            continue
        known[statement.targets[0].id] = value
        yield statement.targets[0].id, value


def _value(node: ast.expr, known: Mapping[str, Value]) -> Value:  # noqa: PLR0911 - one return a kind of expression
    match node:
        case ast.Constant(value=str() | int() | float() | None as constant):
            return constant
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.JoinedStr(values=parts):
            return "".join(str(_value(part, known)) for part in parts)
        case ast.FormattedValue(value=inner):
            return _value(inner, known)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, known) for item in items]
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            pairs = zip(keys, values, strict=True)
            return {str(_value(key, known)): _value(value, known) for key, value in pairs if key is not None}
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(_value(left, known), _value(right, known))
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int() as times)):
            repeated = _value(left, known)
            if isinstance(repeated, str):
                return repeated * times
    raise _NotLiteralError


def _sum(left: Value, right: Value) -> Value:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    raise _NotLiteralError


def texts(value: Value) -> list[str]:
    """Returns the strings of a list, and an empty list for any other value."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
