"""JSON Schema, as OpenAPI 3.0 and 3.1 write it, into shapes and into the fields of objects. Local references only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote

from controlplane.generate import docstrings
from controlplane.generate.openapi.document_loader import Node
from controlplane.generate.operations import ANY, Argument, Default, Shape, Where, common_type, enum_shape, type_of
from extproc.shared.filter_config import ParameterType

_DEEPEST: Final = 24
_MOST_PARTS: Final = 64
_MOST_FIELDS: Final = 512
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
    """One schema with its references and `allOf` resolved: the keywords that count.

    `fields` are the properties of an object, unread. `is_file`: binary content, which no JSON can hold.
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
    # By the identity of the node, which is kept, so that no other one can take its place in memory.
    _read: dict[int, tuple[Node, Schema]] = field(default_factory=dict)

    def resolve(self, node: Node) -> Node:
        """The node that a chain of `$ref` ends at; None for one that leads nowhere, elsewhere, or in a circle."""
        for _ in range(_DEEPEST):
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
        """What a schema says; of one that cannot be resolved, nothing.

        Each node is read once, so that circles end and a few aliases do not make millions of schemas.
        """
        if not isinstance(node, dict) or depth > _DEEPEST:
            return Schema()
        key = id(node)
        if key not in self._read:
            # Open: to itself it says nothing.
            self._read[key] = node, Schema()
            self._read[key] = node, self._combined(node, depth)
        return self._read[key][1]

    def _combined(self, node: Mapping[str, Node], depth: int) -> Schema:
        found = self._own(node, depth)
        if isinstance(node.get("$ref"), str):
            # Keywords beside the `$ref`, which 3.1 allows, win over those of its target.
            found = _both(found, self.read(self._at(node["$ref"]), depth + 1))
        for part in _listed(node.get("allOf")):
            found = _both(found, self.read(part, depth + 1))
        for keyword in ("oneOf", "anyOf"):
            options = [self.read(option, depth + 1) for option in _listed(node.get(keyword))]
            if options:
                found = _both(found, _any_of(options))
        return found

    def arguments(self, schema: Schema, where: Where) -> tuple[Argument, ...]:
        """The fields of an object, in order; those that only answers hold are left out."""
        return tuple(self._arguments(schema, where))

    def _arguments(self, schema: Schema, where: Where) -> Iterator[Argument]:
        for name, node in schema.fields[:_MOST_FIELDS]:
            found = self.read(node)
            if not found.is_read_only:
                yield argument(name, where, found, required=name in schema.required)

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
            description=words(node.get("description")),
            title=words(node.get("title")),
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


def argument(name: str, where: Where, schema: Schema, *, required: bool, description: str | None = None) -> Argument:
    # A required key with a default: it has to be sent, and is asked for when the conversation does not hold it.
    default = None if required else schema.default
    said = description or schema.description or _telling_title(name, schema)
    return Argument(name, where, schema.shape, said, required, default)


def words(node: Node) -> str | None:
    """A text of the document on one line, None where there is none."""
    return docstrings.one_line(node) or None if isinstance(node, str) else None


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def _telling_title(name: str, schema: Schema) -> str | None:
    """Generators make titles out of names: those say nothing, and neither does the name of an object's class."""
    title = schema.title
    is_made = title is None or schema.shape.type is ParameterType.DICT or _letters(title) == _letters(name)
    return None if is_made else title


def _listed(node: Node) -> list[Node]:
    return node[:_MOST_PARTS] if isinstance(node, list) else []


def _kinds(node: Mapping[str, Node]) -> tuple[list[ParameterType], bool]:
    """The types named, and whether null is one: `type: [string, "null"]` in 3.1, `nullable: true` in 3.0."""
    declared = node.get("type")
    names = declared if isinstance(declared, list) else [declared]
    kinds = [_TYPES[name] for name in names if isinstance(name, str) and name in _TYPES]
    return kinds, "null" in names or node.get("nullable") is True


def _shape(node: Mapping[str, Node], kinds: list[ParameterType], *, has_fields: bool) -> Shape:
    if isinstance(node.get("enum"), list) or "const" in node:
        shape = enum_shape(node["enum"] if isinstance(node.get("enum"), list) else [node["const"]])
        # `type: number, enum: [1, 2]`: what is declared says more than the values.
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


def _both(one: Schema, other: Schema) -> Schema:
    """A value that both describe: `allOf`. The keys of the first come first, and its words win."""
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
    """A value that one of these describes: `oneOf`, `anyOf`. Null among them makes it nullable."""
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
    """Any of several objects: the keys of all, required where all require them, with the values that any allows."""
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
