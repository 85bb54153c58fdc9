"""Splits a role's request into calls of limited size, so that no client waits long for another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extproc.inference.text_cost import prose_bytes


@dataclass(frozen=True, slots=True)
class CallChunk:
    """The inputs of one call: columns of equal length, one for each input tensor. `cost` is in bytes of prose."""

    columns: tuple[Sequence[bytes], ...]
    cost: int

    @property
    def rows(self) -> int:
        return len(self.columns[0])


def split(columns: Sequence[Sequence[str]], max_texts: int, max_cost: int) -> list[CallChunk]:
    """Returns the columns in chunks of at most `max_texts` rows. A chunk exceeds `max_cost` only with a single row."""
    chunks: list[CallChunk] = []
    start = cost = 0
    for index, row in enumerate(zip(*columns, strict=True)):
        row_cost = sum(map(prose_bytes, row))
        if index > start and (index - start == max_texts or cost + row_cost > max_cost):
            chunks.append(_chunk(columns, start, index, cost))
            start, cost = index, 0
        cost += row_cost
    return [*chunks, _chunk(columns, start, None, cost)]


def _chunk(columns: Sequence[Sequence[str]], start: int, end: int | None, cost: int) -> CallChunk:
    encoded = tuple([text.encode(errors="replace") for text in column[start:end]] for column in columns)
    return CallChunk(encoded, cost)
