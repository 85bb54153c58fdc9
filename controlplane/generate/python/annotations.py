"""Type annotations into shapes: what `Annotated[list[int] | None, Query(...)]` allows, and what is said beside it."""

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

_DEEPEST: Final = 16
_STR, _INT, _FLOAT, _BOOL = ParameterType.STR, ParameterType.INT, ParameterType.FLOAT, ParameterType.BOOL
_LIST, _DICT = ParameterType.LIST, ParameterType.DICT
# By the last word of the qualified name: typing, pydantic and the standard library agree on what these mean.
_NAMED: Final[Mapping[str, Shape]] = {
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
    """One item behind the type in `Annotated[...]`, with the module whose names it uses."""

    module: Module
    node: ast.expr


@dataclass(frozen=True, slots=True)
class Typed:
    """What an annotation says.

    `models`: the classes whose fields the object, or each element of the list, can have; several where the type is a
    union of them. `known`: the type was understood.
    """

    shape: Shape = ANY
    models: tuple[Definition, ...] = ()
    metadata: tuple[Metadata, ...] = ()
    known: bool = True
    # The name as it stands in the source, for those that the framework itself fills in (Request, UploadFile ...).
    word: str = ""
    # Words anywhere inside: `list[UploadFile]`, `UploadFile | None`.
    words: frozenset[str] = field(default_factory=frozenset)


def read(node: ast.expr | None, module: Module, depth: int = 0) -> Typed:  # noqa: PLR0911  one a kind of node
    """The annotation's meaning in `module`; text where there is none, or none that is understood."""
    if node is None or depth > _DEEPEST:
        return Typed(known=False)
    match node:
        case ast.Constant(value=None):
            return Typed(Shape(nullable=True), word="None")
        case ast.Constant(value=str() as text):
            inner = annotation_of(text)
            return read(inner, module, depth + 1) if inner is not None else Typed(known=False)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([*_alternatives(left), right], module, depth)
        case ast.Subscript(value=head, slice=inside):
            arguments = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _subscript(head, arguments, module, depth)
        case ast.Call(func=function, args=arguments):
            if module.last(function) == "NewType" and len(arguments) == 2:
                return read(arguments[1], module, depth + 1)
            return _constrained(node, module, depth)
        case ast.Name() | ast.Attribute():
            return _named(node, module, depth)
    return Typed(known=False)


def _named(node: ast.expr, module: Module, depth: int) -> Typed:
    word = module.last(node)
    definition = module.find(node)
    if classes.is_class(definition):
        return _of_class(definition, depth)
    if definition is not None and isinstance(definition.node, ast.expr):
        found = read(definition.node, definition.module, depth + 1)
        return replace(found, word=found.word or word)
    shape = _NAMED.get(word)
    return Typed(shape or Shape(), known=shape is not None, word=word, words=frozenset({word}))


def _of_class(definition: Definition, depth: int) -> Typed:
    word = definition.name
    words = frozenset({word, *(base for item in classes.lineage(definition) for base in _bases(item))})
    if classes.is_enum(definition):
        literals = Literals(definition.module)
        values = [literals.value(value) for value in classes.member_values(definition)]
        known = [value.value for value in values if value is not None]
        shape = enum_shape(known)
        # A member whose value is not known would be refused by an enum of the others.
        return Typed(shape if len(known) == len(values) else replace(shape, enum=()), word=word, words=words)
    root = classes.root_type(definition)
    if root is not None:
        return read(root[1], root[0].module, depth + 1)
    if classes.is_model(definition):
        return Typed(Shape(_DICT), models=(definition,), word=word, words=words)
    for base in classes.bases(definition):
        # class UserId(str): ...
        shape_of_base = _NAMED.get(definition.module.last(base))
        if shape_of_base is not None:
            return Typed(shape_of_base, word=word, words=words)
    return Typed(known=False, word=word, words=words)


def _bases(definition: Definition) -> list[str]:
    return [definition.module.last(base) for base in classes.bases(definition)]


def _subscript(  # noqa: PLR0911  one a special form
    head: ast.expr, arguments: list[ast.expr], module: Module, depth: int
) -> Typed:
    word = module.last(head)
    first = arguments[0] if arguments else None
    match word:
        case "Optional":
            inner = read(first, module, depth + 1)
            return replace(inner, shape=replace(inner.shape, nullable=True))
        case "Union":
            return _union(arguments, module, depth)
        case "Annotated":
            inner = read(first, module, depth + 1)
            said = tuple(Metadata(module, item) for item in arguments[1:])
            return replace(inner, metadata=(*inner.metadata, *said))
        case "Literal":
            values = [Literals(module).value(item) for item in arguments]
            shape = enum_shape([value.value for value in values if value is not None])
            return Typed(shape if all(values) else replace(shape, enum=()))
        case _ if word in _WRAPPERS:
            return read(first, module, depth + 1)
    outer = _named(head, module, depth + 1)
    if outer.shape.type is _LIST and not outer.models:
        item = read(first, module, depth + 1)
        words = outer.words | item.words
        items = replace(item.shape, nullable=False) if item.known and _is_uniform(arguments) else None
        return replace(outer, shape=replace(outer.shape, items=items), models=item.models, words=words)
    return outer


def _is_uniform(arguments: list[ast.expr]) -> bool:
    """Whether all elements are of one type: `list[int]`, `tuple[int, ...]`, `tuple[int, int]`."""
    written = {ast.unparse(argument) for argument in arguments if ast.unparse(argument) != "..."}
    return len(written) == 1


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """`a | b | c` leans to the left, as deep as it is long."""
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _union(options: list[ast.expr], module: Module, depth: int) -> Typed:
    read_options = [read(option, module, depth + 1) for option in options]
    rest = [option for option in read_options if option.word != "None"]
    nullable = len(rest) < len(read_options) or any(option.shape.nullable for option in rest)
    if not rest:
        return Typed(Shape(nullable=True))
    metadata = tuple(item for option in rest for item in option.metadata)
    words = frozenset().union(*(option.words for option in rest))
    if len(rest) == 1:
        chosen = rest[0]
    elif all(option.shape.enum for option in rest):
        chosen = Typed(enum_shape([value for option in rest for value in option.shape.enum]))
    else:
        # An object of a known class says most; of plain values the type that takes them all.
        objects = tuple(model for option in rest if option.shape.type is _DICT for model in option.models)
        plain = Typed(Shape(common_type(option.shape.type for option in rest)), known=any(o.known for o in rest))
        chosen = Typed(Shape(_DICT), models=objects) if objects else plain
    return replace(chosen, shape=replace(chosen.shape, nullable=nullable), metadata=metadata, words=words)


def _constrained(node: ast.Call, module: Module, depth: int) -> Typed:
    """`conint(ge=1)`, `conlist(str, min_length=1)`."""
    outer = _named(node.func, module, depth + 1)
    if outer.shape.type is _LIST and node.args:
        items = read(node.args[0], module, depth + 1)
        return replace(
            outer, shape=replace(outer.shape, items=items.shape if items.known else None), models=items.models
        )
    return outer
