"""Finds the routes of a project, from decorators and from calls that add a route: function, methods and path."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from controlplane.generate.operations import Note
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Module
from controlplane.generate.python.routers import Framework, Routers

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_METHODS: Final = ("get", "post", "put", "delete", "patch", "head", "options", "trace")
_ANY_METHOD: Final = ("route", "api_route")
_ADDED: Final = {"add_url_rule": "view_func", "add_api_route": "endpoint"}
# The framework answers these beside GET; they are no calls of their own.
_IMPLICIT_METHODS: Final = frozenset({"HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Route:
    """One function under one path. `methods` are upper case; `path` is in the framework's notation."""

    framework: Framework
    module: Module
    function: Function
    methods: tuple[str, ...]
    path: str
    position: str
    hidden: bool
    keywords: Mapping[str, ast.expr]
    remarks: tuple[str, ...] = ()


def routes(routers: Routers) -> tuple[tuple[Route, ...], tuple[Note, ...]]:
    """Returns all routes in reach, in the order of the source, and notes about routes that could not be read."""
    found: list[Route] = []
    notes: list[Note] = []
    for module in routers.modules:
        registrations = sorted(_registrations(module), key=lambda item: (item.call.lineno, item.call.col_offset))
        for registration in registrations:
            framework = routers.framework(registration.owner, module)
            if framework is None:
                continue
            if registration.function is None:
                notes.append(
                    Note(module.position(registration.call), registration.subject, "skipped: no function to read")
                )
                continue
            path = _path(registration.call, module)
            if path is None:
                message = "skipped: its path is known at run time only"
                notes.append(Note(module.position(registration.function), registration.function.name, message))
                continue
            remarks = _remarks(routers, registration, module)
            route = _route(framework, registration, registration.function, module, remarks)
            found += (
                replace(route, path=_joined(framework, prefix.path, path), hidden=route.hidden or prefix.hidden)
                for prefix in routers.prefixes(registration.owner, module)
            )
    return tuple(found), tuple(notes)


@dataclass(frozen=True, slots=True)
class _Registration:
    owner: ast.expr
    verb: str
    call: ast.Call
    function: Function | None

    @property
    def subject(self) -> str:
        return ast.unparse(self.call.func)


def _registrations(module: Module) -> Iterator[_Registration]:
    functions: dict[str, Function] = {}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        functions.setdefault(node.name, node)
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
                verb = decorator.func.attr
                if verb in _METHODS or verb in _ANY_METHOD or verb == "websocket":
                    yield _Registration(decorator.func.value, verb, decorator, node)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ADDED:
            yield _Registration(node.func.value, node.func.attr, node, _added(node, node.func.attr, functions))


def _added(call: ast.Call, verb: str, functions: Mapping[str, Function]) -> Function | None:
    position = 2 if verb == "add_url_rule" else 1
    view = _keywords(call).get(_ADDED[verb]) or (call.args[position] if len(call.args) > position else None)
    return functions.get(view.id) if isinstance(view, ast.Name) else None


def _route(
    framework: Framework, item: _Registration, function: Function, module: Module, remarks: tuple[str, ...]
) -> Route:
    """Returns the route with an empty path."""
    keywords = _keywords(item.call)
    return Route(
        framework=framework,
        module=module,
        function=function,
        methods=_methods(item, keywords, module),
        path="",
        position=module.position(function),
        hidden=not Literals(module).flag(keywords.get("include_in_schema"), True),
        keywords=keywords,
        remarks=remarks,
    )


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _path(call: ast.Call, module: Module) -> str | None:
    keywords = _keywords(call)
    node = keywords.get("path") or keywords.get("rule") or (call.args[0] if call.args else None)
    return Literals(module).text(node)


def _methods(item: _Registration, keywords: Mapping[str, ast.expr], module: Module) -> tuple[str, ...]:
    if item.verb in _METHODS or item.verb == "websocket":
        return (item.verb.upper(),)
    found = Literals(module).value(keywords.get("methods"))
    listed = found.value if found and isinstance(found.value, list) else ["GET"]
    methods = tuple(dict.fromkeys(str(method).upper() for method in listed))
    return tuple(method for method in methods if method not in _IMPLICIT_METHODS) or methods


def _joined(framework: Framework, prefix: str, path: str) -> str:
    slashed = framework is Framework.FLASK and prefix
    joined = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if slashed else prefix + path
    return joined if joined.startswith("/") else f"/{joined}"


def _remarks(routers: Routers, item: _Registration, module: Module) -> tuple[str, ...]:
    if routers.is_unmounted(item.owner, module):
        owner = ast.unparse(item.owner)
        return (f"no file that was read mounts `{owner}`; if it is mounted under a prefix, give it with --path-prefix",)
    return ()
