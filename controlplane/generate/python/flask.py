"""Flask's functions take their arguments from the path's converters, and from keys that they read of `request`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from controlplane.generate import docstrings, limitations
from controlplane.generate.operations import (
    Argument,
    InexpressibleError,
    Operation,
    Shape,
    Where,
    enum_shape,
)
from controlplane.generate.python import classes, model_fields, request_keys
from controlplane.generate.python.annotations import read
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Definition, Module
from controlplane.generate.python.request_keys import Read, Source
from controlplane.generate.python.routes import Function, Route
from extproc.shared.filter_config import ParameterType

_PLACEHOLDER: Final = re.compile(
    r"<(?:(?P<converter>[A-Za-z_]\w*)(?:\((?P<options>[^)]*)\))?:)?(?P<name>[A-Za-z_]\w*)>"
)
_CONVERTERS: Final = {
    "int": Shape(ParameterType.INT),
    "float": Shape(ParameterType.FLOAT),
    "uuid": Shape(format="uuid"),
}
_SOURCES: Final = {
    "args": Source.QUERY,
    "json": Source.JSON,
    "form": Source.FORM,
    "values": Source.EITHER,
    "files": Source.FILES,
}
_VALIDATORS: Final = frozenset({"model_validate", "parse_obj", "from_dict", "validate", "construct"})
# Parameters that flask-pydantic fills from the request.
_FILLED: Final = {"body": Where.BODY, "form": Where.BODY, "query": Where.QUERY}


def operation(route: Route, method: str) -> Operation:
    """The call, as `method` of `route`. Raises `InexpressibleError`."""
    function, module = route.function, route.module
    documented = docstrings.read(ast.get_docstring(function))
    said = list(route.remarks)
    found = [item for item in request_keys.reads(function, module, _Request(module).source) if item.is_read_by(method)]
    if any(item.source is Source.FILES for item in found):
        raise InexpressibleError(limitations.UPLOAD)
    modelled = list(_models(function, module))
    arguments: list[Argument] = []
    for item in found:
        where = _where(item, method)
        if where is Where.BODY and method == "GET":
            # The branch of another method; only a route of GET alone needs it.
            if route.methods == ("GET",) and item.source is Source.JSON:
                raise InexpressibleError(limitations.BODY_OF_GET)
            continue
        if item.source is Source.FORM:
            said.append(limitations.FORM)
        arguments.append(Argument(item.name, where, item.shape, None, item.required, item.default))
    for definition, where in modelled:
        if where is Where.BODY and method == "GET":
            continue
        if where is Where.BODY and model_fields.is_closed(definition):
            said.append(limitations.forbids(definition.name))
        arguments += (item.argument for item in model_fields.fields(definition, where))
    named = [
        argument if argument.description else _described(argument, documented)
        for argument in (*_path_arguments(route.path, function, module), *_distinct(arguments))
    ]
    return Operation(
        name=Literals(module).text(route.keywords.get("endpoint")) or function.name,
        method=method,
        path=_PLACEHOLDER.sub(lambda match: f"{{{match['name']}}}", route.path),
        place=route.place,
        description=documented.summary,
        arguments=tuple(named),
        remarks=tuple(dict.fromkeys(said)),
    )


def _described(argument: Argument, documented: docstrings.Docstring) -> Argument:
    description = documented.parameters.get(argument.name)
    return Argument(argument.name, argument.where, argument.shape, description, argument.required, argument.default)


def _distinct(arguments: list[Argument]) -> tuple[Argument, ...]:
    """One key can be read from the JSON and, failing that, from the form: it is one argument."""
    found: dict[tuple[str, Where], Argument] = {}
    for argument in arguments:
        found.setdefault((argument.name, argument.where), argument)
    return tuple(found.values())


def _where(item: Read, method: str) -> Where:
    if item.source is Source.QUERY or (item.source is Source.EITHER and method == "GET"):
        return Where.QUERY
    # request.values of a POST holds the query too, and a query can always be sent.
    return Where.QUERY if item.source is Source.EITHER else Where.BODY


def _path_arguments(path: str, function: Function, module: Module) -> Iterator[Argument]:
    annotations = {argument.arg: argument.annotation for argument in (*function.args.args, *function.args.kwonlyargs)}
    for match in _PLACEHOLDER.finditer(path):
        converter, options = match["converter"], match["options"] or ""
        shape = _CONVERTERS.get(converter or "")
        if converter == "any":
            shape = enum_shape([option.strip().strip("\"'") for option in options.split(",") if option.strip()])
        if shape is None:
            annotated = read(annotations.get(match["name"]), module)
            shape = annotated.shape if annotated.known else Shape()
        yield Argument(match["name"], Where.PATH, shape, required=True)


class _Request:
    """Which expressions are mappings of Flask's `request`."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def source(self, node: ast.expr) -> Source | None:
        match node:
            case ast.Attribute(value=owner, attr=name) if name in _SOURCES and self._is_request(owner):
                return _SOURCES[name]
            case ast.Call(func=ast.Attribute(value=owner, attr="get_json")) if self._is_request(owner):
                return Source.JSON
            case ast.Call(func=ast.Attribute(attr="loads"), args=[ast.Attribute(value=owner, attr="data")]):
                return Source.JSON if self._is_request(owner) else None
            case ast.Call(
                func=ast.Attribute(attr="loads"), args=[ast.Call(func=ast.Attribute(value=owner, attr="get_data"))]
            ):
                return Source.JSON if self._is_request(owner) else None
        return None

    def _is_request(self, node: ast.expr) -> bool:
        return self._module.last(node) == "request"


def _models(function: Function, module: Module) -> Iterator[tuple[Definition, Where]]:
    """Models of the whole body: `Item(**request.json)`, `Item.model_validate(data)`, flask-pydantic's `body: Item`."""
    for argument in (*function.args.args, *function.args.kwonlyargs):
        if argument.arg in _FILLED:
            for model in read(argument.annotation, module).models[:1]:
                yield model, _FILLED[argument.arg]
    sources = request_keys.sources(function, module, _Request(module).source)
    for node in ast.walk(function):
        match node:
            case ast.Call(func=made, args=[], keywords=[ast.keyword(arg=None, value=given)]):
                pass
            case ast.Call(func=ast.Attribute(value=made, attr=verb), args=[given]) if verb in _VALIDATORS:
                pass
            case _:
                continue
        source = sources(given)
        definition = module.find(made)
        if source in {Source.JSON, Source.QUERY} and classes.is_class(definition) and classes.is_model(definition):
            yield definition, Where.QUERY if source is Source.QUERY else Where.BODY
