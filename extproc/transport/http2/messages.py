"""Assembles gRPC messages from the bytes of a stream. Pure.

Each message follows a head of five bytes: a flag for compression, and the length.
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import grpc

from extproc.transport.service import MAX_MESSAGE_BYTES, MethodError

_HEAD: Final = struct.Struct(">BI")


def framed(message: bytes) -> bytes:
    return _HEAD.pack(0, len(message)) + message


class Messages:
    """The messages of one stream."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the messages that `data` completes. Raises `MethodError` for a too long or compressed one."""
        if not self._partial and len(data) >= _HEAD.size:
            size = _size(data)
            if len(data) == _HEAD.size + size:
                # The usual case: one message in one frame.
                yield data[_HEAD.size :]
                return
        self._partial += data
        while len(self._partial) >= _HEAD.size:
            end = _HEAD.size + _size(self._partial)
            if len(self._partial) < end:
                return
            message = bytes(self._partial[_HEAD.size : end])
            del self._partial[:end]
            yield message


def _size(head: bytes | bytearray) -> int:
    compressed, size = _HEAD.unpack_from(head)
    if compressed:
        raise MethodError(grpc.StatusCode.UNIMPLEMENTED, "messages must not be compressed")
    if size > MAX_MESSAGE_BYTES:
        raise MethodError(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"a message has {size} bytes, more than {MAX_MESSAGE_BYTES}"
        )
    return int(size)
