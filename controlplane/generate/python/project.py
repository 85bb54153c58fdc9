"""Python files as syntax trees, and where the names in them are defined: here, or in a file beside this one.

Nothing is executed or imported: `from .schemas import Item` is followed by reading a `schemas.py` of the same project.
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
# Files of the project that are read because the first one imports from them.
_MOST_FILES: Final = 100
# Folders above the file in which `from package.module import name` may begin.
_MOST_FOLDERS: Final = 4
_LONGEST_ANNOTATION: Final = 4096
_MOST_HOPS: Final = 12


@dataclass(frozen=True, slots=True)
class Definition:
    """What a name stands for: a class, a function, or the expression that was assigned to it."""

    module: Module
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr


@dataclass(frozen=True, slots=True)
class _Import:
    """`from {level dots}{module} import {name}`; `name` None: `import {module}`."""

    module: str
    name: str | None
    level: int

    @property
    def dotted(self) -> str:
        return ".".join(part for part in (self.module, self.name) if part)


@dataclass(eq=False, slots=True)
class Module:
    """One file. `shown` is how the user named it, for messages."""

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

    def place(self, node: ast.AST) -> str:
        return f"{self.shown}:{getattr(node, 'lineno', 1)}"

    def imports(self, package: str) -> bool:
        """Whether this file imports `package` or something in it."""
        return any(item.level == 0 and item.module.split(".")[0] == package for item in self._imports.values())

    def qualified(self, node: ast.expr | None) -> str:
        """`fastapi.Query` for `Query` and `f.Query`, by the imports of this file; empty for what is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        found = self._imports.get(node.id) if node.id not in self._names else None
        return ".".join([found.dotted if found else node.id, *parts])

    def last(self, node: ast.expr | None) -> str:
        """The last word of `qualified`: frameworks re-export their names from several places."""
        return self.qualified(node).rpartition(".")[2]

    def find(self, node: ast.expr | None, hops: int = 0) -> Definition | None:
        """What `name` or `module.name` is defined as, in this file or another of the project."""
        if hops > _MOST_HOPS:
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
            # Looked for once: files that import all of each other would be searched in every order.
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
        """The file that `name` or `package.name` is, when it is a module of the project."""
        if isinstance(node, ast.Name):
            item = self._imports.get(node.id) if node.id not in self._names else None
            return self.project.module(self, item.dotted, item.level) if item else None
        dotted = self.qualified(node)
        root = dotted.split(".")[0]
        return self.project.module(self, dotted, 0) if dotted and root in self._imports else None


@dataclass(eq=False, slots=True)
class Project:
    """The files read so far, by their path. None: looked for, and not usable."""

    modules: dict[Path, Module | None] = field(default_factory=dict)
    _found: dict[tuple[Path, str, int], Module | None] = field(default_factory=dict)

    def open(self, path: Path) -> Module:
        """The file the user named. Raises `SourceError` where it cannot be read or is not Python."""
        module = _parse(path, str(path), self)
        self.modules[path.resolve()] = module
        return module

    def module(self, importer: Module, dotted: str, level: int) -> Module | None:
        """The file that an import names, None when it is not in the project (a package that is installed, say)."""
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
            if len(self.modules) >= _MOST_FILES:
                return None
            self.modules[path] = None
            try:
                self.modules[path] = _parse(path, _shown(path), self)
            except SourceError:
                # A file that the user did not name: what it would have defined counts as unknown, and is said so.
                return None
        return self.modules[path]


def _folders(start: Path, level: int) -> Iterator[Path]:
    """Where an import may begin: for a relative one its one folder, else this folder and those above it."""
    if level > 0:
        for _ in range(level - 1):
            start = start.parent
        yield start
        return
    for _ in range(_MOST_FOLDERS):
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
    """Top-level statements, with those under `if TYPE_CHECKING`, `try` and the like."""
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
            warnings.simplefilter("ignore")  # a stray escape in the user's file is not our message
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
    """The expression in an annotation that is written as a string."""
    if len(text) > _LONGEST_ANNOTATION or not re.search(r"\w", text):
        return None
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
