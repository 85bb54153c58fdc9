"""docs/quality.md: one section a measurement, each replaced by itself, so that one can be taken anew. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """What one measurement says. `body` is Markdown: the data and its size, the tables, what they leave out."""

    name: str
    title: str
    body: str


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table. Floats are shown with three digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def replaced(document: str, section: Section, taken: str) -> str:
    """`document` with this section in place of the last one of its name, or at its end. `taken`: when and where."""
    begin, end = f"<!-- {section.name} -->", f"<!-- /{section.name} -->"
    text = f"{begin}\n## {section.title}\n\n{section.body.strip()}\n\n{taken}\n{end}"
    before, found, rest = document.partition(begin)
    if not found:
        return f"{document.rstrip()}\n\n{text}\n"
    return before + text + rest.partition(end)[2]
