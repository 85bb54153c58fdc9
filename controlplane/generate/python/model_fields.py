"""The fields of a model class: pydantic, dataclass, TypedDict. Each is a key of the JSON object that travels."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from controlplane.generate import docstrings
from controlplane.generate.operations import Argument, Default, Where, common_type, enum_shape
from controlplane.generate.python import classes
from controlplane.generate.python.annotations import Metadata, Typed, read
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Definition, Module
from extproc.shared.filter_config import ParameterType

_Convert: TypeAlias = Callable[[str], str]
_FIELD_CALLS: Final = frozenset(
    {"Field", "field", "Query", "Body", "Path", "Form", "Header", "Cookie", "Param", "attrib"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One annotated name of the class: the key, its type, and what a `Field(...)` says of it."""

    argument: Argument
    typed: Typed


@dataclass(frozen=True, slots=True)
class Said:
    """What one call such as `Field(default, description=...)` or `Query(...)` says of a value."""

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
        """The expression of the default; None where there is none. `...` says that the value is required."""
        return self.call.args[0] if self.call.args else self.keyword("default")


def fields(definition: Definition, where: Where) -> tuple[Field, ...]:
    """The fields in order, those of base classes first; a field written again takes the place of the first one."""
    found: dict[str, Field] = {}
    for item in classes.lineage(definition):
        for name, field in _own_fields(item, where):
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


def fields_of_any(definitions: Sequence[Definition], where: Where) -> tuple[Field, ...]:
    """The fields of an object that is one of several models: all keys, required where every model requires them."""
    every = [{field.argument.name: field for field in fields(definition, where)} for definition in definitions]
    names = dict.fromkeys(name for found in every for name in found)
    return tuple(_either([found.get(name) for found in every]) for name in names)


def _either(options: Sequence[Field | None]) -> Field:
    """One key, as several models have it; None: that model does not."""
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
    """Whether the model refuses keys that it does not declare: `extra="forbid"`."""
    extra = _configured(definition, "extra")
    return extra is not None and "forbid" in ast.unparse(extra)


def summary(typed: Typed) -> str | None:
    """What the one model of an object says of itself."""
    if typed.shape.type is not ParameterType.DICT or len(typed.models) != 1:
        return None
    node = typed.models[0].node
    return docstrings.read(ast.get_docstring(node)).summary if isinstance(node, ast.ClassDef) else None


def calls_in(metadata: tuple[Metadata, ...]) -> Iterator[Said]:
    """The calls in `Annotated[...]` that describe the value."""
    for item in metadata:
        if isinstance(item.node, ast.Call):
            yield Said(item.module, item.node)


def default_of(said: Said | None, plain: ast.expr | None, module: Module) -> tuple[bool, Default | None]:
    """Whether a value is required, and the default where it is known.

    `plain` is the expression behind `=`, unless that is the call `said` itself.
    """
    if plain is not None:
        return _plain_default(plain, module)
    if said is not None:
        factory = said.keyword("default_factory", "factory")
        if factory is not None:
            return False, Literals(said.module).factory(factory)
        if said.default is not None:
            return _plain_default(said.default, said.module)
    return True, None


def _plain_default(node: ast.expr, module: Module) -> tuple[bool, Default | None]:
    if isinstance(node, ast.Constant) and node.value is ...:
        return True, None
    if module.last(node) in {"PydanticUndefined", "Undefined", "Required"}:
        return True, None
    return False, Literals(module).value(node)


def _own_fields(item: Definition, where: Where) -> Iterator[tuple[str, Field | None]]:
    assert isinstance(item.node, ast.ClassDef)  # noqa: S101  a lineage holds classes
    documented = docstrings.read(ast.get_docstring(item.node)).parameters
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
        yield name, _field(statement, item.module, where, described, optional=optional)


def _field(
    statement: ast.AnnAssign, module: Module, where: Where, described: str | None, *, optional: bool
) -> Field | None:
    typed = read(statement.annotation, module)
    value = statement.value
    assigned = Said(module, value) if isinstance(value, ast.Call) and module.last(value.func) in _FIELD_CALLS else None
    sayings = [*([assigned] if assigned else []), *calls_in(typed.metadata)]
    if any(_is_off(said, "init") for said in sayings):
        return None
    with_default = next((said for said in sayings if said.default or said.keyword("default_factory", "factory")), None)
    required, default = default_of(with_default, None if assigned else value, module)
    head = statement.annotation.value if isinstance(statement.annotation, ast.Subscript) else None
    required = required and not optional and module.last(head) != "NotRequired"
    assert isinstance(statement.target, ast.Name)  # noqa: S101  the caller has looked
    alias = next((text for said in sayings if (text := said.text("validation_alias", "alias"))), None)
    argument = Argument(
        name=alias or statement.target.id,
        where=where,
        shape=typed.shape,
        description=_first_text(sayings, "description") or described or _first_text(sayings, "title") or summary(typed),
        required=required,
        default=default,
    )
    return Field(argument, typed)


def _is_off(said: Said, name: str) -> bool:
    return not Literals(said.module).flag(said.keyword(name), True)


def _first_text(sayings: list[Said], name: str) -> str | None:
    text = next((text for said in sayings if (text := said.text(name))), None)
    return docstrings.one_line(text) if text else None


def _string_statement(statement: ast.stmt | None) -> str | None:
    """The string under a field, which documents it."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return docstrings.read(text).summary
    return None


def _configured(definition: Definition, key: str) -> ast.expr | None:
    """A setting of pydantic: in `model_config`, in `class Config`, or as a keyword of the class."""
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
    word = (
        generator.attr
        if isinstance(generator, ast.Attribute)
        else generator.id
        if isinstance(generator, ast.Name)
        else ""
    )
    return {"to_camel": _to_camel, "to_pascal": _to_pascal}.get(word)


def _to_pascal(name: str) -> str:
    return re.sub(r"(?:^|_)([a-z0-9])", lambda match: match[1].upper(), name)


def _to_camel(name: str) -> str:
    pascal = _to_pascal(name)
    return pascal[:1].lower() + pascal[1:]
