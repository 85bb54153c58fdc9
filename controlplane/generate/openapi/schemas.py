"""Reads the JSON Schemas of OpenAPI 3.0 and 3.1 into shapes and the fields of objects. Local references only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote

from controlplane.generate import docstrings
from controlplane.generate.openapi.document_loader import Node
from controlplane.generate.operations import ANY, Argument, Default, Location, Shape, common_type, enum_shape, type_of
from extproc.shared.filter_config import ParameterType

_MAX_DEPTH: Final = 24
_MAX_PARTS: Final = 64
_MAX_FIELDS: Final = 512
_TYPES: Final[Mapping[str, ParameterType]] = {
    "string": ParameterType.STR,
    "integer": ParameterType.INT,
    "number": ParameterType.FLOAT,
    "boolean": ParameterType.BOOL,
    "array": ParameterType.LIST,
    "object": ParameterType.DICT,
}


@dataclass(frozen=True, slots=True)
class Schema:
    """The relevant keywords of one schema, with references and `allOf` resolved.

    `fields`: the properties of an object, not yet read. `is_file`: binary content, which JSON cannot hold.
    """

    shape: Shape = ANY
    description: str | None = None
    title: str | None = None
    default: Default | None = None
    fields: tuple[tuple[str, Node], ...] = ()
    required: frozenset[str] = frozenset()
    closed: bool = False
    is_file: bool = False
    is_read_only: bool = False
    is_typed: bool = False


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one document."""

    root: Mapping[str, Node]
    # By `id` of the node. The node is kept too, so that its id is not reused.
    _read: dict[int, tuple[Node, Schema]] = field(default_factory=dict)

    def resolve(self, node: Node) -> Node:
        """Follows `$ref`s to the node at the end; returns None for broken, external or circular references."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
                return node
            node = self._at(node["$ref"])
        return None

    def _at(self, reference: str) -> Node:
        if not reference.startswith("#/"):
            return None
        found: Node = self.root
        for step in reference[2:].split("/"):
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found

    def read(self, node: Node, depth: int = 0) -> Schema:
        """Returns the schema at a node, an empty one when it cannot be resolved.

        Each node is read once: circular references end, and nested aliases do not multiply.
        """
        if not isinstance(node, dict) or depth > _MAX_DEPTH:
            return Schema()
        key = id(node)
        if key not in self._read:
            # A reference to itself reads as empty.
            self._read[key] = node, Schema()
            self._read[key] = node, self._combined(node, depth)
        return self._read[key][1]

    def _combined(self, node: Mapping[str, Node], depth: int) -> Schema:
        found = self._own(node, depth)
        if isinstance(node.get("$ref"), str):
            # Keywords beside the `$ref`, which 3.1 allows, win over those of its target.
            found = _all_of(found, self.read(self._at(node["$ref"]), depth + 1))
        for part in _listed(node.get("allOf")):
            found = _all_of(found, self.read(part, depth + 1))
        for keyword in ("oneOf", "anyOf"):
            options = [self.read(option, depth + 1) for option in _listed(node.get(keyword))]
            if options:
                found = _all_of(found, _any_of(options))
        return found

    def arguments(self, schema: Schema, location: Location) -> tuple[Argument, ...]:
        """Returns the fields of an object, in order, without read-only ones."""
        return tuple(self._arguments(schema, location))

    def _arguments(self, schema: Schema, location: Location) -> Iterator[Argument]:
        for name, node in schema.fields[:_MAX_FIELDS]:
            found = self.read(node)
            if not found.is_read_only:
                yield argument(name, location, found, required=name in schema.required)

    def has_file(self, schema: Schema) -> bool:
        return any(self.read(node).is_file for _, node in schema.fields)

    def _own(self, node: Mapping[str, Node], depth: int) -> Schema:
        kinds, nullable = _kinds(node)
        properties = node.get("properties")
        fields = tuple((str(name), value) for name, value in properties.items()) if isinstance(properties, dict) else ()
        shape = _shape(node, kinds, has_fields=bool(fields))
        items = self.read(node["items"], depth + 1) if shape.type is ParameterType.LIST and "items" in node else None
        if items is not None and items.is_typed:
            shape = replace(shape, items=replace(items.shape, nullable=False))
        required = node.get("required")
        return Schema(
            shape=replace(shape, nullable=shape.nullable or nullable),
            description=one_line_text(node.get("description")),
            title=one_line_text(node.get("title")),
            default=Default(node["default"]) if "default" in node else None,
            fields=fields,
            required=frozenset(map(str, required)) if isinstance(required, list) else frozenset(),
            closed=node.get("additionalProperties") is False,
            is_file=node.get("format") == "binary"
            or "contentMediaType" in node
            or (items is not None and items.is_file),
            is_read_only=node.get("readOnly") is True,
            is_typed=bool(kinds) or bool(fields) or "enum" in node or "const" in node or "items" in node,
        )


def argument(
    name: str, location: Location, schema: Schema, *, required: bool, description: str | None = None
) -> Argument:
    # A required key must be sent, so its default is dropped: the gateway asks the user for a missing value.
    default = None if required else schema.default
    described = description or schema.description or _informative_title(name, schema)
    return Argument(name, location, schema.shape, described, required, default)


def one_line_text(node: Node) -> str | None:
    """Returns a text of the document on one line, None for no text."""
    return docstrings.one_line(node) or None if isinstance(node, str) else None


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def _informative_title(name: str, schema: Schema) -> str | None:
    """Returns the title unless a generator derived it from the name, or it is the class name of an object."""
    title = schema.title
    is_derived = title is None or schema.shape.type is ParameterType.DICT or _letters(title) == _letters(name)
    return None if is_derived else title


def _listed(node: Node) -> list[Node]:
    return node[:_MAX_PARTS] if isinstance(node, list) else []


def _kinds(node: Mapping[str, Node]) -> tuple[list[ParameterType], bool]:
    """Returns the types, and whether null is allowed: `type: [string, "null"]` in 3.1, `nullable: true` in 3.0."""
    declared = node.get("type")
    names = declared if isinstance(declared, list) else [declared]
    kinds = [_TYPES[name] for name in names if isinstance(name, str) and name in _TYPES]
    return kinds, "null" in names or node.get("nullable") is True


def _shape(node: Mapping[str, Node], kinds: list[ParameterType], *, has_fields: bool) -> Shape:
    if isinstance(node.get("enum"), list) or "const" in node:
        shape = enum_shape(node["enum"] if isinstance(node.get("enum"), list) else [node["const"]])
        # `type: number, enum: [1, 2]`: the declared type wins over that of the values.
        return replace(shape, type=kinds[0]) if len(kinds) == 1 and _fits(shape, kinds[0]) else shape
    if kinds:
        kind = common_type(kinds)
        text_format = node.get("format")
        return Shape(kind, format=text_format if isinstance(text_format, str) and kind is ParameterType.STR else None)
    if has_fields or "additionalProperties" in node:
        return Shape(ParameterType.DICT)
    return Shape(ParameterType.LIST) if "items" in node else Shape()


def _fits(shape: Shape, kind: ParameterType) -> bool:
    return all(common_type([kind, type_of(value) or kind]) is kind for value in shape.enum)


def _all_of(one: Schema, other: Schema) -> Schema:
    """Combines two schemas as `allOf`. The first one's keys come first, and its texts win."""
    names = {name for name, _ in one.fields}
    shape = one.shape if one.is_typed else other.shape
    if one.is_typed and other.is_typed and not one.shape.enum and other.shape.enum:
        shape = other.shape
    return Schema(
        shape=replace(shape, nullable=one.shape.nullable or other.shape.nullable),
        description=one.description or other.description,
        title=one.title or other.title,
        default=one.default or other.default,
        fields=(*one.fields, *((name, node) for name, node in other.fields if name not in names)),
        required=one.required | other.required,
        closed=one.closed or other.closed,
        is_file=one.is_file or other.is_file,
        is_read_only=one.is_read_only or other.is_read_only,
        is_typed=one.is_typed or other.is_typed,
    )


def _any_of(options: list[Schema]) -> Schema:
    """Combines schemas as `oneOf` or `anyOf`. Null among them makes the value nullable."""
    rest = [option for option in options if option.is_typed]
    nullable = len(rest) < len(options) or any(option.shape.nullable for option in options)
    if not rest:
        return Schema(Shape(nullable=nullable))
    if len(rest) == 1:
        return replace(rest[0], shape=replace(rest[0].shape, nullable=nullable))
    if all(option.shape.enum for option in rest):
        shape = enum_shape([value for option in rest for value in option.shape.enum])
        return Schema(replace(shape, nullable=nullable), rest[0].description, is_typed=True)
    if all(option.fields for option in rest):
        return _any_object(rest, nullable=nullable)
    kind = common_type(option.shape.type for option in rest)
    items = rest[0].shape.items if kind is ParameterType.LIST else None
    return Schema(Shape(kind, nullable, items=items), is_typed=True)


def _any_object(options: list[Schema], *, nullable: bool) -> Schema:
    """Combines object schemas as `anyOf`: all their keys; a key is required when all of them require it."""
    nodes: dict[str, list[Node]] = {}
    for option in options:
        for name, node in option.fields:
            nodes.setdefault(name, []).append(node)
    return Schema(
        shape=Shape(ParameterType.DICT, nullable),
        fields=tuple((name, found[0] if len(found) == 1 else {"anyOf": found}) for name, found in nodes.items()),
        required=frozenset.intersection(*(option.required for option in options)),
        closed=any(option.closed for option in options),
        is_file=any(option.is_file for option in options),
        is_typed=True,
    )
