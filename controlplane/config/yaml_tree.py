"""A YAML file as a tree that knows where everything stands.

PyYAML composes; this module turns its nodes into small frozen values, with line and column, and refuses what has no
place in a configuration: duplicate keys, custom tags, endless aliases. Scalars follow YAML 1.2: `yes`, `on`, `1:30`
and `2024-01-01` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import yaml
from pydantic import JsonValue

from controlplane.quoting import quoted

# A hand-written gateway configuration is some kilobytes; beyond this something is wrong, or hostile.
MAX_BYTES: Final = 1024 * 1024
# Nodes after aliases are expanded: what bounds the "billion laughs".
_MAX_NODES: Final = 50_000
_MAX_DEPTH: Final = 32
_INT64_DIGITS: Final = 18

Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something to tell the author of the file: a `Problem` that does not know the file's name yet."""

    mark: Mark
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Scalar:
    value: bool | int | float | str | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class ListNode:
    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping."""

    key: str
    mark: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; keys are unique."""

    entries: tuple[Entry, ...]
    mark: Mark

    def entry(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        entry = self.entry(key)
        return entry.value if entry else None

    def keys(self) -> tuple[str, ...]:
        return tuple(entry.key for entry in self.entries)

    def without(self, *keys: str) -> MapNode:
        return replace(self, entries=tuple(entry for entry in self.entries if entry.key not in keys))

    def with_value(self, key: str, value: Node, mark: Mark | None = None) -> MapNode:
        """Replace the value of `key` where it stands, or append it."""
        if self.entry(key) is None:
            return replace(self, entries=(*self.entries, Entry(key, mark or value.mark, value)))
        entries = (replace(entry, value=value) if entry.key == key else entry for entry in self.entries)
        return replace(self, entries=tuple(entries))


Node: TypeAlias = Scalar | ListNode | MapNode


def plain(node: Node) -> JsonValue:
    """The tree as plain data."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries}


def value_mark(root: Node, loc: Loc) -> Mark:
    """Where the value at `loc` stands; of a value that is not there, the nearest key above it."""
    node, mark = root, root.mark
    for depth, step in enumerate(loc):
        child = _child(node, step)
        if child is None:
            return mark
        mark = child.value.mark if isinstance(child, Entry) and depth == len(loc) - 1 else child.mark
        node = child.value if isinstance(child, Entry) else child
    return mark


def key_mark(root: Node, loc: Loc) -> Mark:
    """Where the key at `loc` stands (of a list's item: where the item begins)."""
    node, mark = root, root.mark
    for step in loc:
        child = _child(node, step)
        if child is None:
            break
        mark = child.mark
        node = child.value if isinstance(child, Entry) else child
    return mark


def node_at(root: Node, loc: Loc) -> Node | None:
    """The node at `loc`, or None."""
    node = root
    for step in loc:
        child = _child(node, step)
        if child is None:
            return None
        node = child.value if isinstance(child, Entry) else child
    return node


def walk(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Every node with its place in the tree, parents first."""
    yield loc, node
    if isinstance(node, MapNode):
        for entry in node.entries:
            yield from walk(entry.value, (*loc, entry.key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from walk(item, (*loc, index))


def rewrite(node: Node, change: Callable[[Loc, Node], Node | None], loc: Loc = ()) -> Node | None:
    """The tree with each node replaced by what `change` makes of it, parents first; None takes a node out."""
    changed = change(loc, node)
    if isinstance(changed, MapNode):
        values = ((entry, rewrite(entry.value, change, (*loc, entry.key))) for entry in changed.entries)
        return replace(
            changed, entries=tuple(replace(entry, value=value) for entry, value in values if value is not None)
        )
    if isinstance(changed, ListNode):
        items = (rewrite(item, change, (*loc, index)) for index, item in enumerate(changed.items))
        return replace(changed, items=tuple(item for item in items if item is not None))
    return changed


def matches(pattern: Sequence[str], loc: Loc) -> bool:
    """Whether `loc` is the place that `pattern` names; `*` stands for any key or index."""
    return len(pattern) == len(loc) and all(want in {"*", step} for want, step in zip(pattern, loc, strict=True))


def _child(node: Node, step: str | int) -> Entry | Node | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.entry(step)
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def parse(content: bytes) -> tuple[MapNode | None, tuple[Finding, ...]]:
    """The file's tree, and what is wrong with it as YAML. No tree: nothing more can be said about the file."""
    text, finding = decode(content)
    if finding is not None:
        return None, (finding,)
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        return None, (Finding(_place(text, error.position), "a character that YAML does not allow", "remove it"),)
    except yaml.MarkedYAMLError as error:
        return None, (_syntax(error),)
    if root is None:
        return None, (Finding(Mark(1, 1), "the file is empty", "start with `version: v1`"),)
    conversion = _Conversion()
    tree = conversion.node(root)
    if not isinstance(tree, MapNode):
        hint = "write `key: value` lines, the first of them `version: v1`"
        return None, (*conversion.findings, Finding(_mark(root.start_mark), "the file is not a mapping of keys", hint))
    return (None if conversion.hopeless else tree), tuple(conversion.findings)


def decode(content: bytes) -> tuple[str, Finding | None]:
    """The text of a file, without a byte order mark; or why it is none that this gateway reads."""
    if len(content) > MAX_BYTES:
        return "", Finding(Mark(1, 1), f"the file is too large: {len(content)} bytes, at most {MAX_BYTES}")
    # Of JSON, and no less of any text that begins with ASCII.
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        return "", Finding(Mark(1, 1), f"the file is {encoding[:6].upper()}", "save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        byte = content[error.start]
        return "", Finding(
            _place(before, len(before)), f"the file is not UTF-8 text: byte 0x{byte:02X}", "save it as UTF-8"
        )
    if "\0" in text:
        return "", Finding(_place(text, text.index("\0")), "a NUL character", "remove it")
    return text, None


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8: escapes in YAML, and the environment, can hold halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _place(text: str, position: int) -> Mark:
    before = text[:position]
    return Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> Finding:
    """PyYAML's complaint; the frequent ones in words that name the way out."""
    mark = error.problem_mark or error.context_mark
    place = _mark(mark) if mark is not None else Mark(1, 1)
    problem = error.problem or "the file is not YAML"
    if "'\\t'" in problem:
        return Finding(place, "a tab where YAML allows only spaces", "indent with spaces")
    if "expected a single document" in (error.context or ""):
        return Finding(place, "a second YAML document begins here", "one file is one gateway: remove the `---`")
    if "mapping values are not allowed" in problem:
        return Finding(
            place, "a `:` is not allowed here", "quote the text that holds it, or check the indentation of this line"
        )
    context = f", {error.context}" if error.context else ""
    return Finding(place, f"not valid YAML: {problem}{context}")


class _Loader(yaml.SafeLoader):
    """SafeLoader's composer with YAML 1.2 scalars and a bound on nesting. It constructs no objects."""

    # A class of its own: adding resolvers to it must not change SafeLoader.
    yaml_implicit_resolvers = {}  # noqa: RUF012  typed by the base class
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.depth >= _MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested more than {_MAX_DEPTH} levels deep", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)  # type: ignore[arg-type]
        finally:
            self.depth -= 1


_BOOL: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")
_NULL: Final = re.compile(r"(?:~|null|Null|NULL|)$")
# Longer numbers fit no field, and int() of a million digits is an attack: they stay text.
_INT: Final = re.compile(rf"[-+]?[0-9]{{1,{_INT64_DIGITS}}}$")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,2})?$")
for _tag, _pattern, _first in (
    ("bool", _BOOL, "tTfF"),
    ("null", _NULL, ("~", "n", "N", "")),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", re.compile(r"<<$"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))

_TAG: Final = "tag:yaml.org,2002:"


class _Conversion:
    """One file's nodes into a tree; collects what is wrong with them on the way."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        # The tree is cut short: what is missing from it says nothing about the file.
        self.hopeless = False
        self._open: list[yaml.Node] = []
        self._count = 0

    def node(self, node: yaml.Node) -> Node:
        mark = _mark(node.start_mark)
        self._count += 1
        if any(node is parent for parent in self._open):
            return self._give_up(mark, "an alias that contains itself")
        if self._count > _MAX_NODES:
            return self._give_up(mark, f"the aliases expand to more than {_MAX_NODES} values")
        # The composer bounded what is written out; aliases inside aliases nest deeper.
        if len(self._open) > _MAX_DEPTH:
            return self._give_up(mark, f"nested more than {_MAX_DEPTH} levels deep, by way of aliases")
        self._open.append(node)
        try:
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, mark)
            if isinstance(node, yaml.SequenceNode):
                self._check_tag(node, "seq")
                return ListNode(tuple(self.node(item) for item in node.value if not self.hopeless), mark)
            self._check_tag(node, "map")
            assert isinstance(node, yaml.MappingNode)  # noqa: S101  the third and last kind of node
            return MapNode(tuple(self._entries(node)), mark)
        finally:
            self._open.pop()

    def _give_up(self, mark: Mark, message: str) -> Node:
        if not self.hopeless:
            self.findings.append(Finding(mark, message, "write the values out"))
        self.hopeless = True
        return Scalar(None, mark)

    def _check_tag(self, node: yaml.Node, *expected: str) -> None:
        if node.tag not in {_TAG + name for name in expected}:
            self.findings.append(
                Finding(_mark(node.start_mark), f"YAML tag {quoted(node.tag)} has no meaning here", "remove it")
            )

    def _scalar(self, node: yaml.ScalarNode, mark: Mark) -> Scalar:
        text: str = node.value
        if not is_unicode(text):
            self.findings.append(
                Finding(mark, "half a surrogate pair, which is no character", "write the character itself")
            )
            return Scalar("", mark)
        kind = node.tag.removeprefix(_TAG)
        if kind == "bool" and _BOOL.match(text):
            return Scalar(text.lower() == "true", mark)
        if kind == "null" and _NULL.match(text):
            return Scalar(None, mark)
        if kind == "int" and _INT.match(text):
            return Scalar(int(text), mark)
        if kind == "float" and (_FLOAT.match(text) or _INT.match(text)):
            return Scalar(float(text), mark)
        if kind != "merge":
            self._check_tag(node, "str")
        return Scalar(text, mark)

    def _entries(self, node: yaml.MappingNode) -> Iterator[Entry]:
        seen: dict[str, Mark] = {}
        merged: list[Entry] = []
        own: list[Entry] = []
        for key_node, value_node in node.value:
            if self.hopeless:
                break
            mark = _mark(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}null":
                self.findings.append(Finding(mark, "a key that is not text", "write a key as a word, then `:`"))
                continue
            if key_node.tag == f"{_TAG}merge":
                merged += self._merged(self.node(value_node), mark)
                continue
            key: str = key_node.value
            if not is_unicode(key):
                self.findings.append(Finding(mark, "a key that is not text", "write a key as a word, then `:`"))
                continue
            if key in seen:
                self.findings.append(
                    Finding(
                        mark, f"key {quoted(key)} is here twice", f"the first one is at line {seen[key].line}; keep one"
                    )
                )
                continue
            seen[key] = mark
            own.append(Entry(key, mark, self.node(value_node)))
        for entry in merged:
            if entry.key not in seen:
                seen[entry.key] = entry.mark
                yield entry
        yield from own

    def _merged(self, value: Node, mark: Mark) -> list[Entry]:
        """The entries that `<<` brings in; of several mappings the first one counts."""
        sources = value.items if isinstance(value, ListNode) else (value,)
        entries: list[Entry] = []
        for source in sources:
            if isinstance(source, MapNode):
                entries += source.entries
            else:
                self.findings.append(Finding(mark, "`<<` merges mappings only", "write `<<: *name` of a mapping"))
        return entries
