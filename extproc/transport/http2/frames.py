"""Encodes and decodes HTTP/2 frames. Pure. https://www.rfc-editor.org/rfc/rfc9113#section-4 and section 6."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9

# Types.
DATA: Final = 0x0
HEADERS: Final = 0x1
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

# Flags. Two of them share a bit, on frames of different types.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

# Settings.
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

# Errors.
NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
ENHANCE_YOUR_CALM: Final = 0xB

# Values before SETTINGS change them, and the largest values that SETTINGS may set.
DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
LARGEST_WINDOW: Final = (1 << 31) - 1
LARGEST_FRAME_BYTES: Final = (1 << 24) - 1
LARGEST_STREAM: Final = (1 << 31) - 1

# Length (24 bits: high 16, low 8), type, flags, stream.
_HEAD: Final = struct.Struct(">HBBBI")
_SETTING: Final = struct.Struct(">HI")
_TWO_WORDS: Final = struct.Struct(">II")


class Http2Error(Exception):
    """The peer broke the protocol. The connection ends with a GOAWAY of this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def read_head(data: bytes | bytearray, offset: int) -> tuple[int, int, int, int]:
    """Returns payload length, type, flags and stream of the frame whose head begins at `offset`."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, offset)
    return (high << 8) | low, kind, flags, stream & LARGEST_STREAM


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in values))


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: int, reason: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream, code) + reason.encode())


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Raises `Http2Error`."""
    if len(payload) % _SETTING.size:
        raise Http2Error(FRAME_SIZE_ERROR, "SETTINGS has an invalid length")
    return iter(_SETTING.iter_unpack(payload))


def read_word(payload: bytes) -> int:
    """Returns the number in RST_STREAM or WINDOW_UPDATE. Raises `Http2Error`."""
    if len(payload) != 4:
        raise Http2Error(FRAME_SIZE_ERROR, "RST_STREAM and WINDOW_UPDATE must have four bytes")
    return int.from_bytes(payload, "big")


def content(payload: bytes, flags: int) -> bytes:
    """Returns the payload without padding and priority. Raises `Http2Error`."""
    if not flags & (PADDED | WITH_PRIORITY):
        return payload
    start = end = 0
    if flags & PADDED:
        start, end = 1, payload[0] if payload else 0
    if flags & WITH_PRIORITY:
        start += 5
    if start + end > len(payload):
        raise Http2Error(PROTOCOL_ERROR, "more padding than payload")
    return payload[start : len(payload) - end]
