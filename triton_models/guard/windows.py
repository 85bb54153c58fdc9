"""Cuts a text of any length into overlapping windows, so that a model reads every part of it.

Pure: the tokenizer is a function from a text to the character span of each token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Span = tuple[int, int]
Spans = Callable[[str], Sequence[Span]]


def windows(text: str, spans: Spans, size: int, overlap: int) -> Iterator[str]:
    """Yields slices of at most `size` tokens, each with `overlap` tokens of the one before, which cover the whole text.

    A text that fits is one window. A slice that has many more tokens than inside the text is halved.
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
        # Characters between two tokens (spaces, controls) belong to the window before them, so that none is left out.
        first = 0 if start == 0 else tokens[start][0]
        last = len(text) if end == len(tokens) else tokens[end][0]
        yield from _fitting(text[first:last], spans, size)
        if end == len(tokens):
            return
        start = end - overlap


def _fitting(piece: str, spans: Spans, size: int) -> Iterator[str]:
    # The models read up to twice the size completely. Only a slice that starts or ends inside a word can come near it.
    if len(piece) > 1 and len(spans(piece)) > 2 * size:
        middle = len(piece) // 2
        yield from _fitting(piece[:middle], spans, size)
        yield from _fitting(piece[middle:], spans, size)
    else:
        yield piece
