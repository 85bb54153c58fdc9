"""Counts the values of a JSON text before it is parsed, so that no client makes a worker build millions of objects.

Called by request_stream.py for each piece of a body as it arrives, and for JSON inside strings. Pure.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

from extproc.errors import InvalidRequest, RequestTooLarge

# Deeper than any tool's JSON Schema that we have seen. The parser's own limit is the interpreter's stack.
MAX_DEPTH: Final = 128
# No number needs more digits. The time to parse an integer grows with the square of its length.
MAX_NUMBER_CHARS: Final = 128

# A string, or the beginning of one that the piece cuts off. It matches at every quote, so each byte is read once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# The sentinel closes an open string, or opens one that contains the mark. So the mark stays only inside a string.
_MARK: Final = b"\x00"
_SENTINEL: Final = b'"' + _MARK
_NUMBER_BYTES: Final = b"0123456789.eE+-"
_LONG_NUMBER: Final = re.compile(rb"(?<![0-9.eE+\-])[0-9.eE+\-]{%d}" % (MAX_NUMBER_CHARS + 1))
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PIECE: Final = 64 << 10


class JsonCounter:
    """Counts the keys, strings, numbers, objects and arrays of one text. Its pieces may be cut anywhere.

    `values` is at least the number of values that a parser would build, except the outermost object. For a text that is
    no JSON, it counts the values that a parser would build before it notices.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._depth = 0
        self._in_string = False
        self._escape = b""  # a backslash at the end of a piece belongs to the next piece
        self._number = b""  # the end of a piece may be the beginning of a number
        self.values = 0

    def feed(self, piece: bytes) -> None:
        """Raises `RequestTooLarge` over `limit` values, `InvalidRequest` for too deep nesting and too long numbers."""
        for start in range(0, len(piece), _PIECE):
            self._feed(piece[start : start + _PIECE])

    def _feed(self, piece: bytes) -> None:
        piece = self._escape + piece
        if self._in_string and b'"' not in piece:
            # Inside a long text or file, only a backslash at the end of the piece matters.
            self._escape = b"\\" * (_backslashes(piece) % 2)
            return
        self._escape = b"\\" * (_backslashes(piece) % 2)
        piece = piece[: len(piece) - len(self._escape)]
        structure = _STRING.sub(b"", (b'"' if self._in_string else b"") + piece + _SENTINEL)
        self._in_string = structure.endswith(_MARK)
        self._count(structure.removesuffix(_MARK))

    def _count(self, structure: bytes) -> None:
        """`structure`: the text without its strings. Each value except the first follows a comma, colon or bracket."""
        self.values += sum(map(structure.count, (b",", b":", b"[", b"{")))
        if self.values > self._limit:
            raise RequestTooLarge(f"The request holds more than {self._limit} JSON values, which is the limit.")
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
    """Returns the number of backslashes at the end."""
    return len(piece) - len(piece.rstrip(b"\\"))


def check(text: str | bytes, limit: int) -> int:
    """Returns the number of values of a whole JSON text. Raises as `JsonCounter.feed` does."""
    counter = JsonCounter(limit)
    counter.feed(text.encode(errors="surrogatepass") if isinstance(text, str) else text)
    return counter.values
