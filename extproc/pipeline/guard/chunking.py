"""Cuts a text into overlapping chunks, each small enough for one model call. Pure; used by prepared_texts.py.

A chunk is the unit of work in the queue for a model, so its size bounds how long other requests wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.inference.text_cost import tokens

# Characters. English prose of this length has 150 tokens; the shipped guard reads 192 at once. An attack across a
# border is either whole in the overlap, or longer than the overlap and visible in both chunks.
CHUNK_CHARS: Final = 600
OVERLAP_CHARS: Final = 120
# A chunk with more tokens (digits, signs, other scripts) is cut again.
_MAX_TOKENS: Final = 220


def chunks(text: str) -> Iterator[str]:
    """Yields chunks of at most CHUNK_CHARS characters that together cover `text`. Cuts between words if it can."""
    start = 0
    while len(text) - start > CHUNK_CHARS:
        end = start + CHUNK_CHARS
        # A run without spaces that is longer than the overlap is no word and is cut anywhere.
        space = text.rfind(" ", end - OVERLAP_CHARS, end)
        end = space if space > 0 else end
        yield from _split_dense(text[start:end])
        start = end - OVERLAP_CHARS
    yield from _split_dense(text[start:])


def _split_dense(chunk: str) -> Iterator[str]:
    if len(chunk) > 1 and tokens(chunk) > _MAX_TOKENS:
        middle, margin = len(chunk) // 2, min(OVERLAP_CHARS, len(chunk) // 4) // 2
        yield from _split_dense(chunk[: middle + margin])
        yield from _split_dense(chunk[middle - margin :])
    else:
        yield chunk
