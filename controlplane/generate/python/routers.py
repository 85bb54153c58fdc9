"""Finds the apps, routers and blueprints of a project, and the path prefixes under which they are mounted."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from controlplane.generate.operations import Note
from controlplane.generate.python.literals import Literals
from controlplane.generate.python.project import Module


class Framework(StrEnum):
    FASTAPI = "FastAPI"
    FLASK = "Flask"


# The constructors of apps and routers, by short name.
_CONSTRUCTORS: Final[Mapping[str, Framework]] = {
    **dict.fromkeys(("FastAPI", "APIRouter"), Framework.FASTAPI),
    **dict.fromkeys(("Flask", "Blueprint", "Quart", "APIFlask", "APIBlueprint"), Framework.FLASK),
}
_APPS: Final = frozenset({"FastAPI", "Flask", "Quart", "APIFlask"})
_MOUNTS: Final = frozenset({"include_router", "register_blueprint", "mount"})
_MAX_DEPTH: Final = 8
_MAX_PREFIXES: Final = 32

Key: TypeAlias = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class Router:
    """An app or router. `prefix`: its own, without that of its mount. `hidden`: its routes are not in the schema."""

    framework: Framework
    is_app: bool
    prefix: str
    hidden: bool
    title: str | None = None


@dataclass(frozen=True, slots=True)
class _Mount:
    parent: Key
    child: Key
    prefix: str | None
    hidden: bool


@dataclass(frozen=True, slots=True)
class Prefix:
    """One full path prefix of a router."""

    path: str
    hidden: bool


@dataclass(slots=True)
class Routers:
    """All routers that one file reaches. `modules`: the file first, then the files of the routers it mounts."""

    modules: list[Module] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _routers: dict[Key, Router] = field(default_factory=dict)
    _mounts: list[_Mount] = field(default_factory=list)

    @classmethod
    def of(cls, root: Module) -> Routers:
        routers = cls([root])
        # The list grows while it is read: a mounted router's file may mount others.
        for module in routers.modules:
            for node in ast.walk(module.tree):
                routers._note_router(node, module)
            for node in sorted(_calls(module.tree), key=lambda call: (call.lineno, call.col_offset)):
                routers._note_mount(node, module)
        return routers

    @property
    def title(self) -> str | None:
        """The title of the first app that has one."""
        return next((router.title for router in self._routers.values() if router.title), None)

    def framework(self, owner: ast.expr, module: Module) -> Framework | None:
        """Returns the framework of the router `owner`, None when it is unknown."""
        router = self._routers.get(self.key(owner, module))
        if router is not None:
            return router.framework
        definition = module.find(owner)
        if definition is not None and isinstance(definition.node, ast.Call):
            return _CONSTRUCTORS.get(definition.module.short_name(definition.node.func))
        if definition is not None:
            return None
        used = [framework for framework in Framework if module.imports(framework.value.lower())]
        return used[0] if len(used) == 1 else None

    def key(self, owner: ast.expr, module: Module) -> Key:
        """Returns the router's identity, which is the same in each file that imports it."""
        definition = module.find(owner)
        if definition is not None and isinstance(definition.node, ast.Call):
            return definition.module.path.resolve(), definition.name
        return module.path.resolve(), ast.unparse(owner)

    def prefixes(self, owner: ast.expr, module: Module) -> tuple[Prefix, ...]:
        """Returns the prefixes of the router `owner`, one for each time it is mounted.

        A router of another file than the first has none if it is never mounted.
        """
        key = self.key(owner, module)
        return tuple(islice(self._prefixes(key, frozenset()), _MAX_PREFIXES))

    def is_unmounted(self, owner: ast.expr, module: Module) -> bool:
        """Returns whether no app in reach mounts this router; its real prefix may be longer."""
        key = self.key(owner, module)
        router = self._routers.get(key)
        return router is not None and not router.is_app and not any(mount.child == key for mount in self._mounts)

    def _prefixes(self, key: Key, seen: frozenset[Key]) -> Iterator[Prefix]:
        """As `prefixes`. `seen` holds the routers above: a router that is mounted on itself has no prefix."""
        router = self._routers.get(key)
        mounts = [mount for mount in self._mounts if mount.child == key]
        if not mounts and (seen or key[0] == self.modules[0].path.resolve()):
            yield Prefix(router.prefix, router.hidden) if router else Prefix("", hidden=False)
        for mount in mounts[:_MAX_PREFIXES] if key not in seen and len(seen) < _MAX_DEPTH else ():
            own = router.prefix if router else ""
            if router is not None and router.framework is Framework.FLASK:
                # Flask: the prefix of the registration replaces the blueprint's.
                own = mount.prefix if mount.prefix is not None else own
            else:
                own = (mount.prefix or "") + own
            hidden = mount.hidden or (router.hidden if router else False)
            for above in islice(self._prefixes(mount.parent, seen | {key}), _MAX_PREFIXES):
                yield Prefix(above.path.rstrip("/") + own, hidden or above.hidden)

    def _note_router(self, node: ast.AST, module: Module) -> None:
        match node:
            case (
                ast.Assign(targets=[target], value=ast.Call() as call)
                | ast.AnnAssign(target=target, value=ast.Call() as call)
            ):
                word = module.short_name(call.func)
            case _:
                return
        framework = _CONSTRUCTORS.get(word)
        if framework is None:
            return
        literals = Literals(module)
        self._routers[module.path.resolve(), ast.unparse(target)] = Router(
            framework,
            is_app=word in _APPS,
            prefix=self._prefix(call, module) or "",
            hidden=not literals.flag(_keyword(call, "include_in_schema"), True),
            title=literals.text(_keyword(call, "title")) if word in _APPS else None,
        )

    def _note_mount(self, call: ast.Call, module: Module) -> None:
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in _MOUNTS:
            return
        is_mount = call.func.attr == "mount"
        child = _keyword(call, "router", "blueprint", "app") or _argument(call, 1 if is_mount else 0)
        if child is None or (is_mount and self._is_foreign(child, module)):
            return
        key = self.key(child, module)
        definition = module.find(child)
        if definition is not None and definition.module not in self.modules:
            self.modules.append(definition.module)
        elif definition is None and key not in self._routers:
            message = "its routes are in a file that could not be found; run the command on that file too"
            self.notes.append(Note(module.position(call), ast.unparse(child), message))
            return
        prefix = Literals(module).text(_keyword(call, "path") or _argument(call, 0)) if is_mount else None
        self._mounts.append(
            _Mount(
                parent=self.key(call.func.value, module),
                child=key,
                prefix=prefix if is_mount else self._prefix(call, module),
                hidden=not Literals(module).flag(_keyword(call, "include_in_schema"), True),
            )
        )

    def _is_foreign(self, child: ast.expr, module: Module) -> bool:
        """Returns whether a mounted app has no readable routes, such as static files."""
        definition = module.find(child)
        made = definition.node if definition is not None else None
        is_app = (
            definition is not None and isinstance(made, ast.Call) and definition.module.short_name(made.func) in _APPS
        )
        return not is_app and self.key(child, module) not in self._routers

    def _prefix(self, call: ast.Call, module: Module) -> str | None:
        node = _keyword(call, "prefix", "url_prefix")
        if node is None:
            return None
        found = Literals(module).value(node)
        if found is None:
            message = "this prefix is known at run time only, so it is left out; --path-prefix gives one"
            self.notes.append(Note(module.position(call), ast.unparse(node), message))
            return None
        return found.value if isinstance(found.value, str) else None


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg in names), None)


def _argument(call: ast.Call, index: int) -> ast.expr | None:
    return call.args[index] if len(call.args) > index else None
