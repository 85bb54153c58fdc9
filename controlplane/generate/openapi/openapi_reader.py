"""Reads an OpenAPI document into an `ApiDescription`: operations, their arguments, and the API's address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin

from pydantic_core import PydanticCustomError

from controlplane.config.addresses import Url, parse_url
from controlplane.errors import Problem, SourceError
from controlplane.generate import docstrings, limitations
from controlplane.generate.openapi.document_loader import Node, is_url, load
from controlplane.generate.openapi.schemas import Schemas, argument, one_line_text
from controlplane.generate.operations import (
    MAX_OPERATIONS,
    METHODS,
    ApiDescription,
    Argument,
    InexpressibleError,
    Location,
    Note,
    Operation,
)
from extproc.shared.filter_config import ParameterType

_METHODS: Final = ("get", "post", "put", "delete", "patch", "head", "options", "trace")
_VARIABLE: Final = re.compile(r"\{([^{}]+)\}")


def read(source: str, path_prefix: str = "") -> ApiDescription:
    """Returns the API that the document at `source`, a path or a URL, describes. Raises `SourceError`."""
    root = load(source)
    try:
        return _Document(root, source, Schemas(root)).reading(path_prefix)
    except RecursionError:
        raise SourceError((Problem(source, 1, 1, "the document is nested too deeply"),)) from None


@dataclass(frozen=True, slots=True)
class _Document:
    root: Mapping[str, Node]
    source: str
    schemas: Schemas

    def reading(self, path_prefix: str) -> ApiDescription:
        server, base, notes = self._server()
        operations: list[Operation] = []
        for method, path, node, shared in self._listed():
            subject = f"{method.upper()} {path}"
            if method.upper() not in METHODS:
                notes.append(Note(self.source, subject, limitations.unsupported_method(method.upper())))
                continue
            try:
                operation = self._operation(method, path, node, shared)
            except InexpressibleError as error:
                notes.append(Note(self.source, subject, f"skipped: {error}"))
                continue
            operations.append(replace(operation, path=path_prefix.rstrip("/") + base + operation.path))
        info = self.root.get("info")
        title = info.get("title") if isinstance(info, dict) else None
        return ApiDescription(title if isinstance(title, str) else None, server, tuple(operations), tuple(notes))

    def _listed(self) -> Iterator[tuple[str, str, Mapping[str, Node], Sequence[Node]]]:
        """Yields method, path, operation and the path's shared parameters, in the order of the document."""
        count = 0
        for path, declared in self.root["paths"].items():
            item = self.schemas.resolve(declared)
            if not isinstance(path, str) or not isinstance(item, dict):
                continue
            shared = item.get("parameters")
            for method, node in item.items():
                if method in _METHODS and isinstance(node, dict) and count < MAX_OPERATIONS:
                    count += 1
                    yield method, path, node, shared if isinstance(shared, list) else ()

    def _operation(self, method: str, path: str, node: Mapping[str, Node], shared: Sequence[Node]) -> Operation:
        remarks: list[str] = []
        arguments = list(self._parameters(node, shared, remarks))
        declared = {item.name for item in arguments if item.location is Location.PATH}
        undeclared = [name for name in _VARIABLE.findall(path) if name not in declared]
        # Not declared in the document, but needed for the call.
        arguments[:0] = [Argument(name, Location.PATH, required=True) for name in dict.fromkeys(undeclared)]
        body = self._body(node, remarks)
        if body and method == "get":
            raise InexpressibleError(limitations.BODY_OF_GET)
        schemes = self._credentials(node)
        if schemes:
            remarks.append(limitations.credentials(schemes))
        return Operation(
            name=_name(node, method, path),
            method=method.upper(),
            path=path if path.startswith("/") else f"/{path}",
            position=f"{self.source}: {method.upper()} {path}",
            description=_description(node),
            arguments=(*arguments, *body),
            remarks=tuple(dict.fromkeys(remarks)),
        )

    def _parameters(self, node: Mapping[str, Node], shared: Sequence[Node], remarks: list[str]) -> Iterator[Argument]:
        own = node.get("parameters")
        found: dict[tuple[str, str], Mapping[str, Node]] = {}
        for declared in (*shared, *(own if isinstance(own, list) else ())):
            item = self.schemas.resolve(declared)
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                # An operation's parameter overrides the path's.
                found[item["name"], str(item.get("in"))] = item
        for (name, location_name), item in found.items():
            if location_name in {"header", "cookie"}:
                if item.get("required") is True:
                    remarks.append(limitations.required_header_or_cookie(location_name, name))
                continue
            if location_name in {"path", "query"}:
                found_argument = self._parameter(name, Location(location_name), item, remarks)
                if found_argument is not None:
                    yield found_argument

    def _parameter(
        self, name: str, location: Location, item: Mapping[str, Node], remarks: list[str]
    ) -> Argument | None:
        content = item.get("content")
        media = next(iter(content.values()), None) if isinstance(content, dict) else item
        schema = self.schemas.read(media.get("schema") if isinstance(media, dict) else None)
        required = item.get("required") is True or location is Location.PATH
        found = argument(name, location, schema, required=required, description=one_line_text(item.get("description")))
        with_commas = item.get("explode") is False or item.get("style", "form") != "form"
        if location is Location.QUERY and found.shape.type is ParameterType.LIST and with_commas:
            message = f"it expects the list `{name}` in one value"
            if required:
                raise InexpressibleError(message)
            remarks.append(f"{message}, so it is left out")
            return None
        return found

    def _body(self, node: Mapping[str, Node], remarks: list[str]) -> tuple[Argument, ...]:
        body = self.schemas.resolve(node.get("requestBody"))
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, dict) or not content:
            return ()
        media_type, media = _body_media_type(content)
        if media_type == "application/x-www-form-urlencoded":
            remarks.append(limitations.FORM)
        schema = self.schemas.read(media.get("schema") if isinstance(media, dict) else None)
        if schema.is_file or self.schemas.has_file(schema):
            raise InexpressibleError(limitations.UPLOAD)
        if schema.is_typed and schema.shape.type is not ParameterType.DICT:
            raise InexpressibleError(limitations.body_is_no_object(schema.shape.type))
        if not schema.fields:
            remarks.append(limitations.free_form_object("its body"))
        if schema.closed:
            remarks.append(limitations.forbids_extra_keys("its body"))
        return self.schemas.arguments(schema, Location.BODY)

    def _credentials(self, node: Mapping[str, Node]) -> list[str]:
        """Returns the names of the required security schemes of the operation."""
        demands = node.get("security", self.root.get("security"))
        if not isinstance(demands, list) or not demands or any(demand == {} for demand in demands):
            return []
        return list(dict.fromkeys(name for demand in demands if isinstance(demand, dict) for name in demand))

    def _server(self) -> tuple[Url | None, str, list[Note]]:
        """Returns the API's address, the base path of its paths, and notes about both."""
        servers = self.root.get("servers")
        first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
        text = first.get("url")
        variables = first.get("variables")
        url = _filled(text, variables if isinstance(variables, dict) else {}) if isinstance(text, str) else "/"
        if not is_url(url):
            # Relative to the URL of the document.
            url = urljoin(self.source, url) if is_url(self.source) else url
        if is_url(url):
            try:
                server = parse_url(url.split("?", 1)[0])
            except PydanticCustomError as error:
                return (
                    None,
                    "",
                    [Note(self.source, "servers", f"{error.message()}; --endpoint says where the API answers")],
                )
            return replace(server, path=""), server.path, []
        return None, url.rstrip("/") if url.startswith("/") else "", []


def _filled(url: str, variables: Mapping[str, Node]) -> str:
    def default(match: re.Match[str]) -> str:
        variable = variables.get(match[1])
        return str(variable.get("default", match[0])) if isinstance(variable, dict) else match[0]

    return _VARIABLE.sub(default, url)


def _body_media_type(content: Mapping[str, Node]) -> tuple[str, Node]:
    """Returns the media type of the body that the gateway sends: JSON, else a form, on which there is a remark."""
    plain = {str(name).partition(";")[0].strip().lower(): media for name, media in content.items()}
    for name, media in plain.items():
        if name == "application/json" or name.endswith("+json") or name in {"*/*", "application/*"}:
            return name, media
    form = "application/x-www-form-urlencoded"
    if form in plain:
        return form, plain[form]
    raise InexpressibleError(f"its body is {', '.join(plain)}, and the gateway sends JSON")


def _description(node: Mapping[str, Node]) -> str | None:
    description, summary = node.get("description"), node.get("summary")
    found = docstrings.parse(description).summary if isinstance(description, str) else None
    return found or one_line_text(summary)


def _name(node: Mapping[str, Node], method: str, path: str) -> str:
    name = node.get("operationId")
    if not isinstance(name, str) or not name.strip():
        return re.sub(r"[^A-Za-z0-9]+", "_", f"{method}_{path}").strip("_")
    # FastAPI's ids consist of function name, path and method; the function name is enough.
    ending = re.escape(re.sub(r"[^A-Za-z0-9_]", "_", path))
    return re.sub(f"{ending}_({'|'.join(_METHODS)})$", "", name) or name
