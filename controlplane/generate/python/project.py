"""Parses the Python files of a project and resolves names to their definitions, across files.

Nothing is executed or imported: `from .schemas import Item` is resolved by parsing `schemas.py` of the same project.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controlplane.errors import Problem, SourceError

MAX_BYTES: Final = 2 * 1024 * 1024
# Bound of the files that are read because the first one imports from them.
_MAX_FILES: Final = 100
# Folders above the file in which `from package.module import name` may begin.
_MAX_FOLDERS: Final = 4
_MAX_ANNOTATION_LENGTH: Final = 4096
_MAX_HOPS: Final = 12


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of a name: a class, a function, or the expression that was assigned to it."""

    module: Module
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr


@dataclass(frozen=True, slots=True)
class _Import:
    """`from {level dots}{module} import {name}`; with `name` None: `import {module}`."""

    module: str
    name: str | None
    level: int

    @property
    def dotted(self) -> str:
        return ".".join(part for part in (self.module, self.name) if part)


@dataclass(eq=False, slots=True)
class Module:
    """One file. `shown`: its path as the user wrote it, for messages."""

    path: Path
    shown: str
    tree: ast.Module
    project: Project
    _names: dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr] = field(default_factory=dict)
    _imports: dict[str, _Import] = field(default_factory=dict)
    _stars: list[_Import] = field(default_factory=list)
    _by_star: dict[str, Definition | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            self._note_import(node)
        for node in _definitions(self.tree.body):
            self._note_name(node)

    def _note_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                self._imports[local] = _Import(alias.name if alias.asname else local, None, 0)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    self._stars.append(_Import(node.module or "", None, node.level))
                else:
                    self._imports[alias.asname or alias.name] = _Import(node.module or "", alias.name, node.level)

    def _note_name(self, node: ast.stmt) -> None:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self._names[node.name] = node
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        self._names[target.id] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._names[name] = value

    def position(self, node: ast.AST) -> str:
        return f"{self.shown}:{getattr(node, 'lineno', 1)}"

    def imports(self, package: str) -> bool:
        """Returns whether this file imports `package` or something in it."""
        return any(item.level == 0 and item.module.split(".")[0] == package for item in self._imports.values())

    def qualified(self, node: ast.expr | None) -> str:
        """Returns `fastapi.Query` for `Query` or `f.Query`, by the imports of this file; "" if it is not a name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        found = self._imports.get(node.id) if node.id not in self._names else None
        return ".".join([found.dotted if found else node.id, *parts])

    def short_name(self, node: ast.expr | None) -> str:
        """Returns the last part of `qualified`: frameworks re-export their names from several modules."""
        return self.qualified(node).rpartition(".")[2]

    def find(self, node: ast.expr | None, hops: int = 0) -> Definition | None:
        """Returns the definition of `name` or `module.name`, from this file or another one of the project."""
        if hops > _MAX_HOPS:
            return None
        if isinstance(node, ast.Name):
            own = self._names.get(node.id)
            if own is not None:
                return Definition(self, node.id, own)
            imported = self._imports.get(node.id)
            return self._imported(imported, hops) if imported else self._imported_by_star(node, hops)
        if isinstance(node, ast.Attribute):
            module = self._module(node.value)
            return module.find(ast.Name(node.attr), hops + 1) if module else None
        return None

    def _imported_by_star(self, node: ast.Name, hops: int) -> Definition | None:
        if node.id not in self._by_star:
            # Cached: files that star-import each other would otherwise be searched in each order.
            self._by_star[node.id] = None
            self._by_star[node.id] = self._found_by_star(node, hops)
        return self._by_star[node.id]

    def _found_by_star(self, node: ast.Name, hops: int) -> Definition | None:
        modules = (self.project.module(self, star.module, star.level) for star in self._stars)
        found = (module.find(node, hops + 1) for module in modules if module is not None and module is not self)
        return next((definition for definition in found if definition is not None), None)

    def _imported(self, item: _Import, hops: int) -> Definition | None:
        if item.name is None:
            return None
        module = self.project.module(self, item.module, item.level)
        return module.find(ast.Name(item.name), hops + 1) if module else None

    def _module(self, node: ast.expr) -> Module | None:
        """Returns the module of the project that `name` or `package.name` refers to, if any."""
        if isinstance(node, ast.Name):
            item = self._imports.get(node.id) if node.id not in self._names else None
            return self.project.module(self, item.dotted, item.level) if item else None
        dotted = self.qualified(node)
        root = dotted.split(".")[0]
        return self.project.module(self, dotted, 0) if dotted and root in self._imports else None


@dataclass(eq=False, slots=True)
class Project:
    """The files read so far, by path. None: the file exists but cannot be parsed."""

    modules: dict[Path, Module | None] = field(default_factory=dict)
    _found: dict[tuple[Path, str, int], Module | None] = field(default_factory=dict)

    def open(self, path: Path) -> Module:
        """Parses the user's file. Raises `SourceError` when it cannot be read or is not Python."""
        module = _parse(path, str(path), self)
        self.modules[path.resolve()] = module
        return module

    def module(self, importer: Module, dotted: str, level: int) -> Module | None:
        """Returns the file of an import, None when it is not in the project (an installed package, for example)."""
        key = (importer.path, dotted, level)
        if key not in self._found:
            self._found[key] = self._search(importer, dotted, level)
        return self._found[key]

    def _search(self, importer: Module, dotted: str, level: int) -> Module | None:
        steps = [part for part in dotted.split(".") if part]
        for folder in _folders(importer.path.resolve().parent, level):
            base = folder.joinpath(*steps)
            for path in (base.with_suffix(".py") if steps else base / "__init__.py", base / "__init__.py"):
                if path.is_file():
                    return self._load(path)
        return None

    def _load(self, path: Path) -> Module | None:
        if path not in self.modules:
            if len(self.modules) >= _MAX_FILES:
                return None
            self.modules[path] = None
            try:
                self.modules[path] = _parse(path, _shown(path), self)
            except SourceError:
                # Not the user's file: its names count as unknown, which the notes say.
                return None
        return self.modules[path]


def _folders(start: Path, level: int) -> Iterator[Path]:
    """Yields the folders in which an import is searched: one for a relative import, else `start` and those above."""
    if level > 0:
        for _ in range(level - 1):
            start = start.parent
        yield start
        return
    for _ in range(_MAX_FOLDERS):
        yield start
        if start == start.parent:
            return
        start = start.parent


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _definitions(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields top-level statements, and those inside `if TYPE_CHECKING`, `try` and `with`."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _definitions(getattr(statement, name, []))
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _definitions(handler.body)


def _parse(path: Path, shown: str, project: Project) -> Module:
    source = _read(path, shown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escapes in the user's file
            tree = ast.parse(source, filename=shown)
    except SyntaxError as error:
        hint = "archgw reads Python 3.11; fix the line, or generate from --openapi"
        raise SourceError((Problem(shown, error.lineno or 1, max(error.offset or 1, 1), error.msg, hint),)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it holds null bytes" if isinstance(error, ValueError) else "it is nested too deeply"
        raise SourceError((Problem(shown, 1, 1, f"the file cannot be read as Python: {reason}"),)) from None
    return Module(path, shown, tree, project)


def _read(path: Path, shown: str) -> bytes:
    try:
        with path.open("rb") as file:
            source = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SourceError((Problem(shown, 1, 1, f"the file cannot be read: {reason}", "name a Python file"),)) from None
    if len(source) > MAX_BYTES:
        hint = "name the file that holds the routes"
        raise SourceError((Problem(shown, 1, 1, f"the file is too large: at most {MAX_BYTES} bytes", hint),))
    return source


def annotation_of(text: str) -> ast.expr | None:
    """Parses the expression in an annotation that is written as a string."""
    if len(text) > _MAX_ANNOTATION_LENGTH or not re.search(r"\w", text):
        return None
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
