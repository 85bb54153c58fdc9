"""Reads the fields of a model class (pydantic, dataclass, TypedDict); each is a key of the JSON object."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from controlplane.generate import docstrings
from controlplane.generate.operations import Argument, Default, Location, common_type, enum_shape
from controlplane.generate.python import classes
from controlplane.generate.python.annotations import AnnotatedType, Metadata, read_annotation
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Definition, Module
from extproc.shared.filter_config import ParameterType

_Convert: TypeAlias = Callable[[str], str]
_FIELD_CALLS: Final = frozenset(
    {"Field", "field", "Query", "Body", "Path", "Form", "Header", "Cookie", "Param", "attrib"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One annotated name of the class: its argument, with the metadata of its `Field(...)`, and its type."""

    argument: Argument
    typed: AnnotatedType


@dataclass(frozen=True, slots=True)
class Declaration:
    """A call that declares default and metadata of a value: `Field(default, description=...)`, `Query(...)`."""

    module: Module
    call: ast.Call

    def keyword(self, *names: str) -> ast.expr | None:
        for name in names:
            for keyword in self.call.keywords:
                if keyword.arg == name:
                    return keyword.value
        return None

    def text(self, *names: str) -> str | None:
        return Literals(self.module).text(self.keyword(*names))

    @property
    def default(self) -> ast.expr | None:
        """The expression of the default, None without one. `...` marks a required value."""
        return self.call.args[0] if self.call.args else self.keyword("default")


def fields(definition: Definition, location: Location) -> tuple[Field, ...]:
    """Returns the fields in order, those of base classes first; a redefined field keeps its first position."""
    found: dict[str, Field] = {}
    for item in classes.lineage(definition):
        for name, field in _own_fields(item, location):
            if field is None:
                found.pop(name, None)
            else:
                found[name] = field
    convert = _alias_generator(definition)
    return tuple(
        Field(replace(field.argument, name=convert(field.argument.name)), field.typed)
        if convert and name == field.argument.name
        else field
        for name, field in found.items()
    )


def fields_of_any(definitions: Sequence[Definition], location: Location) -> tuple[Field, ...]:
    """Returns the fields of an object of one of several models. A key is required when all models require it."""
    by_model = [{field.argument.name: field for field in fields(definition, location)} for definition in definitions]
    names = dict.fromkeys(name for fields_ in by_model for name in fields_)
    return tuple(_either([fields_.get(name) for fields_ in by_model]) for name in names)


def _either(options: Sequence[Field | None]) -> Field:
    """Merges one key of several models; None for a model without it."""
    present = [option for option in options if option is not None]
    first = present[0]
    shapes = [option.argument.shape for option in present]
    shape = replace(first.argument.shape, type=common_type(shape.type for shape in shapes))
    if any(shape.enum for shape in shapes):
        all_closed = all(shape.enum for shape in shapes)
        shape = enum_shape(value for one in shapes for value in one.enum) if all_closed else replace(shape, enum=())
    required = len(present) == len(options) and all(option.argument.required for option in present)
    return replace(first, argument=replace(first.argument, shape=shape, required=required))


def is_closed(definition: Definition) -> bool:
    """Returns whether the model refuses undeclared keys (`extra="forbid"`)."""
    extra = _configured(definition, "extra")
    return extra is not None and "forbid" in ast.unparse(extra)


def summary(typed: AnnotatedType) -> str | None:
    """Returns the docstring summary of an object's model, if there is exactly one."""
    if typed.shape.type is not ParameterType.DICT or len(typed.models) != 1:
        return None
    node = typed.models[0].node
    return docstrings.parse(ast.get_docstring(node)).summary if isinstance(node, ast.ClassDef) else None


def calls_in(metadata: tuple[Metadata, ...]) -> Iterator[Declaration]:
    """Yields the declarations in `Annotated[...]`."""
    for item in metadata:
        if isinstance(item.node, ast.Call):
            yield Declaration(item.module, item.node)


def default_of(declaration: Declaration | None, plain: ast.expr | None, module: Module) -> tuple[bool, Default | None]:
    """Returns whether a value is required, and its default when known.

    `plain`: the expression after `=`, unless it is the call of `declaration` itself.
    """
    if plain is not None:
        return _plain_default(plain, module)
    if declaration is not None:
        factory = declaration.keyword("default_factory", "factory")
        if factory is not None:
            return False, Literals(declaration.module).factory(factory)
        if declaration.default is not None:
            return _plain_default(declaration.default, declaration.module)
    return True, None


def _plain_default(node: ast.expr, module: Module) -> tuple[bool, Default | None]:
    if isinstance(node, ast.Constant) and node.value is ...:
        return True, None
    if module.short_name(node) in {"PydanticUndefined", "Undefined", "Required"}:
        return True, None
    return False, Literals(module).value(node)


def _own_fields(item: Definition, location: Location) -> Iterator[tuple[str, Field | None]]:
    assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
    documented = docstrings.parse(ast.get_docstring(item.node)).parameters
    body = item.node.body
    optional = classes.is_typed_dict(item) and any(
        keyword.arg == "total" and not Literals(item.module).flag(keyword.value, True) for keyword in item.node.keywords
    )
    for index, statement in enumerate(body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        if name.startswith("_") or name == "model_config" or "ClassVar" in ast.unparse(statement.annotation):
            continue
        follower = body[index + 1] if index + 1 < len(body) else None
        described = _string_statement(follower) or documented.get(name)
        yield name, _field(statement, item.module, location, described, optional=optional)


def _field(
    statement: ast.AnnAssign, module: Module, location: Location, described: str | None, *, optional: bool
) -> Field | None:
    typed = read_annotation(statement.annotation, module)
    value = statement.value
    assigned = (
        Declaration(module, value)
        if isinstance(value, ast.Call) and module.short_name(value.func) in _FIELD_CALLS
        else None
    )
    declarations = [*([assigned] if assigned else []), *calls_in(typed.metadata)]
    if any(_is_off(declaration, "init") for declaration in declarations):
        return None
    with_default = next(
        (
            declaration
            for declaration in declarations
            if declaration.default or declaration.keyword("default_factory", "factory")
        ),
        None,
    )
    required, default = default_of(with_default, None if assigned else value, module)
    head = statement.annotation.value if isinstance(statement.annotation, ast.Subscript) else None
    required = required and not optional and module.short_name(head) != "NotRequired"
    assert isinstance(statement.target, ast.Name)  # noqa: S101  the caller has looked
    alias = next(
        (text for declaration in declarations if (text := declaration.text("validation_alias", "alias"))), None
    )
    argument = Argument(
        name=alias or statement.target.id,
        location=location,
        shape=typed.shape,
        description=_first_text(declarations, "description")
        or described
        or _first_text(declarations, "title")
        or summary(typed),
        required=required,
        default=default,
    )
    return Field(argument, typed)


def _is_off(declaration: Declaration, name: str) -> bool:
    return not Literals(declaration.module).flag(declaration.keyword(name), True)


def _first_text(declarations: list[Declaration], name: str) -> str | None:
    text = next((text for declaration in declarations if (text := declaration.text(name))), None)
    return docstrings.one_line(text) if text else None


def _string_statement(statement: ast.stmt | None) -> str | None:
    """Returns the summary of the string under a field, which documents it."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return docstrings.parse(text).summary
    return None


def _configured(definition: Definition, key: str) -> ast.expr | None:
    """Returns a pydantic setting from `model_config`, `class Config`, or a keyword of the class."""
    for item in reversed(classes.lineage(definition)):
        assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
        for name, value in _settings(item.node):
            if name == key:
                return value
    return None


def _settings(node: ast.ClassDef) -> Iterator[tuple[str | None, ast.expr]]:
    yield from ((keyword.arg, keyword.value) for keyword in node.keywords)
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="model_config")], value=value)
                | ast.AnnAssign(target=ast.Name(id="model_config"), value=ast.expr() as value)
            ):
                if isinstance(value, ast.Call):
                    yield from ((keyword.arg, keyword.value) for keyword in value.keywords)
                elif isinstance(value, ast.Dict):
                    for key, item in zip(value.keys, value.values, strict=True):
                        if isinstance(key, ast.Constant) and isinstance(key.value, str):
                            yield key.value, item
            case ast.ClassDef(name="Config"):
                for inner in statement.body:
                    if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
                        yield inner.targets[0].id, inner.value


def _alias_generator(definition: Definition) -> _Convert | None:
    generator = _configured(definition, "alias_generator")
    name = (
        generator.attr
        if isinstance(generator, ast.Attribute)
        else generator.id
        if isinstance(generator, ast.Name)
        else ""
    )
    return {"to_camel": _to_camel, "to_pascal": _to_pascal}.get(name)


def _to_pascal(name: str) -> str:
    return re.sub(r"(?:^|_)([a-z0-9])", lambda match: match[1].upper(), name)


def _to_camel(name: str) -> str:
    pascal = _to_pascal(name)
    return pascal[:1].lower() + pascal[1:]
