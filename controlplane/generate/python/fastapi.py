"""FastAPI's reading of a function: which of its parameters come from the path, the query and the body."""

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
    Operation,
    Shape,
    Where,
    type_of,
)
from controlplane.generate.python import classes, model_fields, request_keys
from controlplane.generate.python.annotations import Typed, read
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.model_fields import Said
from controlplane.generate.python.project import Definition, Module
from controlplane.generate.python.routes import Function, Route
from extproc.shared.filter_config import ParameterType

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")
_CONVERTERS: Final = {"int": ParameterType.INT, "float": ParameterType.FLOAT}
# Filled in by FastAPI itself.
_GIVEN: Final = frozenset(
    {"Request", "Response", "WebSocket", "HTTPConnection", "BackgroundTasks", "SecurityScopes", "State"}
)
_FILES: Final = frozenset({"UploadFile"})
_MARKERS: Final = frozenset({"Query", "Path", "Body", "Form", "File", "Header", "Cookie", "Depends", "Security"})
_CREDENTIALS: Final = re.compile(r"OAuth2\w*Bearer|HTTP(Bearer|Basic|Digest)|APIKey(Header|Query|Cookie)|OpenIdConnect")
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter of the function as its framework sees it, before its place is known."""

    name: str
    typed: Typed
    module: Module
    said: Said | None
    sayings: tuple[Said, ...]
    plain: ast.expr | None
    described: str | None

    @property
    def marker(self) -> str:
        return self.said.module.last(self.said.call.func) if self.said else ""

    def argument(self, where: Where) -> Argument:
        required, default = model_fields.default_of(self.said or _with_default(self.sayings), self.plain, self.module)
        description = next((text for said in self.sayings if (text := said.text("description"))), None)
        title = next((text for said in self.sayings if (text := said.text("title"))), None)
        alias = next((text for said in self.sayings if (text := said.text("validation_alias", "alias"))), None)
        return Argument(
            name=alias or self.name,
            where=where,
            shape=self.typed.shape,
            description=docstrings.one_line(description) if description else self.described or title,
            required=required,
            default=default,
        )


@dataclass(slots=True)
class _Call:
    """What one operation takes, while its parameters are read."""

    path: dict[str, Argument]
    method: str
    query: list[Argument] = field(default_factory=list)
    body: list[_Parameter] = field(default_factory=list)
    form: list[_Parameter] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def operation(route: Route, method: str) -> Operation:
    """The call, as `method` of `route`. Raises `InexpressibleError`."""
    function, module = route.function, route.module
    documented = docstrings.read(ast.get_docstring(function))
    literals = Literals(module)
    path = {
        name: _path_argument(name, kind, documented.parameters.get(name))
        for name, kind in _PLACEHOLDER.findall(route.path)
    }
    call = _Call(path, method)
    call.remarks += route.remarks
    _take(function, module, call, documented, 0)
    for dependency in _listed(route.keywords.get("dependencies")):
        if isinstance(dependency, ast.Call):
            _depend(Said(module, dependency), Typed(), module, call, 0)
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
        place=route.place,
        description=_description(route, literals, documented),
        arguments=arguments,
        remarks=tuple(dict.fromkeys(call.remarks)),
    )


def _description(route: Route, literals: Literals, documented: docstrings.Docstring) -> str | None:
    described = docstrings.read(literals.text(route.keywords.get("description"))).summary
    summary = literals.text(route.keywords.get("summary"))
    return described or documented.summary or (docstrings.one_line(summary) if summary else None)


def _path_argument(name: str, converter: str, described: str | None) -> Argument:
    shape = Shape(format="uuid") if converter == "uuid" else Shape(_CONVERTERS.get(converter, ParameterType.STR))
    return Argument(name, Where.PATH, shape, described, required=True)


def _take(function: Function, module: Module, call: _Call, documented: docstrings.Docstring, depth: int) -> None:
    """Sort the parameters of the function into `call`."""
    for name, annotation, default in _signature(function):
        parameter = _parameter(name, annotation, default, module, documented)
        _place(parameter, call, depth)


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
    typed = read(annotation, module)
    sayings = list(model_fields.calls_in(typed.metadata))
    plain = default
    if isinstance(default, ast.Call) and module.last(default.func) in _MARKERS | {"Field"}:
        sayings.insert(0, Said(module, default))
        plain = None
    said = next((said for said in sayings if said.module.last(said.call.func) in _MARKERS), None)
    if annotation is None and plain is not None:
        typed = replace(typed, shape=_shape_of(plain, module), known=True)
    return _Parameter(name, typed, module, said, tuple(sayings), plain, documented.parameters.get(name))


def _shape_of(default: ast.expr, module: Module) -> Shape:
    """Without an annotation the default says the type."""
    found = Literals(module).value(default)
    kind = type_of(found.value) if found else None
    return Shape(kind) if kind else Shape()


def _with_default(sayings: tuple[Said, ...]) -> Said | None:
    return next((said for said in sayings if said.default or said.keyword("default_factory")), None)


def _place(parameter: _Parameter, call: _Call, depth: int) -> None:
    """Put one parameter where FastAPI takes it from, by the rules of its documentation."""
    typed, marker = parameter.typed, parameter.marker
    if marker in {"Depends", "Security"}:
        assert parameter.said is not None  # noqa: S101  a marker is the name of what is said
        _depend(parameter.said, typed, parameter.module, call, depth)
    elif typed.words & _FILES or marker == "File":
        raise InexpressibleError(limitations.UPLOAD)
    elif typed.words & _GIVEN:
        if "Request" in typed.words:
            call.requests.append(parameter.name)
    elif marker in {"Header", "Cookie"}:
        _outside(parameter, marker, call)
    elif parameter.argument(Where.PATH).name in call.path:
        argument = parameter.argument(Where.PATH)
        call.path[argument.name] = replace(argument, required=True, default=None)
    elif marker == "Form":
        call.form.append(parameter)
    elif marker == "Body" or (marker != "Query" and _is_body(parameter, call)):
        call.body.append(parameter)
    elif typed.models and typed.shape.type is ParameterType.DICT:
        call.query += (item.argument for item in model_fields.fields_of_any(typed.models, Where.QUERY))
    else:
        call.query.append(parameter.argument(Where.QUERY))


def _is_body(parameter: _Parameter, call: _Call) -> bool:
    """Without a marker: objects and lists come from the body, plain values from the query."""
    typed = parameter.typed
    if not typed.known and typed.word not in {"", "Any", "object"} and call.method == "POST":
        raise InexpressibleError(
            f"the type {typed.word} of `{parameter.name}` is in a file that could not be found; --openapi knows it"
        )
    return typed.shape.type in {ParameterType.DICT, ParameterType.LIST}


def _outside(parameter: _Parameter, marker: str, call: _Call) -> None:
    """Headers and cookies are not read from a conversation; one that is required must be said."""
    argument = parameter.argument(Where.QUERY)
    if argument.required:
        name = argument.name if argument.name != parameter.name else parameter.name.replace("_", "-")
        call.remarks.append(limitations.demands(marker.lower(), name))


def _depend(said: Said, typed: Typed, module: Module, call: _Call, depth: int) -> None:
    """What a dependency takes is taken by every operation that depends on it."""
    if depth > _DEEPEST:
        return
    target = said.call.args[0] if said.call.args else said.keyword("dependency")
    definition = said.module.find(target) if target is not None else _class_of(typed, module)
    word = typed.word if target is None else said.module.last(target.func if isinstance(target, ast.Call) else target)
    node = definition.node if definition else target
    if isinstance(node, ast.Call):
        word = (definition.module if definition else said.module).last(node.func)
    if _CREDENTIALS.search(word):
        call.remarks.append(limitations.credentials([word]))
    elif word.startswith("OAuth2PasswordRequestForm"):
        raise InexpressibleError("it takes a form of user name and password, which no prompt should hold")
    if definition is None:
        return
    if isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef):
        documented = docstrings.read(ast.get_docstring(definition.node))
        _take(definition.node, definition.module, call, documented, depth + 1)
    elif isinstance(definition.node, ast.ClassDef):
        _depend_on_class(definition, call, depth)


def _class_of(typed: Typed, module: Module) -> Definition | None:
    """`Depends()` alone depends on the class that the annotation names."""
    return next(iter(typed.models), None) or (module.find(ast.Name(typed.word)) if typed.word else None)


def _depend_on_class(definition: Definition, call: _Call, depth: int) -> None:
    for item in reversed(classes.lineage(definition)):
        assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
        for statement in item.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                documented = docstrings.read(ast.get_docstring(statement) or ast.get_docstring(item.node))
                _take(statement, item.module, call, documented, depth + 1)
                return
    if classes.is_model(definition):
        call.query += (item.argument for item in model_fields.fields(definition, Where.QUERY))


def _listed(node: ast.expr | None) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.List | ast.Tuple) else []


def _body(call: _Call, function: Function, module: Module, documented: docstrings.Docstring) -> list[Argument]:
    """The keys of the JSON body: the fields of the one model, or one key for each of several parameters."""
    if call.form:
        call.remarks.append(limitations.FORM)
        return [argument for parameter in call.form for argument in _flattened(parameter, call)]
    if not call.body:
        return _read_from_request(call, function, module, documented)
    embedded = len(call.body) > 1 or any(_is_embedded(parameter) for parameter in call.body)
    if embedded:
        return [_whole(parameter) for parameter in call.body]
    parameter = call.body[0]
    if parameter.typed.shape.type is not ParameterType.DICT:
        raise InexpressibleError(limitations.bare_body(parameter.typed.shape.type))
    if not parameter.typed.models:
        return _read_from(parameter.name, call, function, module, documented)
    return _flattened(parameter, call)


def _is_embedded(parameter: _Parameter) -> bool:
    return parameter.said is not None and Literals(parameter.said.module).flag(parameter.said.keyword("embed"), False)


def _whole(parameter: _Parameter) -> Argument:
    argument = parameter.argument(Where.BODY)
    return replace(argument, description=argument.description or model_fields.summary(parameter.typed))


def _flattened(parameter: _Parameter, call: _Call) -> list[Argument]:
    found = parameter.typed.models
    if not found or parameter.typed.shape.type is not ParameterType.DICT:
        return [parameter.argument(Where.BODY)]
    call.remarks += (limitations.forbids(model.name) for model in found if model_fields.is_closed(model))
    fields = model_fields.fields_of_any(found, Where.BODY)
    if any(item.typed.words & _FILES for item in fields):
        raise InexpressibleError(limitations.UPLOAD)
    return [item.argument for item in fields]


def _read_from(
    name: str, call: _Call, function: Function, module: Module, documented: docstrings.Docstring
) -> list[Argument]:
    """The keys that the function reads from a parameter that is any object."""

    def source(node: ast.expr) -> request_keys.Source | None:
        return request_keys.Source.JSON if isinstance(node, ast.Name) and node.id == name else None

    found = [_key_argument(item, documented) for item in request_keys.reads(function, module, source)]
    if not found:
        call.remarks.append(limitations.any_object(f"its body `{name}`"))
    return found


def _read_from_request(
    call: _Call, function: Function, module: Module, documented: docstrings.Docstring
) -> list[Argument]:
    """The keys that the function reads from `await request.json()`, and from `request.query_params`."""

    def source(node: ast.expr) -> request_keys.Source | None:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="json"), args=[]) if name in call.requests:
                return request_keys.Source.JSON
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="form")) if name in call.requests:
                return request_keys.Source.FORM
            case ast.Attribute(value=ast.Name(id=name), attr="query_params") if name in call.requests:
                return request_keys.Source.QUERY
        return None

    if not call.requests:
        return []
    found = request_keys.reads(function, module, source)
    if any(item.source is request_keys.Source.FORM for item in found):
        call.remarks.append(limitations.FORM)
    call.query += (_key_argument(item, documented) for item in found if item.source is request_keys.Source.QUERY)
    return [_key_argument(item, documented) for item in found if item.source is not request_keys.Source.QUERY]


def _key_argument(item: request_keys.Read, documented: docstrings.Docstring) -> Argument:
    where = Where.QUERY if item.source is request_keys.Source.QUERY else Where.BODY
    return Argument(item.name, where, item.shape, documented.parameters.get(item.name), item.required, item.default)
