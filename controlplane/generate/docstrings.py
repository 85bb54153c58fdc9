"""Parses docstrings for their summary and the description of each parameter.

Styles: Google, NumPy, reST, Epytext, and the bullet lists of FastAPI's documentation. Used by python/ and openapi/.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_ARGUMENT_SECTIONS: Final = frozenset(
    {"args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters", "attributes",
     "query parameters", "path parameters", "body parameters"}
)  # fmt: skip
_OTHER_SECTIONS: Final = frozenset(
    {"returns", "return", "yields", "yield", "raises", "raise", "throws", "except", "exceptions", "warns", "warnings",
     "examples", "example", "usage", "note", "notes", "see also", "references", "todo", "responses", "methods"}
)  # fmt: skip
# The lookahead excludes reST roles at the start of a line, such as :exc:`ValueError`.
_REST: Final = re.compile(r"[:@](?P<kind>[A-Za-z]+)(?:\s+(?P<about>[^:]*))?:(?!`)\s*(?P<text>.*)")
_REST_ARGUMENTS: Final = frozenset({"param", "parameter", "arg", "argument", "key", "keyword", "query", "var", "ivar"})
# Google: `name (int, optional): text`
_GOOGLE: Final = re.compile(r"\*{0,2}(?P<name>[A-Za-z_][\w.-]*)\s*(?:\((?P<type>[^)]*)\))?\s*:\s*(?P<text>.*)")
# FastAPI's documentation: `- **name**: text` and "* `name` - text"
_BULLET: Final = re.compile(
    r"[-*+]\s+(?:\*\*`?|`)(?P<name>[A-Za-z_][\w.-]*)(?:`?\*\*|`)\s*(?:\([^)]*\))?\s*[:-]\s*(?P<text>.*)"
)
_RULE: Final = re.compile(r"\s*(-{3,}|={3,}|~{3,})\s*")
_MARKUP: Final = re.compile(r"(?P<mark>\*\*|``|`)(?P<text>[^*`]+)(?P=mark)")


@dataclass(frozen=True, slots=True)
class Docstring:
    """`summary`: the first paragraph, on one line. `parameters`: the description of each parameter, by name."""

    summary: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(text: str | None) -> Docstring:
    """Returns the summary and the parameters of a docstring; both are empty for an empty one."""
    if not text:
        return Docstring()
    # FastAPI does not show the text after a form feed; flasgger puts YAML after `---`.
    lines = re.split(r"\n\s*---\s*\n", inspect.cleandoc(text).split("\f", 1)[0] + "\n")[0].splitlines()
    parameters: dict[str, str] = {}
    for described in (_rest(lines), _sections(lines), _bullets(lines)):
        for name, description in described:
            if description and name not in parameters:
                parameters[name] = description
    return Docstring(_summary(lines), parameters)


def one_line(text: str) -> str:
    """Joins the lines of a text and removes the marks of Markdown and reST around words."""
    return " ".join(_MARKUP.sub(lambda match: match["text"], text).split())


def _summary(lines: Sequence[str]) -> str | None:
    paragraph: list[str] = []
    for index, line in enumerate(lines):
        stripped = line.strip()
        if _is_heading(lines, index) or _REST.match(stripped) or _BULLET.match(stripped):
            break
        if _RULE.fullmatch(line):
            continue
        if stripped:
            paragraph.append(stripped.lstrip("#").strip() if stripped.startswith("#") else stripped)
        elif paragraph:
            break
    return one_line(" ".join(paragraph)) or None


def _heading(line: str) -> str:
    return line.strip().rstrip(":").strip().lower()


def _is_heading(lines: Sequence[str], index: int) -> bool:
    line = lines[index]
    underlined = index + 1 < len(lines) and _RULE.fullmatch(lines[index + 1]) is not None
    known = _heading(line) in _ARGUMENT_SECTIONS | _OTHER_SECTIONS
    return known and (underlined or line.rstrip().endswith(":"))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _sections(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    index = 0
    while index < len(lines):
        if not _is_heading(lines, index) or _heading(lines[index]) not in _ARGUMENT_SECTIONS:
            index += 1
            continue
        numpy = index + 1 < len(lines) and _RULE.fullmatch(lines[index + 1]) is not None
        start = index + (2 if numpy else 1)
        margin = _indent(lines[index])
        end = start
        while end < len(lines) and not _is_heading(lines, end):
            if not numpy and lines[end].strip() and _indent(lines[end]) <= margin:
                break
            end += 1
        yield from _entries(lines[start:end], numpy=numpy)
        index = end


def _entries(lines: Sequence[str], *, numpy: bool) -> Iterator[tuple[str, str]]:
    """Yields the entries of one section: a line that names a parameter, with the deeper lines that continue it."""
    filled = [line for line in lines if line.strip()]
    if not filled:
        return
    margin = _indent(filled[0])
    names: list[str] = []
    words: list[str] = []
    for line in lines:
        stripped = line.strip()
        if not stripped:
            continue
        if _indent(line) > margin:
            words.append(stripped)
            continue
        yield from ((name, one_line(" ".join(words))) for name in names)
        names, words = _entry(stripped, numpy=numpy)
    yield from ((name, one_line(" ".join(words))) for name in names)


def _entry(line: str, *, numpy: bool) -> tuple[list[str], list[str]]:
    if numpy:
        return [name.strip().lstrip("*") for name in line.split(":", 1)[0].split(",")], []
    match = _GOOGLE.match(line) or _BULLET.match(line)
    return ([match["name"]], [match["text"]]) if match else ([], [])


def _rest(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    name: str | None = None
    words: list[str] = []
    for line in [*lines, ":end:"]:
        stripped = line.strip()
        match = _REST.match(stripped)
        if match or not stripped:
            if name:
                yield name, one_line(" ".join(words))
            about = (match["about"] or "").split() if match else []
            # `:param int days:` has the type before the name.
            name = about[-1].lstrip("*") if match and about and match["kind"].lower() in _REST_ARGUMENTS else None
            words = [match["text"]] if match else []
        elif name:
            words.append(stripped)


def _bullets(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    name: str | None = None
    words: list[str] = []
    for line in [*lines, ""]:
        stripped = line.strip()
        match = _BULLET.match(stripped)
        if match or not stripped or stripped[:2] in {"- ", "* ", "+ "}:
            if name:
                yield name, one_line(" ".join(words))
            name, words = (match["name"], [match["text"]]) if match else (None, [])
        elif name:
            words.append(stripped)
