"""Parses a YAML file into a tree with positions. Used by `load`.

PyYAML composes nodes; they become the frozen nodes of `yaml_tree`. Duplicate keys, custom tags and aliases that expand
without end are refused. Scalars follow YAML 1.2: `yes`, `on`, `1:30` and `2024-01-01` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import yaml

from controlplane.config.yaml_tree import Entry, Finding, ListNode, MapNode, Mark, Node, Scalar
from controlplane.quoting import quoted

# A hand-written configuration has some kilobytes. A larger file is a mistake or an attack.
MAX_BYTES: Final = 1024 * 1024
# Nodes after the expansion of aliases. Stops the "billion laughs" attack.
_MAX_NODES: Final = 50_000
_MAX_DEPTH: Final = 32
_INT64_DIGITS: Final = 18


def parse(content: bytes) -> tuple[MapNode | None, tuple[Finding, ...]]:
    """Returns the file's tree, and its YAML errors. Without a tree, no further check is possible."""
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
        return None, (Finding(_position(text, error.position), "a character that YAML does not allow", "remove it"),)
    except yaml.MarkedYAMLError as error:
        return None, (_syntax(error),)
    if root is None:
        return None, (Finding(Mark(1, 1), "the file is empty", "start with `version: v1`"),)
    conversion = _Conversion()
    tree = conversion.node(root)
    if not isinstance(tree, MapNode):
        hint = "write `key: value` lines, the first of them `version: v1`"
        return None, (*conversion.findings, Finding(_mark(root.start_mark), "the file is not a mapping of keys", hint))
    return (None if conversion.aborted else tree), tuple(conversion.findings)


def decode(content: bytes) -> tuple[str, Finding | None]:
    """Returns a file's text without its byte order mark, and a finding if it is too large or not UTF-8."""
    if len(content) > MAX_BYTES:
        return "", Finding(Mark(1, 1), f"the file is too large: {len(content)} bytes, at most {MAX_BYTES}")
    # This function is made for JSON, but is right for any text that begins with ASCII.
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        return "", Finding(Mark(1, 1), f"the file is {encoding[:6].upper()}", "save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        byte = content[error.start]
        return "", Finding(
            _position(before, len(before)), f"the file is not UTF-8 text: byte 0x{byte:02X}", "save it as UTF-8"
        )
    if "\0" in text:
        return "", Finding(_position(text, text.index("\0")), "a NUL character", "remove it")
    return text, None


def is_unicode(text: str) -> bool:
    """Returns whether `text` can be encoded as UTF-8. YAML escapes and the environment can hold lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _position(text: str, index: int) -> Mark:
    before = text[:index]
    return Mark(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> Finding:
    """Converts PyYAML's error. Frequent errors get a message of ours, with a hint."""
    yaml_mark = error.problem_mark or error.context_mark
    mark = _mark(yaml_mark) if yaml_mark is not None else Mark(1, 1)
    problem = error.problem or "the file is not YAML"
    if "'\\t'" in problem:
        return Finding(mark, "a tab where YAML allows only spaces", "indent with spaces")
    if "expected a single document" in (error.context or ""):
        return Finding(mark, "a second YAML document begins here", "one file is one gateway: remove the `---`")
    if "mapping values are not allowed" in problem:
        return Finding(
            mark, "a `:` is not allowed here", "quote the text that holds it, or check the indentation of this line"
        )
    context = f", {error.context}" if error.context else ""
    return Finding(mark, f"not valid YAML: {problem}{context}")


class _Loader(yaml.SafeLoader):
    """SafeLoader's composer with YAML 1.2 scalars and limited nesting. It constructs no objects."""

    # An own table: SafeLoader's must not change.
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
# Longer numbers stay text: they fit no field, and int() of a million digits takes long.
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
    """Converts the nodes of one file into a tree, and collects their errors."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        # True: the tree is incomplete, so a key that is missing from it may be in the file.
        self.aborted = False
        self._open: list[yaml.Node] = []
        self._count = 0

    def node(self, node: yaml.Node) -> Node:
        mark = _mark(node.start_mark)
        self._count += 1
        if any(node is parent for parent in self._open):
            return self._abort(mark, "an alias that contains itself")
        if self._count > _MAX_NODES:
            return self._abort(mark, f"the aliases expand to more than {_MAX_NODES} values")
        # The loader limits only the nesting of the text. Aliases inside aliases nest deeper.
        if len(self._open) > _MAX_DEPTH:
            return self._abort(mark, f"nested more than {_MAX_DEPTH} levels deep, by way of aliases")
        self._open.append(node)
        try:
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, mark)
            if isinstance(node, yaml.SequenceNode):
                self._check_tag(node, "seq")
                return ListNode(tuple(self.node(item) for item in node.value if not self.aborted), mark)
            self._check_tag(node, "map")
            assert isinstance(node, yaml.MappingNode)  # noqa: S101  the third and last kind of node
            return MapNode(tuple(self._entries(node)), mark)
        finally:
            self._open.pop()

    def _abort(self, mark: Mark, message: str) -> Node:
        if not self.aborted:
            self.findings.append(Finding(mark, message, "write the values out"))
        self.aborted = True
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
            if self.aborted:
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
        """Returns the entries that `<<` merges in. Where several mappings have a key, the first one wins."""
        sources = value.items if isinstance(value, ListNode) else (value,)
        entries: list[Entry] = []
        for source in sources:
            if isinstance(source, MapNode):
                entries += source.entries
            else:
                self.findings.append(Finding(mark, "`<<` merges mappings only", "write `<<: *name` of a mapping"))
        return entries
