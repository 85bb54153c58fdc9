"""The format of docs/quality.md: one section a measurement, which can be replaced on its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """The result of one measurement. `body` is Markdown: data and its size, tables, limits."""

    name: str
    title: str
    body: str


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a Markdown table. Floats have three digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def replaced(document: str, section: Section, taken: str) -> str:
    """Returns `document` with the section replaced, or appended if it is new. `taken`: date and machine."""
    begin, end = f"<!-- {section.name} -->", f"<!-- /{section.name} -->"
    text = f"{begin}\n## {section.title}\n\n{section.body.strip()}\n\n{taken}\n{end}"
    before, found, rest = document.partition(begin)
    if not found:
        return f"{document.rstrip()}\n\n{text}\n"
    return before + text + rest.partition(end)[2]
