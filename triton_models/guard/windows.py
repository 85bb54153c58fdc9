"""Cuts a text of any length into overlapping windows, so that an attack cannot hide in the part that a model does not
read.

Pure: it knows a tokenizer only as a function from text to the character span of each token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Span = tuple[int, int]
Spans = Callable[[str], Sequence[Span]]


def windows(text: str, spans: Spans, size: int, overlap: int) -> Iterator[str]:
    """Slices of `text` of at most `size` tokens, each sharing `overlap` tokens with the one before; together, all of
    it.

    A text that fits is its own only window. A slice that tokenizes longer by itself than inside the text is halved.
    """
    if not 0 <= overlap < size:
        raise ValueError("a window must be longer than its overlap")
    tokens = [span for span in spans(text) if span[1] > span[0]]
    if len(tokens) <= size:
        yield text
        return
    start = 0
    while True:
        end = min(start + size, len(tokens))
        # Characters between two tokens (spaces, controls) belong to the window before them: none is left out.
        first = 0 if start == 0 else tokens[start][0]
        last = len(text) if end == len(tokens) else tokens[end][0]
        yield from _fitting(text[first:last], spans, size)
        if end == len(tokens):
            return
        start = end - overlap


def _fitting(piece: str, spans: Spans, size: int) -> Iterator[str]:
    # Twice the size is what the models still read whole; only a slice cut inside a word can come near it.
    if len(piece) > 1 and len(spans(piece)) > 2 * size:
        middle = len(piece) // 2
        yield from _fitting(piece[:middle], spans, size)
        yield from _fitting(piece[middle:], spans, size)
    else:
        yield piece
