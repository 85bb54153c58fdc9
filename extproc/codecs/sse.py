"""Server-sent events: framing one, and taking a byte stream apart into them.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from itertools import pairwise

DONE = b"data: [DONE]\n\n"

# How the first line may begin: a byte order mark, blank lines, then a field or a comment.
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:(?:data|event|id|retry)[ \t]*:|:)")

_LINE_END = re.compile(rb"\r\n|\n|\r")


def event(payload: bytes) -> bytes:
    """One event whose data is `payload`, which holds no line break (JSON never does)."""
    return b"data: " + payload + b"\n\n"


# Two line ends. A carriage return at the very end may be half of one.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")


def split(stream: bytes) -> list[bytes]:
    """Complete events in their own bytes, comments too, and last the beginning of one that is not complete."""
    starts = [0, *(match.end() for match in _EVENT_END.finditer(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(starts)]


def payload(event: bytes) -> bytes | None:
    """The data of one event; None where it has none."""
    decoder = EventDecoder()
    return next(iter((*decoder.feed(event), *decoder.flush())), None)


def begins(chunk: bytes) -> bool:
    """Whether `chunk` is the beginning of an event stream, where no content type says so. JSON never is."""
    return _BEGIN.match(chunk) is not None


class EventDecoder:
    """Bytes in, the data of complete events out. Chunk borders may fall anywhere, inside a line end too."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        buffer = self._rest + chunk
        # A carriage return at the very end may be half of "\r\n": it waits for the next chunk.
        held = b"\r" if buffer.endswith(b"\r") else b""
        *lines, tail = _LINE_END.split(buffer[: len(buffer) - len(held)])
        self._rest = tail + held
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """The last event, if the stream ended without the blank line that should close it."""
        lines = [line for line in _LINE_END.split(self._rest) if line]
        self._rest = b""
        return self._events([*lines, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        for line in lines:
            if line:
                field, _, value = line.partition(b":")
                if field == b"data":
                    self._lines.append(value.removeprefix(b" "))
            elif self._lines:
                events.append(b"\n".join(self._lines))
                self._lines = []
        return events
