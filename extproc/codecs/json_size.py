"""Counts the values of a JSON text before anything is parsed: no client makes a worker build millions of objects.

Called by request_stream.py for each piece of a body as it arrives, and for JSON that stands inside a string. Pure.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

from extproc.errors import InvalidRequest, RequestTooLarge

# Deeper than any JSON Schema of a tool that was seen; the parser's own limit is the interpreter's stack.
MAX_DEPTH: Final = 128
# No JSON number needs more digits. Parsing time grows with the square of the length of an integer.
MAX_NUMBER_CHARS: Final = 128

# A string, or the beginning of one that the piece cuts off. It always matches at a quote, so each byte is read once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# Closes an open string, or opens one that swallows the mark: the mark is left over only inside a string.
_MARK: Final = b"\x00"
_SENTINEL: Final = b'"' + _MARK
_NUMBER_BYTES: Final = b"0123456789.eE+-"
_LONG_NUMBER: Final = re.compile(rb"(?<![0-9.eE+\-])[0-9.eE+\-]{%d}" % (MAX_NUMBER_CHARS + 1))
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PIECE: Final = 64 << 10


class JsonCounter:
    """Counts keys, strings, numbers, objects and arrays of one text that is fed in pieces, cut anywhere.

    `values` is never smaller than what a parser would build, the outermost object aside. For a text that is no JSON it
    counts what a parser would build before it notices.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._depth = 0
        self._in_string = False
        self._escape = b""  # a backslash at the end of a piece, which belongs to the next
        self._number = b""  # the end of a piece that may be the beginning of a number
        self.values = 0

    def feed(self, piece: bytes) -> None:
        """Raises `RequestTooLarge` over `most` values, `InvalidRequest` on too deep nesting or too long numbers."""
        for start in range(0, len(piece), _PIECE):
            self._feed(piece[start : start + _PIECE])

    def _feed(self, piece: bytes) -> None:
        piece = self._escape + piece
        if self._in_string and b'"' not in piece:
            # The inside of a long text or file: only a backslash at its end matters.
            self._escape = b"\\" * (_backslashes(piece) % 2)
            return
        self._escape = b"\\" * (_backslashes(piece) % 2)
        piece = piece[: len(piece) - len(self._escape)]
        structure = _STRING.sub(b"", (b'"' if self._in_string else b"") + piece + _SENTINEL)
        self._in_string = structure.endswith(_MARK)
        self._count(structure.removesuffix(_MARK))

    def _count(self, structure: bytes) -> None:
        """`structure`: the text without its strings. Each value but the first follows a comma, colon or bracket."""
        self.values += sum(map(structure.count, (b",", b":", b"[", b"{")))
        if self.values > self._most:
            raise RequestTooLarge(f"The request holds more than {self._most} JSON values, which is the limit.")
        brackets = structure.translate(None, _NOT_BRACKETS)
        if brackets:
            depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=self._depth))
            self._depth = depths[-1]
            if max(depths) > MAX_DEPTH:
                raise InvalidRequest(f"The body is nested too deeply: more than {MAX_DEPTH} objects and arrays.")
        structure = self._number + structure
        if _LONG_NUMBER.search(structure):
            raise InvalidRequest(f"The body holds a number of more than {MAX_NUMBER_CHARS} characters.")
        tail = len(structure) - len(structure.rstrip(_NUMBER_BYTES))
        self._number = structure[len(structure) - tail :]


def _backslashes(piece: bytes) -> int:
    """The number of backslashes at the end."""
    return len(piece) - len(piece.rstrip(b"\\"))


def check(text: str | bytes, most: int) -> int:
    """The number of values of a whole JSON text. Raises as `JsonCounter.feed` does."""
    counter = JsonCounter(most)
    counter.feed(text.encode(errors="surrogatepass") if isinstance(text, str) else text)
    return counter.values
