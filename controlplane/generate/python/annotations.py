"""Reads type annotations such as `Annotated[list[int] | None, Query(...)]` into shapes, models and metadata."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controlplane.generate.operations import ANY, Shape, common_type, enum_shape
from controlplane.generate.python import classes
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Definition, Module, annotation_of
from extproc.shared.filter_config import ParameterType

_MAX_DEPTH: Final = 16
_STR, _INT, _FLOAT, _BOOL = ParameterType.STR, ParameterType.INT, ParameterType.FLOAT, ParameterType.BOOL
_LIST, _DICT = ParameterType.LIST, ParameterType.DICT
# By the last part of the qualified name: typing, pydantic and the standard library agree on these.
_SHAPES_BY_NAME: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("str", "constr", "StrictStr", "SecretStr", "AnyStr", "Text", "bytes"), Shape(_STR)),
    **dict.fromkeys(
        ("int", "conint", "StrictInt", "PositiveInt", "NegativeInt", "NonNegativeInt", "NonPositiveInt"), Shape(_INT)
    ),
    **dict.fromkeys(
        (
            "float",
            "confloat",
            "condecimal",
            "Decimal",
            "StrictFloat",
            "PositiveFloat",
            "NegativeFloat",
            "NonNegativeFloat",
            "NonPositiveFloat",
            "FiniteFloat",
        ),
        Shape(_FLOAT),
    ),
    **dict.fromkeys(("bool", "StrictBool"), Shape(_BOOL)),
    **dict.fromkeys(
        (
            "list",
            "List",
            "set",
            "Set",
            "frozenset",
            "FrozenSet",
            "tuple",
            "Tuple",
            "Sequence",
            "MutableSequence",
            "Iterable",
            "Collection",
            "Iterator",
            "deque",
            "Deque",
            "AbstractSet",
            "MutableSet",
            "conlist",
            "conset",
            "confrozenset",
        ),
        Shape(_LIST),
    ),
    **dict.fromkeys(
        (
            "dict",
            "Dict",
            "Mapping",
            "MutableMapping",
            "OrderedDict",
            "defaultdict",
            "DefaultDict",
            "Counter",
            "TypedDict",
            "JsonDict",
        ),
        Shape(_DICT),
    ),
    **dict.fromkeys(("date", "PastDate", "FutureDate", "condate"), Shape(_STR, format="date")),
    "time": Shape(_STR, format="time"),
    **dict.fromkeys(
        ("datetime", "AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"),
        Shape(_STR, format="date-time"),
    ),
    **dict.fromkeys(("UUID", "UUID1", "UUID3", "UUID4", "UUID5", "UUID6", "UUID7"), Shape(_STR, format="uuid")),
    "EmailStr": Shape(_STR, format="email"),
    **dict.fromkeys(("AnyUrl", "AnyHttpUrl", "HttpUrl", "FileUrl", "Url"), Shape(_STR, format="uri")),
    "IPv4Address": Shape(_STR, format="ipv4"),
    "IPv6Address": Shape(_STR, format="ipv6"),
}
_WRAPPERS: Final = frozenset(
    {"Required", "NotRequired", "ReadOnly", "ClassVar", "Final", "InitVar", "SkipValidation", "Mapped", "Type", "type"}
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """One item after the type in `Annotated[...]`, with the module whose names it uses."""

    module: Module
    node: ast.expr


@dataclass(frozen=True, slots=True)
class AnnotatedType:
    """The meaning of an annotation.

    `models`: the classes of the object, or of the list's elements; several for a union. `known`: the type is known.
    """

    shape: Shape = ANY
    models: tuple[Definition, ...] = ()
    metadata: tuple[Metadata, ...] = ()
    known: bool = True
    # The short name in the source, to recognize what the framework fills in (Request, UploadFile ...).
    name: str = ""
    # All short names inside: `list[UploadFile]`, `UploadFile | None`.
    names: frozenset[str] = field(default_factory=frozenset)


def read_annotation(node: ast.expr | None, module: Module, depth: int = 0) -> AnnotatedType:  # noqa: PLR0911  one a kind of node
    """Returns the annotation's meaning in `module`; an unknown type when it is missing or not understood."""
    if node is None or depth > _MAX_DEPTH:
        return AnnotatedType(known=False)
    match node:
        case ast.Constant(value=None):
            return AnnotatedType(Shape(nullable=True), name="None")
        case ast.Constant(value=str() as text):
            inner = annotation_of(text)
            return read_annotation(inner, module, depth + 1) if inner is not None else AnnotatedType(known=False)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([*_alternatives(left), right], module, depth)
        case ast.Subscript(value=head, slice=inside):
            arguments = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _subscript(head, arguments, module, depth)
        case ast.Call(func=function, args=arguments):
            if module.short_name(function) == "NewType" and len(arguments) == 2:
                return read_annotation(arguments[1], module, depth + 1)
            return _constrained(node, module, depth)
        case ast.Name() | ast.Attribute():
            return _named(node, module, depth)
    return AnnotatedType(known=False)


def _named(node: ast.expr, module: Module, depth: int) -> AnnotatedType:
    name = module.short_name(node)
    definition = module.find(node)
    if classes.is_class(definition):
        return _of_class(definition, depth)
    if definition is not None and isinstance(definition.node, ast.expr):
        found = read_annotation(definition.node, definition.module, depth + 1)
        return replace(found, name=found.name or name)
    shape = _SHAPES_BY_NAME.get(name)
    return AnnotatedType(shape or Shape(), known=shape is not None, name=name, names=frozenset({name}))


def _of_class(definition: Definition, depth: int) -> AnnotatedType:
    name = definition.name
    names = frozenset({name, *(base for item in classes.lineage(definition) for base in _bases(item))})
    if classes.is_enum(definition):
        literals = Literals(definition.module)
        values = [literals.value(value) for value in classes.member_values(definition)]
        known = [value.value for value in values if value is not None]
        shape = enum_shape(known)
        # With one value unknown there is no enum: it would refuse that member.
        return AnnotatedType(shape if len(known) == len(values) else replace(shape, enum=()), name=name, names=names)
    root = classes.root_type(definition)
    if root is not None:
        return read_annotation(root[1], root[0].module, depth + 1)
    if classes.is_model(definition):
        return AnnotatedType(Shape(_DICT), models=(definition,), name=name, names=names)
    for base in classes.bases(definition):
        # class UserId(str): ...
        shape_of_base = _SHAPES_BY_NAME.get(definition.module.short_name(base))
        if shape_of_base is not None:
            return AnnotatedType(shape_of_base, name=name, names=names)
    return AnnotatedType(known=False, name=name, names=names)


def _bases(definition: Definition) -> list[str]:
    return [definition.module.short_name(base) for base in classes.bases(definition)]


def _subscript(  # noqa: PLR0911  one a special form
    head: ast.expr, arguments: list[ast.expr], module: Module, depth: int
) -> AnnotatedType:
    name = module.short_name(head)
    first = arguments[0] if arguments else None
    match name:
        case "Optional":
            inner = read_annotation(first, module, depth + 1)
            return replace(inner, shape=replace(inner.shape, nullable=True))
        case "Union":
            return _union(arguments, module, depth)
        case "Annotated":
            inner = read_annotation(first, module, depth + 1)
            metadata = tuple(Metadata(module, item) for item in arguments[1:])
            return replace(inner, metadata=(*inner.metadata, *metadata))
        case "Literal":
            values = [Literals(module).value(item) for item in arguments]
            shape = enum_shape([value.value for value in values if value is not None])
            return AnnotatedType(shape if all(values) else replace(shape, enum=()))
        case _ if name in _WRAPPERS:
            return read_annotation(first, module, depth + 1)
    outer = _named(head, module, depth + 1)
    if outer.shape.type is _LIST and not outer.models:
        item = read_annotation(first, module, depth + 1)
        names = outer.names | item.names
        items = replace(item.shape, nullable=False) if item.known and _is_uniform(arguments) else None
        return replace(outer, shape=replace(outer.shape, items=items), models=item.models, names=names)
    return outer


def _is_uniform(arguments: list[ast.expr]) -> bool:
    """Returns whether all elements are of one type, as in `list[int]`, `tuple[int, ...]`, `tuple[int, int]`."""
    written = {ast.unparse(argument) for argument in arguments if ast.unparse(argument) != "..."}
    return len(written) == 1


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """Returns the options of `a | b | c`, which is nested to the left, without recursion."""
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _union(options: list[ast.expr], module: Module, depth: int) -> AnnotatedType:
    read_options = [read_annotation(option, module, depth + 1) for option in options]
    rest = [option for option in read_options if option.name != "None"]
    nullable = len(rest) < len(read_options) or any(option.shape.nullable for option in rest)
    if not rest:
        return AnnotatedType(Shape(nullable=True))
    metadata = tuple(item for option in rest for item in option.metadata)
    names = frozenset().union(*(option.names for option in rest))
    if len(rest) == 1:
        chosen = rest[0]
    elif all(option.shape.enum for option in rest):
        chosen = AnnotatedType(enum_shape([value for option in rest for value in option.shape.enum]))
    else:
        # Objects of known classes win; otherwise the type that holds all options.
        objects = tuple(model for option in rest if option.shape.type is _DICT for model in option.models)
        plain = AnnotatedType(
            Shape(common_type(option.shape.type for option in rest)), known=any(o.known for o in rest)
        )
        chosen = AnnotatedType(Shape(_DICT), models=objects) if objects else plain
    return replace(chosen, shape=replace(chosen.shape, nullable=nullable), metadata=metadata, names=names)


def _constrained(node: ast.Call, module: Module, depth: int) -> AnnotatedType:
    """Reads pydantic's constrained types: `conint(ge=1)`, `conlist(str, min_length=1)`."""
    outer = _named(node.func, module, depth + 1)
    if outer.shape.type is _LIST and node.args:
        items = read_annotation(node.args[0], module, depth + 1)
        return replace(
            outer, shape=replace(outer.shape, items=items.shape if items.known else None), models=items.models
        )
    return outer
