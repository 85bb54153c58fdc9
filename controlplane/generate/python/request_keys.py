"""Finds the keys that a function reads from the request: `data["x"]`, `request.args.get("x", 1, type=int)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from controlplane.generate.operations import Default, Shape, type_of
from controlplane.generate.python.annotations import read_annotation
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Module
from extproc.shared.filter_config import ParameterType

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class RequestPart(StrEnum):
    """The part of the request that a mapping holds."""

    QUERY = "query"
    JSON = "json"
    FORM = "form"
    # request.values: the query, and the form of a POST
    EITHER = "either"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One key that is read. `branches`: (method, taken) of each `if request.method == ...` around the read."""

    name: str
    part: RequestPart
    shape: Shape
    required: bool
    default: Default | None
    branches: frozenset[tuple[str, bool]] = frozenset()

    def is_read_by(self, method: str) -> bool:
        return all((method == named) is taken for named, taken in self.branches)


_GETTERS: Final = frozenset({"get", "pop", "getlist", "getall"})
_CONVERTED: Final[Mapping[str, Shape]] = {
    "int": Shape(ParameterType.INT),
    "float": Shape(ParameterType.FLOAT),
    "Decimal": Shape(ParameterType.FLOAT),
    "bool": Shape(ParameterType.BOOL),
    "str": Shape(ParameterType.STR),
    "list": Shape(ParameterType.LIST),
    "dict": Shape(ParameterType.DICT),
    "UUID": Shape(ParameterType.STR, format="uuid"),
    "date.fromisoformat": Shape(ParameterType.STR, format="date"),
    "datetime.fromisoformat": Shape(ParameterType.STR, format="date-time"),
    "time.fromisoformat": Shape(ParameterType.STR, format="time"),
}


def read_keys(
    function: Function, module: Module, part_of: Callable[[ast.expr], RequestPart | None]
) -> tuple[RequestKey, ...]:
    """Returns the keys in the order of their first read. `part_of` recognizes the mappings of the request."""
    return tuple(_KeyReader(function, module, part_of).all())


def part_resolver(
    function: Function, module: Module, part_of: Callable[[ast.expr], RequestPart | None]
) -> Callable[[ast.expr], RequestPart | None]:
    """Returns a function that resolves expressions of `function`, variables too, to parts of the request."""
    return _KeyReader(function, module, part_of).part


class _KeyReader:
    """Collects the keys that one function reads."""

    def __init__(self, function: Function, module: Module, part_of: Callable[[ast.expr], RequestPart | None]) -> None:
        self._nodes = sorted(
            (node for node in ast.walk(function) if isinstance(node, ast.expr | ast.stmt)),
            key=lambda node: (node.lineno, node.col_offset),
        )
        self._module = module
        self._literals = Literals(module)
        self._part_of = part_of
        self._parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
        self._variables: dict[str, RequestPart] = {}
        for name, value in self._assignments():
            part = self.part(value)
            if part is not None:
                self._variables[name] = part
        self._branches: dict[ast.AST, frozenset[tuple[str, bool]]] = {}
        for node, method, taken in self._method_branches():
            self._branches[node] = self._branches.get(node, frozenset()) | {(method, taken)}
        self._required = frozenset(self._required_names())

    def all(self) -> Iterator[RequestKey]:
        found: dict[tuple[str, RequestPart, frozenset[tuple[str, bool]]], RequestKey] = {}
        for node in self._nodes:
            item = self._read(node)
            if item is None:
                continue
            key = (item.name, item.part, item.branches)
            found[key] = _merged(found[key], item) if key in found else item
        yield from found.values()

    def part(self, node: ast.expr | None) -> RequestPart | None:  # noqa: PLR0911  one a form of expression
        match node:
            case ast.Await(value=inner) | ast.BoolOp(op=ast.Or(), values=[inner, *_]) | ast.IfExp(body=inner):
                return self.part(inner)
            case ast.NamedExpr(value=inner):
                return self.part(inner)
            case ast.Name(id=name) if name in self._variables:
                return self._variables[name]
            case ast.Call(func=ast.Name(id="dict"), args=[inner]):
                return self.part(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="to_dict" | "copy")):
                return self.part(inner)
            case ast.expr():
                return self._part_of(node)
        return None

    def _assignments(self) -> Iterator[tuple[str, ast.expr]]:
        for node in self._nodes:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    yield name, value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    yield name, value
                case ast.NamedExpr(target=ast.Name(id=name), value=value):
                    yield name, value

    def _method_branches(self) -> Iterator[tuple[ast.AST, str, bool]]:
        for node in self._nodes:
            match node:
                case ast.If(
                    test=ast.Compare(
                        left=ast.Attribute(attr="method"),
                        ops=[ast.Eq()],
                        comparators=[ast.Constant(value=str() as method)],
                    )
                ):
                    for taken, body in ((True, node.body), (False, node.orelse)):
                        yield from ((inner, method.upper(), taken) for item in body for inner in ast.walk(item))

    def _required_names(self) -> Iterator[str]:
        """Yields keys, and variables as `=name`, without which the function returns, raises or aborts."""
        for node in self._nodes:
            if isinstance(node, ast.If) and _ends_call(node.body):
                tests = (
                    node.test.values
                    if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or)
                    else [node.test]
                )
                for test in tests:
                    yield from self._required_by(test)

    def _required_by(self, test: ast.expr) -> Iterator[str]:
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)):
                yield f"={name}"
            case ast.UnaryOp(op=ast.Not(), operand=ast.expr() as inner):
                key = self._key(inner)
                if key is not None:
                    yield key[0]
            case ast.Compare(
                left=ast.Name(id=name), ops=[ast.Is() | ast.Eq()], comparators=[ast.Constant(value=None | "")]
            ):
                yield f"={name}"
            case ast.Compare(left=ast.Constant(value=str() as name), ops=[ast.NotIn()], comparators=[mapping]):
                if self.part(mapping) is not None:
                    yield name

    def _key(self, node: ast.AST) -> tuple[str, RequestPart, bool] | None:
        """Returns the key, the part of the request, and whether the read fails without the key."""
        match node:
            case ast.Subscript(value=mapping, slice=key, ctx=ast.Load()):
                must = True
            case ast.Call(func=ast.Attribute(value=mapping, attr=getter), args=[key, *_]) if getter in _GETTERS:
                must = False
            case _:
                return None
        part = self.part(mapping)
        name = self._literals.text(key) if part else None
        return (name, part, must) if part and name else None

    def _read(self, node: ast.AST) -> RequestKey | None:
        key = self._key(node)
        if key is None:
            return None
        name, part, must = key
        default, kind = self._default_and_type(node)
        target, annotation = self._assigned_to(node)
        shape = kind or self._converted(node) or self._used_as(node)
        if shape is None and annotation is not None:
            shape = read_annotation(annotation, self._module).shape
        if shape is None:
            known = type_of(default.value) if default else None
            shape = Shape(known) if known else Shape()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("getl"):
            shape = Shape(ParameterType.LIST, items=shape)
        required = must or (default is None and (name in self._required or f"={target}" in self._required))
        return RequestKey(name, part, shape, required, default, self._branches.get(node, frozenset()))

    def _default_and_type(self, node: ast.AST) -> tuple[Default | None, Shape | None]:
        """Returns default and type of `.get("x", 1, type=int)` and `.get("x") or 1`."""
        default: Default | None = None
        kind: Shape | None = None
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            default = self._literals.value(keywords.get("default") or (node.args[1] if len(node.args) > 1 else None))
            type_node = keywords.get("type") or (node.args[2] if len(node.args) > 2 else None)
            kind = self._conversion(type_node) if type_node is not None else None
        parent = self._parents.get(node)
        if (
            default is None
            and isinstance(parent, ast.BoolOp)
            and isinstance(parent.op, ast.Or)
            and parent.values[0] is node
        ):
            default = self._literals.value(parent.values[-1])
        # A default of None only means that the key is optional.
        return (default if default and default.value is not None else None), kind

    def _converted(self, node: ast.AST) -> Shape | None:
        parent = self._parents.get(node)
        if isinstance(parent, ast.BoolOp):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call) and len(parent.args) == 1 and node is not parent.func:
            return self._conversion(parent.func)
        return None

    def _used_as(self, node: ast.AST) -> Shape | None:
        """Returns the shape that the use implies: `data["user"]["name"]` a dict, `for item in data["items"]` a list."""
        match self._parents.get(node):
            case ast.Subscript(value=owner, slice=ast.Constant(value=str())) if owner is node:
                return Shape(ParameterType.DICT)
            case ast.Attribute(value=owner, attr="get" | "items" | "keys" | "values") if owner is node:
                return Shape(ParameterType.DICT)
            case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated) | ast.comprehension(iter=iterated) if (
                iterated is node
            ):
                return Shape(ParameterType.LIST)
        return None

    def _conversion(self, node: ast.expr) -> Shape | None:
        qualified = self._module.qualified(node)
        words = qualified.split(".")
        return _CONVERTED.get(words[-1]) or _CONVERTED.get(".".join(words[-2:]))

    def _assigned_to(self, node: ast.AST) -> tuple[str | None, ast.expr | None]:
        """Returns the variable to which the value is assigned, and its annotation."""
        parent = self._parents.get(node)
        while isinstance(parent, ast.expr) and not isinstance(parent, ast.NamedExpr):
            parent = self._parents.get(parent)
        match parent:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                return name, annotation
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.NamedExpr(target=ast.Name(id=name)):
                return name, None
        return None, None


def _merged(first: RequestKey, second: RequestKey) -> RequestKey:
    shape = second.shape if first.shape == Shape() else first.shape
    return replace(
        first, shape=shape, required=first.required or second.required, default=first.default or second.default
    )


def _ends_call(body: list[ast.stmt]) -> bool:
    """Returns whether the branch ends the call: return, raise, or abort()."""
    match body[-1]:
        case ast.Return() | ast.Raise():
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="abort") | ast.Attribute(attr="abort"))):
            return True
    return False
