"""Reads Flask routes: arguments are the converters of the path and the keys that a function reads from `request`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from controlplane.generate import docstrings, limitations
from controlplane.generate.operations import (
    Argument,
    InexpressibleError,
    Location,
    Operation,
    Shape,
    enum_shape,
)
from controlplane.generate.python import classes, model_fields, request_keys
from controlplane.generate.python.annotations import read_annotation
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Definition, Module
from controlplane.generate.python.request_keys import RequestKey, RequestPart
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
_PARTS: Final = {
    "args": RequestPart.QUERY,
    "json": RequestPart.JSON,
    "form": RequestPart.FORM,
    "values": RequestPart.EITHER,
    "files": RequestPart.FILES,
}
_VALIDATORS: Final = frozenset({"model_validate", "parse_obj", "from_dict", "validate", "construct"})
# Parameters that flask-pydantic fills from the request.
_FILLED: Final = {"body": Location.BODY, "form": Location.BODY, "query": Location.QUERY}


def operation(route: Route, method: str) -> Operation:
    """Returns the operation of `route` for one method. Raises `InexpressibleError`."""
    function, module = route.function, route.module
    documented = docstrings.parse(ast.get_docstring(function))
    remarks = list(route.remarks)
    found = [
        item for item in request_keys.read_keys(function, module, _Request(module).part) if item.is_read_by(method)
    ]
    if any(item.part is RequestPart.FILES for item in found):
        raise InexpressibleError(limitations.UPLOAD)
    modelled = list(_models(function, module))
    arguments: list[Argument] = []
    for item in found:
        location = _location(item, method)
        if location is Location.BODY and method == "GET":
            # Probably the branch of another method, unless the route has GET alone.
            if route.methods == ("GET",) and item.part is RequestPart.JSON:
                raise InexpressibleError(limitations.BODY_OF_GET)
            continue
        if item.part is RequestPart.FORM:
            remarks.append(limitations.FORM)
        arguments.append(Argument(item.name, location, item.shape, None, item.required, item.default))
    for definition, location in modelled:
        if location is Location.BODY and method == "GET":
            continue
        if location is Location.BODY and model_fields.is_closed(definition):
            remarks.append(limitations.forbids_extra_keys(definition.name))
        arguments += (item.argument for item in model_fields.fields(definition, location))
    named = [
        argument if argument.description else _described(argument, documented)
        for argument in (*_path_arguments(route.path, function, module), *_distinct(arguments))
    ]
    return Operation(
        name=Literals(module).text(route.keywords.get("endpoint")) or function.name,
        method=method,
        path=_PLACEHOLDER.sub(lambda match: f"{{{match['name']}}}", route.path),
        position=route.position,
        description=documented.summary,
        arguments=tuple(named),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _described(argument: Argument, documented: docstrings.Docstring) -> Argument:
    description = documented.parameters.get(argument.name)
    return Argument(argument.name, argument.location, argument.shape, description, argument.required, argument.default)


def _distinct(arguments: list[Argument]) -> tuple[Argument, ...]:
    """Merges arguments of one name and location, such as a key read from the JSON, else from the form."""
    found: dict[tuple[str, Location], Argument] = {}
    for argument in arguments:
        found.setdefault((argument.name, argument.location), argument)
    return tuple(found.values())


def _location(item: RequestKey, method: str) -> Location:
    if item.part is RequestPart.QUERY or (item.part is RequestPart.EITHER and method == "GET"):
        return Location.QUERY
    # request.values of a POST contains the query too, and a query can always be sent.
    return Location.QUERY if item.part is RequestPart.EITHER else Location.BODY


def _path_arguments(path: str, function: Function, module: Module) -> Iterator[Argument]:
    annotations = {argument.arg: argument.annotation for argument in (*function.args.args, *function.args.kwonlyargs)}
    for match in _PLACEHOLDER.finditer(path):
        converter, options = match["converter"], match["options"] or ""
        shape = _CONVERTERS.get(converter or "")
        if converter == "any":
            shape = enum_shape([option.strip().strip("\"'") for option in options.split(",") if option.strip()])
        if shape is None:
            annotated = read_annotation(annotations.get(match["name"]), module)
            shape = annotated.shape if annotated.known else Shape()
        yield Argument(match["name"], Location.PATH, shape, required=True)


class _Request:
    """Recognizes the mappings of Flask's `request`."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def part(self, node: ast.expr) -> RequestPart | None:
        match node:
            case ast.Attribute(value=owner, attr=name) if name in _PARTS and self._is_request(owner):
                return _PARTS[name]
            case ast.Call(func=ast.Attribute(value=owner, attr="get_json")) if self._is_request(owner):
                return RequestPart.JSON
            case ast.Call(func=ast.Attribute(attr="loads"), args=[ast.Attribute(value=owner, attr="data")]):
                return RequestPart.JSON if self._is_request(owner) else None
            case ast.Call(
                func=ast.Attribute(attr="loads"), args=[ast.Call(func=ast.Attribute(value=owner, attr="get_data"))]
            ):
                return RequestPart.JSON if self._is_request(owner) else None
        return None

    def _is_request(self, node: ast.expr) -> bool:
        return self._module.short_name(node) == "request"


def _models(function: Function, module: Module) -> Iterator[tuple[Definition, Location]]:
    """Yields models of body and query: `Item(**request.json)`, `Item.model_validate(data)`, flask-pydantic's `body`."""
    for argument in (*function.args.args, *function.args.kwonlyargs):
        if argument.arg in _FILLED:
            for model in read_annotation(argument.annotation, module).models[:1]:
                yield model, _FILLED[argument.arg]
    part_of = request_keys.part_resolver(function, module, _Request(module).part)
    for node in ast.walk(function):
        match node:
            case ast.Call(func=made, args=[], keywords=[ast.keyword(arg=None, value=given)]):
                pass
            case ast.Call(func=ast.Attribute(value=made, attr=verb), args=[given]) if verb in _VALIDATORS:
                pass
            case _:
                continue
        part = part_of(given)
        definition = module.find(made)
        if (
            part in {RequestPart.JSON, RequestPart.QUERY}
            and classes.is_class(definition)
            and classes.is_model(definition)
        ):
            yield definition, Location.QUERY if part is RequestPart.QUERY else Location.BODY
