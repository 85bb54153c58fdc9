"""Classifies the classes of a source (enum, model, other) and lists their bases and enum members."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeGuard

from controlplane.generate.python.project import Definition

_ENUMS: Final = frozenset({"Enum", "StrEnum", "IntEnum", "Flag", "IntFlag"})
_MODELS: Final = frozenset(
    {"BaseModel", "GenericModel", "SQLModel", "BaseSettings", "Struct", "TypedDict", "NamedTuple", "Schema"}
)  # fmt: skip
_ROOTS: Final = frozenset({"RootModel"})
_MAX_BASES: Final = 32


def is_class(definition: Definition | None) -> TypeGuard[Definition]:
    return definition is not None and isinstance(definition.node, ast.ClassDef)


def bases(definition: Definition) -> tuple[ast.expr, ...]:
    """Returns the bases of a class without their type arguments."""
    assert isinstance(definition.node, ast.ClassDef)  # noqa: S101  callers ask is_class first
    return tuple(base.value if isinstance(base, ast.Subscript) else base for base in definition.node.bases)


def lineage(definition: Definition) -> tuple[Definition, ...]:
    """Returns the class and those of its bases that the project defines, base classes first, each once."""
    found: list[Definition] = []
    _visit(definition, found, set())
    return tuple(found)


def _visit(definition: Definition, found: list[Definition], seen: set[int]) -> None:
    # Ends circular inheritance.
    if id(definition.node) in seen or len(seen) >= _MAX_BASES:
        return
    seen.add(id(definition.node))
    for base in reversed(bases(definition)):
        inherited = definition.module.find(base)
        if is_class(inherited):
            _visit(inherited, found, seen)
    found.append(definition)


def _base_names(definition: Definition) -> frozenset[str]:
    return frozenset(item.module.short_name(base) for item in lineage(definition) for base in bases(item))


def is_enum(definition: Definition) -> bool:
    return bool(_base_names(definition) & _ENUMS)


def is_model(definition: Definition) -> bool:
    """Returns whether the annotated names of the class are keys of a JSON object (pydantic, TypedDict, ...)."""
    return bool(_base_names(definition) & _MODELS) or any(is_dataclass(item) for item in lineage(definition))


def is_typed_dict(definition: Definition) -> bool:
    return "TypedDict" in _base_names(definition)


def is_dataclass(definition: Definition) -> bool:
    assert isinstance(definition.node, ast.ClassDef)  # noqa: S101  callers ask is_class first
    decorators = (item.func if isinstance(item, ast.Call) else item for item in definition.node.decorator_list)
    return any(definition.module.short_name(item) in {"dataclass", "define", "attrs", "frozen"} for item in decorators)


def root_type(definition: Definition) -> tuple[Definition, ast.expr] | None:
    """Returns the type that a root model wraps, and its class: `RootModel[list[str]]`, `__root__`."""
    is_root = bool(_base_names(definition) & _ROOTS)
    for item in reversed(lineage(definition)):
        assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
        for base in item.node.bases:
            if isinstance(base, ast.Subscript) and item.module.short_name(base.value) in _ROOTS:
                return item, base.slice
        for statement in item.node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id="__root__"), annotation=annotation):
                    return item, annotation
                case ast.AnnAssign(target=ast.Name(id="root"), annotation=annotation) if is_root:
                    return item, annotation
    return None


def members(definition: Definition) -> Iterator[tuple[str, ast.expr]]:
    """Yields the names and values of an enum, in order."""
    for item in lineage(definition):
        assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
        for statement in item.node.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name) and not target.id.startswith("_"):
                        yield target.id, statement.value


def member(definition: Definition, name: str) -> ast.expr | None:
    """Returns the value of one enum member, with `auto()` and tuples resolved."""
    for index, (key, value) in enumerate(members(definition)):
        if key == name:
            return _member_value(definition, index, key, value)
    return None


def member_values(definition: Definition) -> tuple[ast.expr, ...]:
    return tuple(_member_value(definition, index, key, value) for index, (key, value) in enumerate(members(definition)))


def _member_value(definition: Definition, index: int, name: str, value: ast.expr) -> ast.expr:
    if isinstance(value, ast.Call) and definition.module.short_name(value.func) == "auto":
        return ast.Constant(name.lower() if "StrEnum" in _base_names(definition) else index + 1)
    # `RED = "red", "label"`: most libraries send the first item.
    return value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value
