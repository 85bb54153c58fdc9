"""Reads FastAPI routes: sorts a function's parameters into path, query and body by FastAPI's rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from controlplane.generate import docstrings, limitations
from controlplane.generate.operations import (
    Argument,
    InexpressibleError,
    Location,
    Operation,
    Shape,
    type_of,
)
from controlplane.generate.python import classes, model_fields, request_keys
from controlplane.generate.python.annotations import AnnotatedType, read_annotation
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.model_fields import Declaration
from controlplane.generate.python.project import Definition, Module
from controlplane.generate.python.routes import Function, Route
from extproc.shared.filter_config import ParameterType

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")
_CONVERTERS: Final = {"int": ParameterType.INT, "float": ParameterType.FLOAT}
# Parameter types that FastAPI itself fills in.
_FILLED_BY_FASTAPI: Final = frozenset(
    {"Request", "Response", "WebSocket", "HTTPConnection", "BackgroundTasks", "SecurityScopes", "State"}
)
_FILES: Final = frozenset({"UploadFile"})
_MARKERS: Final = frozenset({"Query", "Path", "Body", "Form", "File", "Header", "Cookie", "Depends", "Security"})
_CREDENTIALS: Final = re.compile(r"OAuth2\w*Bearer|HTTP(Bearer|Basic|Digest)|APIKey(Header|Query|Cookie)|OpenIdConnect")
_MAX_DEPTH: Final = 6


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter of the function, before its location is known. `plain`: a default that is not a FastAPI call."""

    name: str
    typed: AnnotatedType
    module: Module
    declaration: Declaration | None
    declarations: tuple[Declaration, ...]
    plain: ast.expr | None
    described: str | None

    @property
    def marker(self) -> str:
        return self.declaration.module.short_name(self.declaration.call.func) if self.declaration else ""

    def argument(self, location: Location) -> Argument:
        required, default = model_fields.default_of(
            self.declaration or _with_default(self.declarations), self.plain, self.module
        )
        description = next(
            (text for declaration in self.declarations if (text := declaration.text("description"))), None
        )
        title = next((text for declaration in self.declarations if (text := declaration.text("title"))), None)
        alias = next(
            (text for declaration in self.declarations if (text := declaration.text("validation_alias", "alias"))), None
        )
        return Argument(
            name=alias or self.name,
            location=location,
            shape=self.typed.shape,
            description=docstrings.one_line(description) if description else self.described or title,
            required=required,
            default=default,
        )


@dataclass(slots=True)
class _Call:
    """The arguments of one operation, collected while its parameters are read."""

    path: dict[str, Argument]
    method: str
    query: list[Argument] = field(default_factory=list)
    body: list[_Parameter] = field(default_factory=list)
    form: list[_Parameter] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def operation(route: Route, method: str) -> Operation:
    """Returns the operation of `route` for one method. Raises `InexpressibleError`."""
    function, module = route.function, route.module
    documented = docstrings.parse(ast.get_docstring(function))
    literals = Literals(module)
    path = {
        name: _path_argument(name, kind, documented.parameters.get(name))
        for name, kind in _PLACEHOLDER.findall(route.path)
    }
    call = _Call(path, method)
    call.remarks += route.remarks
    _add_parameters(function, module, call, documented, 0)
    for dependency in _listed(route.keywords.get("dependencies")):
        if isinstance(dependency, ast.Call):
            _add_dependency(Declaration(module, dependency), AnnotatedType(), module, call, 0)
    body = _body(call, function, module, documented)
    arguments = tuple(
        replace(argument, description=argument.description or documented.parameters.get(argument.name))
        for argument in (*call.path.values(), *call.query, *body)
    )
    if method == "GET" and body:
        raise InexpressibleError(limitations.BODY_OF_GET)
    return Operation(
        name=literals.text(route.keywords.get("operation_id")) or function.name,
        method=method,
        path=_PLACEHOLDER.sub(lambda match: f"{{{match[1]}}}", route.path),
        position=route.position,
        description=_description(route, literals, documented),
        arguments=arguments,
        remarks=tuple(dict.fromkeys(call.remarks)),
    )


def _description(route: Route, literals: Literals, documented: docstrings.Docstring) -> str | None:
    described = docstrings.parse(literals.text(route.keywords.get("description"))).summary
    summary = literals.text(route.keywords.get("summary"))
    return described or documented.summary or (docstrings.one_line(summary) if summary else None)


def _path_argument(name: str, converter: str, described: str | None) -> Argument:
    shape = Shape(format="uuid") if converter == "uuid" else Shape(_CONVERTERS.get(converter, ParameterType.STR))
    return Argument(name, Location.PATH, shape, described, required=True)


def _add_parameters(
    function: Function, module: Module, call: _Call, documented: docstrings.Docstring, depth: int
) -> None:
    """Adds the parameters of the function to `call`."""
    for name, annotation, default in _signature(function):
        parameter = _parameter(name, annotation, default, module, documented)
        _sort(parameter, call, depth)


def _signature(function: Function) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for index, (argument, default) in enumerate(pairs):
        if index == 0 and argument.arg in {"self", "cls"}:
            continue
        yield argument.arg, argument.annotation, default


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, module: Module, documented: docstrings.Docstring
) -> _Parameter:
    typed = read_annotation(annotation, module)
    declarations = list(model_fields.calls_in(typed.metadata))
    plain = default
    if isinstance(default, ast.Call) and module.short_name(default.func) in _MARKERS | {"Field"}:
        declarations.insert(0, Declaration(module, default))
        plain = None
    declaration = next(
        (
            declaration
            for declaration in declarations
            if declaration.module.short_name(declaration.call.func) in _MARKERS
        ),
        None,
    )
    if annotation is None and plain is not None:
        typed = replace(typed, shape=_shape_of(plain, module), known=True)
    return _Parameter(name, typed, module, declaration, tuple(declarations), plain, documented.parameters.get(name))


def _shape_of(default: ast.expr, module: Module) -> Shape:
    """Returns the shape of an unannotated parameter, from its default."""
    found = Literals(module).value(default)
    kind = type_of(found.value) if found else None
    return Shape(kind) if kind else Shape()


def _with_default(declarations: tuple[Declaration, ...]) -> Declaration | None:
    return next(
        (declaration for declaration in declarations if declaration.default or declaration.keyword("default_factory")),
        None,
    )


def _sort(parameter: _Parameter, call: _Call, depth: int) -> None:
    """Adds one parameter to its location, by the rules of FastAPI's documentation."""
    typed, marker = parameter.typed, parameter.marker
    if marker in {"Depends", "Security"}:
        assert parameter.declaration is not None  # noqa: S101  the marker is the name of this declaration
        _add_dependency(parameter.declaration, typed, parameter.module, call, depth)
    elif typed.names & _FILES or marker == "File":
        raise InexpressibleError(limitations.UPLOAD)
    elif typed.names & _FILLED_BY_FASTAPI:
        if "Request" in typed.names:
            call.requests.append(parameter.name)
    elif marker in {"Header", "Cookie"}:
        _remark_on_header(parameter, marker, call)
    elif parameter.argument(Location.PATH).name in call.path:
        argument = parameter.argument(Location.PATH)
        call.path[argument.name] = replace(argument, required=True, default=None)
    elif marker == "Form":
        call.form.append(parameter)
    elif marker == "Body" or (marker != "Query" and _is_body(parameter, call)):
        call.body.append(parameter)
    elif typed.models and typed.shape.type is ParameterType.DICT:
        call.query += (item.argument for item in model_fields.fields_of_any(typed.models, Location.QUERY))
    else:
        call.query.append(parameter.argument(Location.QUERY))


def _is_body(parameter: _Parameter, call: _Call) -> bool:
    """Returns whether a parameter without a marker is in the body: objects and lists are, plain values are not."""
    typed = parameter.typed
    if not typed.known and typed.name not in {"", "Any", "object"} and call.method == "POST":
        raise InexpressibleError(
            f"the type {typed.name} of `{parameter.name}` is in a file that could not be found; use --openapi instead"
        )
    return typed.shape.type in {ParameterType.DICT, ParameterType.LIST}


def _remark_on_header(parameter: _Parameter, marker: str, call: _Call) -> None:
    """Adds a remark for a required header or cookie, since no conversation contains its value."""
    argument = parameter.argument(Location.QUERY)
    if argument.required:
        name = argument.name if argument.name != parameter.name else parameter.name.replace("_", "-")
        call.remarks.append(limitations.required_header_or_cookie(marker.lower(), name))


def _add_dependency(declaration: Declaration, typed: AnnotatedType, module: Module, call: _Call, depth: int) -> None:
    """Adds the parameters of a dependency to the operation that depends on it."""
    if depth > _MAX_DEPTH:
        return
    target = declaration.call.args[0] if declaration.call.args else declaration.keyword("dependency")
    definition = declaration.module.find(target) if target is not None else _class_of(typed, module)
    name = (
        typed.name
        if target is None
        else declaration.module.short_name(target.func if isinstance(target, ast.Call) else target)
    )
    node = definition.node if definition else target
    if isinstance(node, ast.Call):
        name = (definition.module if definition else declaration.module).short_name(node.func)
    if _CREDENTIALS.search(name):
        call.remarks.append(limitations.credentials([name]))
    elif name.startswith("OAuth2PasswordRequestForm"):
        raise InexpressibleError("it takes a form of user name and password, which no prompt should hold")
    if definition is None:
        return
    if isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef):
        documented = docstrings.parse(ast.get_docstring(definition.node))
        _add_parameters(definition.node, definition.module, call, documented, depth + 1)
    elif isinstance(definition.node, ast.ClassDef):
        _add_class_dependency(definition, call, depth)


def _class_of(typed: AnnotatedType, module: Module) -> Definition | None:
    """Returns the class of the annotation, on which a bare `Depends()` depends."""
    return next(iter(typed.models), None) or (module.find(ast.Name(typed.name)) if typed.name else None)


def _add_class_dependency(definition: Definition, call: _Call, depth: int) -> None:
    for item in reversed(classes.lineage(definition)):
        assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
        for statement in item.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                documented = docstrings.parse(ast.get_docstring(statement) or ast.get_docstring(item.node))
                _add_parameters(statement, item.module, call, documented, depth + 1)
                return
    if classes.is_model(definition):
        call.query += (item.argument for item in model_fields.fields(definition, Location.QUERY))


def _listed(node: ast.expr | None) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.List | ast.Tuple) else []


def _body(call: _Call, function: Function, module: Module, documented: docstrings.Docstring) -> list[Argument]:
    """Returns the keys of the JSON body: the fields of a single model, or one key for each of several parameters."""
    if call.form:
        call.remarks.append(limitations.FORM)
        return [argument for parameter in call.form for argument in _flattened(parameter, call)]
    if not call.body:
        return _keys_of_request(call, function, module, documented)
    embedded = len(call.body) > 1 or any(_is_embedded(parameter) for parameter in call.body)
    if embedded:
        return [_embedded(parameter) for parameter in call.body]
    parameter = call.body[0]
    if parameter.typed.shape.type is not ParameterType.DICT:
        raise InexpressibleError(limitations.body_is_no_object(parameter.typed.shape.type))
    if not parameter.typed.models:
        return _keys_of_parameter(parameter.name, call, function, module, documented)
    return _flattened(parameter, call)


def _is_embedded(parameter: _Parameter) -> bool:
    return parameter.declaration is not None and Literals(parameter.declaration.module).flag(
        parameter.declaration.keyword("embed"), False
    )


def _embedded(parameter: _Parameter) -> Argument:
    argument = parameter.argument(Location.BODY)
    return replace(argument, description=argument.description or model_fields.summary(parameter.typed))


def _flattened(parameter: _Parameter, call: _Call) -> list[Argument]:
    found = parameter.typed.models
    if not found or parameter.typed.shape.type is not ParameterType.DICT:
        return [parameter.argument(Location.BODY)]
    call.remarks += (limitations.forbids_extra_keys(model.name) for model in found if model_fields.is_closed(model))
    fields = model_fields.fields_of_any(found, Location.BODY)
    if any(item.typed.names & _FILES for item in fields):
        raise InexpressibleError(limitations.UPLOAD)
    return [item.argument for item in fields]


def _keys_of_parameter(
    name: str, call: _Call, function: Function, module: Module, documented: docstrings.Docstring
) -> list[Argument]:
    """Returns the keys that the function reads from a body parameter without a model."""

    def part(node: ast.expr) -> request_keys.RequestPart | None:
        return request_keys.RequestPart.JSON if isinstance(node, ast.Name) and node.id == name else None

    found = [_key_argument(item, documented) for item in request_keys.read_keys(function, module, part)]
    if not found:
        call.remarks.append(limitations.free_form_object(f"its body `{name}`"))
    return found


def _keys_of_request(
    call: _Call, function: Function, module: Module, documented: docstrings.Docstring
) -> list[Argument]:
    """Returns the keys that the function reads from `await request.json()`; adds those of `request.query_params`."""

    def part(node: ast.expr) -> request_keys.RequestPart | None:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="json"), args=[]) if name in call.requests:
                return request_keys.RequestPart.JSON
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="form")) if name in call.requests:
                return request_keys.RequestPart.FORM
            case ast.Attribute(value=ast.Name(id=name), attr="query_params") if name in call.requests:
                return request_keys.RequestPart.QUERY
        return None

    if not call.requests:
        return []
    found = request_keys.read_keys(function, module, part)
    if any(item.part is request_keys.RequestPart.FORM for item in found):
        call.remarks.append(limitations.FORM)
    call.query += (_key_argument(item, documented) for item in found if item.part is request_keys.RequestPart.QUERY)
    return [_key_argument(item, documented) for item in found if item.part is not request_keys.RequestPart.QUERY]


def _key_argument(item: request_keys.RequestKey, documented: docstrings.Docstring) -> Argument:
    location = Location.QUERY if item.part is request_keys.RequestPart.QUERY else Location.BODY
    return Argument(item.name, location, item.shape, documented.parameters.get(item.name), item.required, item.default)
