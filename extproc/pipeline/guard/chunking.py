"""Cuts a text into overlapping pieces, each of which a model reads in one go. Pure; used by reading.py.

A piece is the unit of work that others may have to wait for, so its size bounds how long they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.inference.text_cost import tokens

# Characters. English prose of this length is 150 tokens, of which the shipped guard reads 192 at once. An attack that a
# border cuts stands whole in the overlap of both pieces, or is longer than that and shows on both sides.
PIECE: Final = 600
OVERLAP: Final = 120
# Denser text (digits, signs, other scripts) is cut again.
_MOST_TOKENS: Final = 220


def pieces(text: str) -> Iterator[str]:
    """The pieces of `text`: together all of it, none longer than PIECE characters, cut between words where there are
    any. A text that fits is its own only piece.
    """
    start = 0
    while len(text) - start > PIECE:
        end = start + PIECE
        # A longer run without a space is no word: it is cut where it is.
        space = text.rfind(" ", end - OVERLAP, end)
        end = space if space > 0 else end
        yield from _thin(text[start:end])
        start = end - OVERLAP
    yield from _thin(text[start:])


def _thin(piece: str) -> Iterator[str]:
    if len(piece) > 1 and tokens(piece) > _MOST_TOKENS:
        middle, margin = len(piece) // 2, min(OVERLAP, len(piece) // 4) // 2
        yield from _thin(piece[: middle + margin])
        yield from _thin(piece[middle - margin :])
    else:
        yield piece
