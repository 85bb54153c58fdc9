"""Values of a YAML file as a tree of frozen nodes, each with its line and column. Pure.

`yaml_parser` makes the tree. Migration, shorthand and environment references rewrite it. Checks find positions in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic import JsonValue

Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A position in the file. Lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A problem or a warning at a position. `load` makes a `Problem` of it, with the file's name."""

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
        """Returns the mapping with `value` at `key`: replaced in its position, or appended."""
        if self.entry(key) is None:
            return replace(self, entries=(*self.entries, Entry(key, mark or value.mark, value)))
        entries = (replace(entry, value=value) if entry.key == key else entry for entry in self.entries)
        return replace(self, entries=tuple(entries))


Node: TypeAlias = Scalar | ListNode | MapNode


def plain(node: Node) -> JsonValue:
    """Returns the tree as JSON values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries}


def value_mark(root: Node, loc: Loc) -> Mark:
    """Returns the position of the value at `loc`. For a missing value: of the nearest key above it."""
    node, mark = root, root.mark
    for depth, step in enumerate(loc):
        child = _child(node, step)
        if child is None:
            return mark
        mark = child.value.mark if isinstance(child, Entry) and depth == len(loc) - 1 else child.mark
        node = child.value if isinstance(child, Entry) else child
    return mark


def key_mark(root: Node, loc: Loc) -> Mark:
    """Returns the position of the key at `loc`. For an item of a list: of the item's start."""
    node, mark = root, root.mark
    for step in loc:
        child = _child(node, step)
        if child is None:
            break
        mark = child.mark
        node = child.value if isinstance(child, Entry) else child
    return mark


def node_at(root: Node, loc: Loc) -> Node | None:
    """Returns the node at `loc`, or None."""
    node = root
    for step in loc:
        child = _child(node, step)
        if child is None:
            return None
        node = child.value if isinstance(child, Entry) else child
    return node


def walk(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Yields every node with its location in the tree, parents first."""
    yield loc, node
    if isinstance(node, MapNode):
        for entry in node.entries:
            yield from walk(entry.value, (*loc, entry.key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from walk(item, (*loc, index))


def rewrite(root: MapNode, change: Callable[[Loc, Node], Node | None]) -> MapNode:
    """Returns the tree with each node replaced by the result of `change`, parents first. None removes a node.

    `change` must return a mapping for the root, whose location is `()`.
    """
    changed = _rewrite(root, change, ())
    assert isinstance(changed, MapNode)  # noqa: S101  see above
    return changed


def _rewrite(node: Node, change: Callable[[Loc, Node], Node | None], loc: Loc) -> Node | None:
    changed = change(loc, node)
    if isinstance(changed, MapNode):
        values = ((entry, _rewrite(entry.value, change, (*loc, entry.key))) for entry in changed.entries)
        return replace(
            changed, entries=tuple(replace(entry, value=value) for entry, value in values if value is not None)
        )
    if isinstance(changed, ListNode):
        items = (_rewrite(item, change, (*loc, index)) for index, item in enumerate(changed.items))
        return replace(changed, items=tuple(item for item in items if item is not None))
    return changed


def matches(pattern: Sequence[str], loc: Loc) -> bool:
    """Returns whether `loc` matches `pattern`. `*` matches any key or index."""
    return len(pattern) == len(loc) and all(part in {"*", step} for part, step in zip(pattern, loc, strict=True))


def _child(node: Node, step: str | int) -> Entry | Node | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.entry(step)
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None
