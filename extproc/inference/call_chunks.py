"""Splits a role's request into calls of limited size, so that no client waits long for another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extproc.inference.text_cost import prose_bytes


@dataclass(frozen=True, slots=True)
class CallChunk:
    """The inputs of one call: columns of `rows` texts, by the names of their inputs. `cost` is in bytes of prose."""

    columns: Mapping[str, Sequence[bytes]]
    rows: int
    cost: int


def split(columns: Mapping[str, Sequence[str]], max_texts: int, max_cost: int) -> list[CallChunk]:
    """Returns the columns in chunks of at most `max_texts` rows. A chunk exceeds `max_cost` only with a single row."""
    chunks: list[CallChunk] = []
    start = cost = count = 0
    for index, row in enumerate(zip(*columns.values(), strict=True)):
        row_cost = sum(map(prose_bytes, row))
        if index > start and (index - start == max_texts or cost + row_cost > max_cost):
            chunks.append(_chunk(columns, start, index, cost))
            start, cost = index, 0
        cost += row_cost
        count = index + 1
    return [*chunks, _chunk(columns, start, count, cost)]


def _chunk(columns: Mapping[str, Sequence[str]], start: int, end: int, cost: int) -> CallChunk:
    encoded = {name: [text.encode(errors="replace") for text in column[start:end]] for name, column in columns.items()}
    return CallChunk(encoded, end - start, cost)
