"""Server-sent events: encodes one event, and splits a byte stream into events.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from itertools import pairwise

DONE = b"data: [DONE]\n\n"

# The beginning of an event stream: perhaps a byte order mark and blank lines, then a field or a comment.
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:(?:data|event|id|retry)[ \t]*:|:)")

_LINE_END = re.compile(rb"\r\n|\n|\r")


def event(payload: bytes) -> bytes:
    """Returns one event with the data `payload`, which must hold no line break. Compact JSON has none."""
    return b"data: " + payload + b"\n\n"


# Two line ends. A carriage return at the very end may be half of one.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")


def split(stream: bytes) -> list[bytes]:
    """Returns the complete events in their own bytes, comments too, and last the rest: the beginning of an event."""
    starts = [0, *(match.end() for match in _EVENT_END.finditer(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(starts)]


def payload(event: bytes) -> bytes | None:
    """Returns the data of one event, or None if it has none."""
    decoder = EventDecoder()
    return next(iter((*decoder.feed(event), *decoder.flush())), None)


def begins(chunk: bytes) -> bool:
    """Tells whether a response without a content type is an event stream, by its first `chunk`. JSON never is."""
    return _BEGIN.match(chunk) is not None


class EventDecoder:
    """Takes chunks of bytes and returns the data of complete events. A chunk may end anywhere, also in a line end."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        buffer = self._rest + chunk
        # A carriage return at the very end may be half of "\r\n": it waits for the next chunk.
        carriage_return = b"\r" if buffer.endswith(b"\r") else b""
        *lines, tail = _LINE_END.split(buffer[: len(buffer) - len(carriage_return)])
        self._rest = tail + carriage_return
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """Returns the last event, if the stream ended without the blank line that should close it."""
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
